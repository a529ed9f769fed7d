"""A hand-written stand-in for the service, on a real socket.

It answers as the contract says, with rich statuses, and computes nothing. What it answers is set by attributes; what it
heard is kept.
"""

import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, Self

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.unit.client.fake_statistics import replica
from tickserve.v1 import (
    model_service_pb2,
    model_service_pb2_grpc,
    prediction_pb2,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
    priority_pb2,
    tick_pb2,
)

NEED = 3
"""Bars until a symbol's window is full."""


def rich_status(
    code: grpc.StatusCode,
    reason: str,
    message: str = "refused",
    *,
    metadata: dict[str, str] | None = None,
    retry_delay: float | None = None,
    fields: dict[str, str] | None = None,
    domain: str = "tickserve",
) -> Any:
    """Returns a google.rpc.Status as the service makes them."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=metadata)]
    if retry_delay is not None:
        nanos = round(retry_delay * 1e9)
        delay = duration_pb2.Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if fields:
        violation = error_details_pb2.BadRequest.FieldViolation
        violations = [violation(field=field, description=text) for field, text in fields.items()]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    return status_pb2.Status(code=code.value[0], message=message, details=packed)


def prediction(symbol: str = "", sequence: int = 0) -> prediction_pb2.Prediction:
    """Returns an answer in which every field is set, each to a value of its own."""
    message = prediction_pb2.Prediction(
        classes=[
            prediction_pb2.ClassProbability(label="sell", probability=0.125),
            prediction_pb2.ClassProbability(label="hold", probability=0.25),
            prediction_pb2.ClassProbability(label="buy", probability=0.625),
        ],
        regressions=[
            prediction_pb2.Regression(name="return", mean=0.5, standard_deviation=0.25),
            prediction_pb2.Regression(name="volatility", mean=0.75, standard_deviation=0.0625),
        ],
        ensemble=prediction_pb2.Ensemble(
            classes=[prediction_pb2.ClassProbability(label="sell", probability=1.0)],
            regressions=[prediction_pb2.Regression(name="return", mean=-0.5, standard_deviation=2.0)],
            weights=[0.5, 0.5],
        ),
        features=[1.0, 2.0],
        model=prediction_pb2.ModelVersion(name="eurusd", version=3, sha256="ab" * 32),
        input=prediction_pb2.InputEvidence(
            sha256="cd" * 32, feature_schema="schema-1", symbol=symbol, last_sequence=sequence, out_of_distribution=True
        ),
        execution=prediction_pb2.Execution(
            queue_duration=duration_pb2.Duration(nanos=1_000_000),
            inference_duration=duration_pb2.Duration(nanos=2_500_000),
            total_duration=duration_pb2.Duration(nanos=4_000_000),
            batch_size=8,
            effective_priority=priority_pb2.PRIORITY_REAL_TIME,
            deadline_slack=duration_pb2.Duration(nanos=-3_000_000),
            replica_id="replica-1",
            cached=True,
            trace_id="ef" * 16,
        ),
    )
    message.input.as_of_time.FromJsonString("2026-01-02T03:04:05Z")
    return message


def model(name: str = "eurusd", version: int = 3, *, is_default: bool = True) -> model_service_pb2.Model:
    """Returns the description of a small model: 2 features, 3 steps."""
    return model_service_pb2.Model(
        version=prediction_pb2.ModelVersion(name=name, version=version, sha256="ab" * 32),
        state=model_service_pb2.MODEL_STATE_SERVING if is_default else model_service_pb2.MODEL_STATE_AVAILABLE,
        feature_schema="schema-1",
        feature_count=2,
        time_steps=3,
        class_labels=["sell", "hold", "buy"],
        regression_names=["return", "volatility"],
        bar_interval=duration_pb2.Duration(seconds=3600),
        prediction_horizon=12,
        engine=model_service_pb2.Engine(
            name="openvino", device="cpu", precision="bf16", thread_count=2, reason="fastest on this processor"
        )
        if is_default
        else None,
        training_metrics={"accuracy": 0.42, "accuracy_baseline": 0.4},
        is_default=is_default,
    )


class FakeService(prediction_service_pb2_grpc.PredictionServiceServicer, model_service_pb2_grpc.ModelServiceServicer):
    """The stand-in. One instance serves one test."""

    def __init__(self) -> None:
        self.target = ""
        self.health = health.HealthServicer()
        self.refusal: Any = None
        """A google.rpc.Status with which every call ends; None: calls are answered."""
        self.trailers: tuple[tuple[str, str | bytes], ...] = ()
        """Trailing metadata beside the refusal of a plain code."""
        self.plain_code: grpc.StatusCode | None = None
        """A bare code with which every call ends, as a proxy's would."""
        self.outcomes: list[Any] = []
        """How the next calls end, one each: a google.rpc.Status, a bare code, `silent`, or None for an answer."""
        self.silent = False
        """Whether calls are left without an answer until the caller gives up."""
        self.heartbeat_interval = 0.0
        self.state: dict[str, tuple[int, int]] = {}
        """For each symbol, the last sequence and the number of bars that the service already has."""
        self.script: list[prediction_service_pb2.StreamTicksResponse] = []
        """Sent on a tick stream right behind `opened`."""
        self.answers_history = False
        """Whether a history is answered with progress, as the service does."""
        self.end_ticks_with: Any = None
        """A status that ends the tick stream at its first tick; None: none does."""
        self.ticks_end_code: grpc.StatusCode | None = None
        self.replicas = [replica()]
        self.received: list[Any] = []
        self.metadata: dict[str, str | bytes] = {}
        self.time_remaining: float | None = None
        self.heartbeat_received = threading.Event()
        self.begun = threading.Event()
        self.cancelled = threading.Event()

    def _begin(self, request: Any, context: Any) -> None:
        if request is not None:
            self.received.append(request)
        self.metadata = dict(context.invocation_metadata())
        self.time_remaining = context.time_remaining()
        ended = threading.Event()

        def on_end() -> None:
            ended.set()
            self.cancelled.set()

        context.add_callback(on_end)
        self.begun.set()
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if self.silent or outcome == "silent":
            ended.wait(timeout=30)
            return
        if isinstance(outcome, grpc.StatusCode):
            context.abort(outcome, "plain words")
        if outcome is not None:
            abort(context, outcome)
        if self.plain_code is not None:
            context.set_trailing_metadata(self.trailers)
            context.abort(self.plain_code, "plain words")
        if self.refusal is not None:
            abort(context, self.refusal)

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802  # the contract's name
        """Answers one window."""
        self._begin(request, context)
        return prediction_service_pb2.PredictResponse(
            request_id=request.request_id, prediction=prediction(symbol=request.symbol)
        )

    def PredictBatch(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuses the items whose id begins with `bad`; loses those whose id begins with `lost`."""
        self._begin(request, context)
        results = []
        for item in request.items:
            result = prediction_service_pb2.PredictBatchResult(request_id=item.request_id)
            if item.request_id.startswith("lost"):
                continue
            if item.request_id.startswith("bad"):
                result.error.CopyFrom(rich_status(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SHAPE"))
            elif not item.request_id.startswith("empty"):
                result.prediction.CopyFrom(prediction(symbol=item.symbol))
            results.append(result)
        return prediction_service_pb2.PredictBatchResponse(results=results)

    def StreamPredict(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Answers in pairs, the second of each pair first."""
        self._begin(None, context)
        held: list[Any] = []
        for request in request_iterator:
            self.received.append(request)
            held.append(request)
            if len(held) == 2:
                yield from map(self._stream_result, reversed(held))
                held.clear()
        yield from map(self._stream_result, held)

    @staticmethod
    def _stream_result(request: Any) -> Any:
        result = prediction_service_pb2.StreamPredictResponse(request_id=request.request_id)
        if request.request_id.startswith("bad"):
            result.error.CopyFrom(rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_delay=0.25))
        else:
            result.prediction.CopyFrom(prediction(symbol=request.symbol))
        return result

    def StreamTicks(self, request_iterator: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        """Counts bars; each bar past `NEED` is answered."""
        self._begin(None, context)
        response = prediction_service_pb2.StreamTicksResponse
        have: dict[str, int] = {}
        for request in request_iterator:
            self.received.append(request)
            match request.WhichOneof("message"):
                case "open":
                    yield response(heartbeat=tick_pb2.Heartbeat())
                    if "!" in request.open.symbols[0]:
                        status = rich_status(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_SYMBOL")
                        yield response(error=tick_pb2.TickError(error=status))
                        continue
                    yield response(opened=self._opened(request.open))
                    yield from self.script
                    have = {symbol: self.state.get(symbol, (0, 0))[1] for symbol in request.open.symbols}
                case "history":
                    history = request.history
                    have[history.symbol] += len(history.bars)
                    if self.answers_history:
                        progress = tick_pb2.TickProgress(
                            symbol=history.symbol,
                            sequence=history.last_sequence,
                            have=min(have[history.symbol], NEED),
                            need=NEED,
                        )
                        yield response(progress=progress)
                case "heartbeat":
                    self.heartbeat_received.set()
                    yield response(heartbeat=tick_pb2.Heartbeat())
                case "tick":
                    if self.end_ticks_with is not None:
                        abort(context, self.end_ticks_with)
                    yield self._answer(request.tick, have)

    def _opened(self, request: tick_pb2.OpenStream) -> tick_pb2.StreamOpened:
        return tick_pb2.StreamOpened(
            model=prediction_pb2.ModelVersion(name="eurusd", version=3),
            feature_schema="schema-1",
            bar_interval=duration_pb2.Duration(seconds=3600),
            heartbeat_interval=duration_pb2.Duration(nanos=int(self.heartbeat_interval * 1e9)),
            symbols=[
                tick_pb2.SymbolState(
                    symbol=symbol,
                    sequence=self.state.get(symbol, (0, 0))[0],
                    next_sequence=self.state.get(symbol, (0, 0))[0] + 1,
                    have=self.state.get(symbol, (0, 0))[1],
                    need=NEED,
                )
                for symbol in request.symbols
            ],
        )

    @staticmethod
    def _answer(tick: tick_pb2.Tick, have: dict[str, int]) -> Any:
        response = prediction_service_pb2.StreamTicksResponse
        symbol, sequence = tick.symbol, tick.sequence
        if symbol not in have:
            status = rich_status(grpc.StatusCode.FAILED_PRECONDITION, "SYMBOL_NOT_OPEN")
            return response(error=tick_pb2.TickError(symbol=symbol, sequence=sequence, error=status))
        if tick.WhichOneof("event") == "reset":
            have[symbol] = 0
        else:
            have[symbol] += 1
        if have[symbol] < NEED:
            return response(
                progress=tick_pb2.TickProgress(symbol=symbol, sequence=sequence, have=have[symbol], need=NEED)
            )
        return response(
            prediction=tick_pb2.TickPrediction(
                symbol=symbol, sequence=sequence, first_sequence=sequence, prediction=prediction(symbol, sequence)
            )
        )

    def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Lists two models, on a page each."""
        self._begin(request, context)
        if not request.page_token:
            return model_service_pb2.ListModelsResponse(models=[model()], next_page_token="2")
        return model_service_pb2.ListModelsResponse(models=[model("gbpusd", 1, is_default=False)])

    def GetModel(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Describes a model."""
        self._begin(request, context)
        return model_service_pb2.GetModelResponse(model=model(version=request.model.version or 3))

    def GetStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Tells of the replicas."""
        self._begin(request, context)
        return model_service_pb2.GetStatisticsResponse(replicas=self.replicas)

    @contextmanager
    def serving(self) -> Iterator[Self]:
        """Serves on a free port of 127.0.0.1 while the block runs."""
        pool = futures.ThreadPoolExecutor(max_workers=8)
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(self, server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(self, server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        self.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield self
        finally:
            server.stop(grace=None).wait()
            pool.shutdown()


def abort(context: Any, status: Any) -> None:
    """Ends a call as the service does: code, message, and the status in the trailers."""
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    context.abort(code, status.message)
