"""The client for code without asyncio."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tickserve.api_key import metadata_with_key
from tickserve.attempts import make_call
from tickserve.catalog import Model, ReplicaStatistics
from tickserve.channel import DEFAULT_TARGET, channel_options, sync_channel
from tickserve.errors import StreamClosedError, TickserveError, service_unknown, typed_errors
from tickserve.halt_calls import HaltCalls
from tickserve.items import answer_items
from tickserve.prediction import Prediction
from tickserve.priority import PriorityLike
from tickserve.reconnect import ConnectionChange, ResumePolicy
from tickserve.request import BatchItem, CallOptions, ModelLike, RequestBuilder, StreamItem, model_reference
from tickserve.result import Result, batch_results
from tickserve.retry import HedgePolicy, Retries, RetryPolicy, RetryStatistics
from tickserve.session import TickSession
from tickserve.tick_stream import TickStream
from tickserve.tls import TlsOptions, channel_credentials
from tickserve.v1 import model_service_pb2, model_service_pb2_grpc, prediction_service_pb2_grpc
from tickserve.window import WindowLike

__all__ = ("Client",)

_RESUME = ResumePolicy()
_RETRY = RetryPolicy()


class Client(HaltCalls):
    """A connection to tickserve. `AsyncClient` is the same for asyncio.

    Connects on first use. Any number of threads may share it. Use it as `with`, or call `close`.

    Args:
        target: The service's address, `host:port`, or any gRPC target.
        default_timeout: Seconds allowed to a call that names no `timeout`; None: the service's default for the class.
        credentials: TLS credentials, as `grpc.ssl_channel_credentials` makes them; None: plain text.
        metadata: Sent with every call, as pairs of names and values.
        options: gRPC channel options; they win over this package's.
        api_key: Sent with every call; None: TICKSERVE_API_KEY. Not as plain text beyond this machine: ValueError.
        retry: How predictions are tried again; None: not at all.
        hedge: When real-time predictions are sent a second time; None: never.
        **tls: See `TlsOptions`: `tls=True`, or the files `ca`, `cert` and `key`.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        default_timeout: float | None = 1.0,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        options: Iterable[tuple[str, Any]] = (),
        api_key: str | None = None,
        retry: RetryPolicy | None = _RETRY,
        hedge: HedgePolicy | None = None,
        **tls: Unpack[TlsOptions],
    ) -> None:
        self.target = target
        self._retries = Retries(retry, hedge)
        self._credentials = channel_credentials(credentials, **tls)
        self._options = channel_options(options)
        metadata = metadata_with_key(metadata, api_key, target, self._credentials)
        self._requests = RequestBuilder(default_timeout=default_timeout, metadata=metadata)
        self._channel: grpc.Channel | None = None
        self._opening = threading.Lock()

    def __enter__(self) -> Self:
        """Gives the client; the connection is made on first use."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connection."""
        self.close()

    def close(self) -> None:
        """Closes the connection; calls in flight are cancelled. A later call opens a new one."""
        with self._opening:
            channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    @property
    def retry_statistics(self) -> RetryStatistics:
        """What the predictions have needed so far."""
        return self._retries.statistics()

    def predict(
        self,
        window: WindowLike | None = None,
        *,
        symbol: str | None = None,
        request_id: str = "",
        **options: Unpack[CallOptions],
    ) -> Prediction:
        """Answers one window.

        Args:
            window: `[features, steps]`, oldest bar first: a `Window`, an array or nested lists.
            symbol: Instead of a window: a symbol whose window the service keeps from a tick stream.
            request_id: Identifies the request; at most 128 characters. To retry safely, repeat the call with the same
                UUID: the service computes it once. Empty: every call is its own.
            **options: See `CallOptions`: model, priority, timeout, ...

        Raises:
            ValueError: Both or neither of window and symbol are given, or a window does not have two dimensions.
            TickserveError: The call was refused or failed.
        """
        call = self._requests.predict(window, symbol, request_id, options)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._open_channel())
        response = make_call(stub.Predict, call, self._retries)
        return Prediction.from_proto(response.prediction)

    def predict_batch(self, items: Iterable[BatchItem | WindowLike], **options: Unpack[CallOptions]) -> list[Result]:
        """Answers several windows under one deadline.

        Args:
            items: Windows, or `BatchItem` objects for symbols and request ids; as many as the service allows (64).
            **options: See `CallOptions`; they hold for all items.

        Returns:
            For each item, in input order, its prediction or its error; errors are returned here, not raised.

        Raises:
            ValueError: As in `predict`.
            TickserveError: The call as a whole was refused or failed.
        """
        call = self._requests.batch(items, options)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._open_channel())
        response = make_call(stub.PredictBatch, call, self._retries)
        return batch_results(response, len(call.message.items))

    def stream_predict(
        self, items: Iterable[StreamItem], **options: Unpack[CallOptions]
    ) -> Generator[tuple[str, Result], None]:
        """Answers windows as they come, on one stream, each as soon as it is ready, so out of order.

        The stream opens when the iteration begins and is cancelled when it is left early.

        Args:
            items: What to answer. Taken as fast as the service takes them.
            **options: See `CallOptions`; they hold where an item says nothing. A timeout counts for each item.

        Yields:
            An item's request id with its prediction or its error; the id is empty where the service could not read it.

        Raises:
            TickserveError: The stream as a whole was refused or broke.
            Exception: Whatever `items` raised.
        """

        def start(requests: Iterator[Any]) -> Any:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(self._open_channel())
            return stub.StreamPredict(requests, metadata=self._requests.metadata(options.get("routing_key")))

        return answer_items(start, items, lambda item: self._requests.stream_item(item, options))

    def stream_ticks(
        self,
        symbols: Iterable[str],
        *,
        model: ModelLike = None,
        priority: PriorityLike = None,
        predict_every: int = 1,
        predict_partial: bool = False,
        conflate: bool = False,
        routing_key: str | None = None,
        open_timeout: float | None = 10.0,
        resume: ResumePolicy | None = _RESUME,
        observer: Callable[[ConnectionChange], None] | None = None,
    ) -> TickStream:
        """Makes a tick session; `with` opens it.

        Args:
            symbols: The symbols, at least one.
            model: The model that answers all of them.
            priority: The class of the session's predictions.
            predict_every: Predict at every n-th closed bar, at least 1.
            predict_partial: Predict on bars that have not closed yet, too.
            conflate: Let the newest pending prediction of a symbol replace the older.
            routing_key: See `CallOptions`.
            open_timeout: Seconds that opening may take, each time; None: any time.
            resume: How the stream comes back after a break; None: it does not, and the break is raised.
            observer: Called with each `Disconnected` and `Reconnected`, by the iteration; it must not block.

        Raises:
            ValueError: No symbol, or no such priority or model.
        """
        session = TickSession(
            symbols,
            model=model,
            priority=priority,
            predict_every=predict_every,
            predict_partial=predict_partial,
            conflate=conflate,
            buffer_size=(resume or _RESUME).buffer_size,
            max_unanswered=(resume or _RESUME).max_unanswered,
        )
        channels: list[Any] = []

        def start(requests: Iterator[Any]) -> Any:
            if channels and self._channel is not channels[0]:  # coming back must not open a closed client again
                raise StreamClosedError("the client was closed while its stream was open")
            channels[:] = [self._open_channel()]
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channels[0])
            return stub.StreamTicks(requests, metadata=self._requests.metadata(routing_key))

        return TickStream(start, session, open_timeout=open_timeout, policy=resume, observer=observer)

    def models(self, *, timeout: float | None = None) -> list[Model]:
        """Lists all versions of all models in the registry.

        Raises:
            TickserveError: The call was refused or failed.
        """
        stub = model_service_pb2_grpc.ModelServiceStub(self._open_channel())
        models: list[Model] = []
        token = ""
        while True:
            request = model_service_pb2.ListModelsRequest(page_token=token)
            with typed_errors():
                response = stub.ListModels(request, **self._plain(timeout))
            models += map(Model.from_proto, response.models)
            token = response.next_page_token
            if not token:
                return models

    def model(self, model: ModelLike = None, *, timeout: float | None = None) -> Model:
        """Describes one version of a model; None: the service's default model.

        Raises:
            NotFoundError: There is no such model or version.
            TickserveError: The call was refused or failed.
        """
        stub = model_service_pb2_grpc.ModelServiceStub(self._open_channel())
        request = model_service_pb2.GetModelRequest(model=model_reference(model))
        with typed_errors():
            response = stub.GetModel(request, **self._plain(timeout))
        return Model.from_proto(response.model)

    def statistics(self, *, deep_check: bool = False, timeout: float | None = None) -> list[ReplicaStatistics]:
        """Gives the counters and queues: the answering replica's first, then the others', as they last told.

        Args:
            deep_check: Whether the answering replica checks its engine first, which may take a few seconds.
            timeout: Seconds allowed; None: the client's `default_timeout`.

        Raises:
            TickserveError: The call was refused or failed.
        """
        stub = model_service_pb2_grpc.ModelServiceStub(self._open_channel())
        with typed_errors():
            request = model_service_pb2.GetStatisticsRequest(deep_check=deep_check)
            response = stub.GetStatistics(request, **self._plain(timeout))
        return [ReplicaStatistics.from_proto(replica) for replica in response.replicas]

    def health(self, service: str = "", *, timeout: float | None = None) -> str:
        """Asks the standard health service.

        Args:
            service: What to ask about: the whole ("") or a service's or a model's name.
            timeout: Seconds allowed; None: the client's `default_timeout`.

        Returns:
            "SERVING", "NOT_SERVING" or "UNKNOWN"; "SERVICE_UNKNOWN" where there is no such service.

        Raises:
            TickserveError: The call was refused or failed.
        """
        stub = health_pb2_grpc.HealthStub(self._open_channel())
        try:
            with typed_errors():
                response = stub.Check(health_pb2.HealthCheckRequest(service=service), **self._plain(timeout))
        except TickserveError as error:
            return service_unknown(error)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))

    def _open_channel(self) -> grpc.Channel:
        with self._opening:
            if self._channel is None:
                self._channel = sync_channel(self.target, self._credentials, self._options)
            return self._channel
