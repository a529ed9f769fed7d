"""`tickserve.v1.PredictionService`, the window RPCs: `Predict`, `PredictBatch` and `StreamPredict`.

Owns what is particular to each RPC: how many items, whose deadline, in which order. One item is read, scheduled and
answered by the same code in all three. `StreamTicks` is `tick_service`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from batching import PriorityClass
from server.call import Call
from server.config.live_settings import LiveSettings
from server.inference.predictor import InputOrigin, PredictionTask, Work
from server.observation.request_record import RequestKind
from server.observation.request_watch import RequestWatch, RequestWatcher
from server.refusal import Reason, Refusal
from server.results.idempotency import Idempotency
from server.routes.route_table import Target
from server.routes.routed_predictor import RoutedPredictor
from server.routes.router import Arm, routing_key
from server.rpc.decode import Received, parse, read_priority, read_request_id, read_span, read_time, read_window
from server.rpc.encode import write_prediction, write_replay
from server.rpc.errors import explain, to_status
from server.rpc.request_checks import check_count, claim_id, payload_digest
from server.rpc.response_stream import ResponseStream
from server.security.caller_limits import CallerLimits
from server.security.halt_view import Halts
from server.security.open_streams import OpenStreams
from server.windows.window_store import WindowStore
from tickserve.v1 import prediction_pb2
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchRequest,
    PredictBatchResponse,
    PredictBatchResult,
    PredictRequest,
    PredictResponse,
    StreamPredictRequest,
    StreamPredictResponse,
)

ItemMessage = PredictRequest | PredictBatchItem | StreamPredictRequest
"""The messages with the contract's `input` choice."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the items of one request have in common."""

    target: Target
    priority: PriorityClass
    deadline: float
    received_at: float
    max_age: float | None
    # How many of the items, the first ones, are within their caller's rate.
    admitted: int = 1
    # Arms by model, of a stream that has a routing key: it keeps them. None elsewhere.
    kept_arms: dict[str, Arm] | None = None


class PredictionService:
    """Serves the window RPCs.

    Args:
        predictor: Finds models and answers tasks.
        windows: The symbols' windows, for requests that name a symbol.
        live: Limits, and what deadlines follow from.
        watcher: Follows every request to its end.
        limits: How much each caller may ask for.
        streams: Ends the streams of callers who lose the right to them; None: all keep it.

    Attributes:
        idempotency: Which request ids were answered.
    """

    def __init__(
        self,
        *,
        predictor: RoutedPredictor,
        windows: WindowStore,
        live: LiveSettings,
        watcher: RequestWatcher,
        limits: CallerLimits,
        streams: OpenStreams | None = None,
    ) -> None:
        self._predictor = predictor
        self._windows = windows
        self._live = live
        self._watcher = watcher
        self._limits = limits
        self._streams = streams or OpenStreams(Halts())
        self.idempotency = Idempotency(live, clock=predictor.now)

    async def predict(self, data: Received, call: Call) -> PredictResponse:
        """Answers one window."""
        with self._watcher.one(call) as watch:
            request = parse(PredictRequest, data, max_bytes=self._live.current.max_request_bytes)
            request_id = watch.request_id = read_request_id(request.request_id)
            terms = await self._terms(request, call, [watch])
            prediction = await self._answer_once(request, request, terms, watch)
            return PredictResponse(request_id=request_id, prediction=prediction)

    async def predict_batch(self, data: Received, call: Call) -> PredictBatchResponse:
        """Answers several windows under one deadline, each with its own result, in input order."""
        with self._watcher.several(call, RequestKind.BATCH_ITEM) as begun:
            first = begun.begin(received_at=call.received_at)  # one that cannot be read counts as one request
            request = parse(PredictBatchRequest, data, max_bytes=self._live.current.max_request_bytes)
            check_count(len(request.items), limit=self._live.current.max_windows_per_request)
            watches = [first, *(begun.begin(received_at=call.received_at) for _ in request.items[1:])]
            terms = await self._terms(request, call, watches)

            async def result(index: int) -> PredictBatchResult:
                item = request.items[index]
                try:
                    with watches[index] as watch:
                        request_id = watch.request_id = read_request_id(item.request_id)
                        if index >= terms.admitted:
                            raise self._limits.refusal(call, terms.priority)
                        prediction = await self._answer_once(item, request, terms, watch)
                        return PredictBatchResult(request_id=request_id, prediction=prediction)
                except Exception as error:
                    refusal = explain(error, trace_id=call.trace_id)
                    if refusal.field:
                        refusal = refusal.within(f"items[{index}]")
                    return PredictBatchResult(request_id=item.request_id[:128], error=to_status(refusal))

            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(result(index)) for index in range(len(request.items))]
            return PredictBatchResponse(results=[task.result() for task in tasks])

    async def stream_predict(
        self, requests: AsyncIterator[bytes], call: Call
    ) -> AsyncGenerator[StreamPredictResponse, None]:
        """Answers windows as they come, each as soon as it is ready."""
        responses: ResponseStream[StreamPredictResponse] = ResponseStream(
            max_in_flight=self._live.current.max_in_flight_per_stream,
            max_in_flight_bytes=self._live.current.max_in_flight_bytes_per_stream,
        )
        in_flight: set[str] = set()
        kept_arms: dict[str, Arm] | None = {} if call.routing_key else None

        async def answer(request: StreamPredictRequest, watch: RequestWatch) -> StreamPredictResponse:
            try:
                with watch:
                    terms = await self._terms(request, call, [watch], kept_arms=kept_arms)
                    prediction = await self._answer(request, request.options, terms, watch)
                    return StreamPredictResponse(request_id=request.request_id, prediction=prediction)
            except Exception as error:
                return _failed_item(request.request_id, error, call)
            finally:
                in_flight.discard(request.request_id)

        def end(refusal: Refusal) -> None:
            responses.stop(refusal, _failed_item("", refusal, call))

        with (
            self._limits.stream(call),
            self._streams.held(call, end),
            self._watcher.several(call, RequestKind.STREAM_ITEM) as begun,
        ):

            async def read() -> None:
                async for data in requests:
                    watch = begun.begin(received_at=self._predictor.now())
                    await responses.reserve(len(data))
                    try:
                        request = parse(StreamPredictRequest, data, max_bytes=self._live.current.max_request_bytes)
                        watch.request_id = request.request_id[:128]
                        claim_id(read_request_id(request.request_id), in_flight)
                    except Refusal as refusal:
                        watch.stop(refusal)
                        responses.put(_failed_item(watch.request_id, refusal, call))
                        continue
                    responses.put_later(answer(request, watch))

            async with contextlib.aclosing(responses.run(read())) as answers:
                async for response in answers:
                    yield response

    async def _terms(
        self,
        request: PredictRequest | PredictBatchRequest | StreamPredictRequest,
        call: Call,
        watches: Sequence[RequestWatch],
        *,
        kept_arms: dict[str, Arm] | None = None,
    ) -> Terms:
        priority = read_priority(request.priority)
        for watch in watches:
            watch.priority = priority
        call.check_priority(priority)
        admitted = self._limits.admit(call, priority, cost=len(watches))
        timeout = read_span(request, "timeout")
        if timeout is None and isinstance(request, StreamPredictRequest):
            # The RPC's deadline covers the whole stream: it bounds an item, but says nothing of the item's own urgency.
            timeout = self._live.deadlines.default_timeouts[priority]
        max_age, received_at = read_span(request, "max_age"), watches[0].received_at
        deadline = self._live.deadlines.deadline(
            received_at=received_at, rpc_deadline=call.rpc_deadline, timeout=timeout, priority=priority
        )
        for watch in watches:
            watch.deadline = deadline
        target = await self._predictor.resolve(request.model.name, request.model.version)
        for watch in watches:
            watch.model = target.model
        return Terms(
            target=target,
            priority=priority,
            deadline=deadline,
            received_at=received_at,
            max_age=max_age,
            admitted=admitted,
            kept_arms=kept_arms,
        )

    async def _answer_once(
        self,
        item: PredictRequest | PredictBatchItem,
        request: PredictRequest | PredictBatchRequest,
        terms: Terms,
        watch: RequestWatch,
    ) -> prediction_pb2.Prediction:
        """Answers an item, unless its request_id was answered before: then with the same answer."""
        key = self.idempotency.key(watch.call.caller, item.request_id)
        if key is None or request.options.bypass_cache:
            return await self._answer(item, request.options, terms, watch)
        payload = payload_digest(item, request)
        received_at, deadline = terms.received_at, terms.deadline
        async with self.idempotency.claim(key, payload, received_at=received_at, deadline=deadline) as claim:
            if claim.answer is not None:
                watch.answered(None)
                return write_replay(
                    claim.answer,
                    received_at=received_at,
                    now=self._predictor.now(),
                    deadline=deadline,
                    priority=terms.priority,
                    trace_id=watch.trace_id,
                )
            prediction = await self._answer(item, request.options, terms, watch)
            claim.keep(prediction.SerializeToString())
            return prediction

    async def _answer(
        self,
        item: ItemMessage,
        options: prediction_pb2.PredictOptions,
        terms: Terms,
        watch: RequestWatch,
    ) -> prediction_pb2.Prediction:
        call, kind = watch.call, item.WhichOneof("input")
        model = terms.target.model  # a candidate reads the same
        if kind == "window":
            try:
                window = read_window(item.window, model.config)
                as_of_time = read_time(item.window, "as_of_time", reason=Reason.MALFORMED_MESSAGE)
            except Refusal as refusal:
                raise refusal.within("window") from None
            origin = InputOrigin(feature_schema=item.window.feature_schema, as_of_time=as_of_time)
            watch.parsed()
        elif kind == "symbol":
            watch.symbol = item.symbol
            watch.parsed()
            window, origin = await self._windows.window(
                item.symbol, model.config, owner=call.owner, max_age=terms.max_age
            )
        else:
            raise Refusal(Reason.MISSING_INPUT, "Set window, or symbol.", field="input")
        key = ""
        if terms.target.route is not None:
            names = {"symbol": item.symbol, "request_id": item.request_id}
            # One that says nothing of itself follows its content: under one key all such would change arms at once.
            key = routing_key(call, **names) or hashlib.sha256(window.data).hexdigest()
        assignment = self._predictor.assign(terms.target, key, terms.kept_arms)
        answer = await self._predictor.predict(
            PredictionTask(
                work=Work(window=window, model=assignment.model, trace=watch.sampled_trace),
                origin=origin,
                priority=terms.priority,
                deadline=terms.deadline,
                received_at=terms.received_at,
                caller=call.caller,
                trace_id=watch.trace_id,
                shareable=not options.bypass_cache,
                cacheable=not options.bypass_cache,
                key_id=call.key_id,
            ),
            assignment,
        )
        watch.answered(answer)
        return write_prediction(answer, options)


def _failed_item(request_id: str, error: Exception, call: Call) -> StreamPredictResponse:
    return StreamPredictResponse(request_id=request_id, error=to_status(explain(error, trace_id=call.trace_id)))
