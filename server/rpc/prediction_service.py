"""`tickserve.v1.PredictionService`, the window RPCs: `Predict`, `PredictBatch` and `StreamPredict`.

Owns what is particular to each RPC: how many items, whose deadline, in which order. One item is read, scheduled and
answered by the same code in all three. `StreamTicks` is `tick_service`.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator

from batching import PriorityClass
from server.call import Call
from server.config.live_settings import LiveSettings
from server.inference.predictor import InputOrigin, PredictionTask, Work
from server.refusal import Reason, Refusal
from server.results.idempotency import Idempotency
from server.routes.route_table import Target
from server.routes.routed_predictor import RoutedPredictor
from server.routes.router import Arm, routing_key
from server.rpc.decode import parse, read_priority, read_request_id, read_span, read_time, read_window
from server.rpc.encode import write_prediction, write_replay
from server.rpc.errors import explain, to_status
from server.rpc.response_stream import ResponseStream
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
    # Arms by model, of a stream that has a routing key: it keeps them. None elsewhere.
    kept_arms: dict[str, Arm] | None = None


class PredictionService:
    """Serves the window RPCs.

    Args:
        predictor: Finds models and answers tasks.
        windows: The symbols' windows, for requests that name a symbol.
        live: Limits, and what deadlines follow from.

    Attributes:
        idempotency: Which request ids were answered.
    """

    def __init__(
        self,
        *,
        predictor: RoutedPredictor,
        windows: WindowStore,
        live: LiveSettings,
    ) -> None:
        self._predictor = predictor
        self._windows = windows
        self._live = live
        self.idempotency = Idempotency(live, clock=predictor.now)

    async def predict(self, data: bytes, call: Call) -> PredictResponse:
        """Answers one window."""
        request = parse(PredictRequest, data, max_bytes=self._live.current.max_request_bytes)
        request_id = read_request_id(request.request_id)
        terms = await self._terms(request, call, received_at=call.received_at)
        return PredictResponse(request_id=request_id, prediction=await self._answer_once(request, request, terms, call))

    async def predict_batch(self, data: bytes, call: Call) -> PredictBatchResponse:
        """Answers several windows under one deadline, each with its own result, in input order."""
        request = parse(PredictBatchRequest, data, max_bytes=self._live.current.max_request_bytes)
        limit = self._live.current.max_windows_per_request
        if not request.items:
            raise Refusal(Reason.MISSING_INPUT, "Send at least one item.", field="items")
        if len(request.items) > limit:
            raise Refusal(
                Reason.TOO_MANY_WINDOWS,
                f"At most {limit} items are taken in one request; split it, or use StreamPredict.",
                field="items",
                metadata={"limit": str(limit), "have": str(len(request.items))},
            )
        terms = await self._terms(request, call, received_at=call.received_at)

        async def result(index: int) -> PredictBatchResult:
            item = request.items[index]
            try:
                request_id = read_request_id(item.request_id)
                prediction = await self._answer_once(item, request, terms, call)
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

        async def answer(request: StreamPredictRequest, received_at: float) -> StreamPredictResponse:
            try:
                terms = await self._terms(request, call, received_at=received_at, kept_arms=kept_arms)
                prediction = await self._answer(request, request.options, terms, call)
                return StreamPredictResponse(request_id=request.request_id, prediction=prediction)
            except Exception as error:
                return _failed_item(request.request_id, error, call)
            finally:
                in_flight.discard(request.request_id)

        async def read() -> None:
            async for data in requests:
                received_at = self._predictor.now()
                await responses.reserve(len(data))
                try:
                    request = parse(StreamPredictRequest, data, max_bytes=self._live.current.max_request_bytes)
                except Refusal as refusal:
                    responses.put(_failed_item("", refusal, call))
                    continue
                try:
                    _claim(read_request_id(request.request_id), in_flight)
                except Refusal as refusal:
                    responses.put(_failed_item(request.request_id[:128], refusal, call))
                    continue
                responses.put_later(answer(request, received_at))

        async with contextlib.aclosing(responses.run(read())) as answers:
            async for response in answers:
                yield response

    async def _terms(
        self,
        request: PredictRequest | PredictBatchRequest | StreamPredictRequest,
        call: Call,
        *,
        received_at: float,
        kept_arms: dict[str, Arm] | None = None,
    ) -> Terms:
        priority = read_priority(request.priority)
        timeout = read_span(request, "timeout")
        if timeout is None and isinstance(request, StreamPredictRequest):
            # The RPC's deadline covers the whole stream: it bounds an item, but says nothing of the item's own urgency.
            timeout = self._live.deadlines.default_timeouts[priority]
        max_age = read_span(request, "max_age")
        deadline = self._live.deadlines.deadline(
            received_at=received_at, rpc_deadline=call.rpc_deadline, timeout=timeout, priority=priority
        )
        target = await self._predictor.resolve(request.model.name, request.model.version)
        return Terms(
            target=target,
            priority=priority,
            deadline=deadline,
            received_at=received_at,
            max_age=max_age,
            kept_arms=kept_arms,
        )

    async def _answer_once(
        self,
        item: PredictRequest | PredictBatchItem,
        request: PredictRequest | PredictBatchRequest,
        terms: Terms,
        call: Call,
    ) -> prediction_pb2.Prediction:
        """Answers an item, unless its request_id was answered before: then with the same answer."""
        key = self.idempotency.key(call.caller, item.request_id)
        if key is None or request.options.bypass_cache:
            return await self._answer(item, request.options, terms, call)
        payload = _payload(item, request)
        received_at, deadline = terms.received_at, terms.deadline
        async with self.idempotency.claim(key, payload, received_at=received_at, deadline=deadline) as claim:
            if claim.answer is not None:
                return write_replay(
                    claim.answer,
                    received_at=received_at,
                    now=self._predictor.now(),
                    deadline=deadline,
                    priority=terms.priority,
                    trace_id=call.trace_id,
                )
            prediction = await self._answer(item, request.options, terms, call)
            claim.keep(prediction.SerializeToString())
            return prediction

    async def _answer(
        self, item: ItemMessage, options: prediction_pb2.PredictOptions, terms: Terms, call: Call
    ) -> prediction_pb2.Prediction:
        kind = item.WhichOneof("input")
        model = terms.target.model  # a candidate reads the same
        if kind == "window":
            try:
                window = read_window(item.window, model.config)
                as_of_time = read_time(item.window, "as_of_time", reason=Reason.MALFORMED_MESSAGE)
            except Refusal as refusal:
                raise refusal.within("window") from None
            origin = InputOrigin(feature_schema=item.window.feature_schema, as_of_time=as_of_time)
        elif kind == "symbol":
            window, origin = await self._windows.window(item.symbol, model.config, max_age=terms.max_age)
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
                work=Work(window=window, model=assignment.model),
                origin=origin,
                priority=terms.priority,
                deadline=terms.deadline,
                received_at=terms.received_at,
                caller=call.caller,
                trace_id=call.trace_id,
                shareable=not options.bypass_cache,
                cacheable=not options.bypass_cache,
            ),
            assignment,
        )
        return write_prediction(answer, options)


def _payload(item: PredictRequest | PredictBatchItem, request: PredictRequest | PredictBatchRequest) -> bytes:
    """Returns the digest of all that decides an answer: how urgent it is, and until when, is no part of it."""
    digest = hashlib.sha256()
    asked = item.window if item.WhichOneof("input") == "window" else None
    for part in (request.model, request.options, request.max_age, asked):
        data = b"" if part is None else part.SerializeToString()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    digest.update(item.symbol.encode())
    return digest.digest()


def _claim(request_id: str, in_flight: set[str]) -> None:
    """Takes a stream item's id, which must be set and not in flight."""
    if not request_id:
        raise Refusal(Reason.MISSING_INPUT, "Set request_id: answers come out of order.", field="request_id")
    if request_id in in_flight:
        raise Refusal(
            Reason.REQUEST_ID_REUSED, "This request_id is still in flight on this stream.", field="request_id"
        )
    in_flight.add(request_id)


def _failed_item(request_id: str, error: Exception, call: Call) -> StreamPredictResponse:
    return StreamPredictResponse(request_id=request_id, error=to_status(explain(error, trace_id=call.trace_id)))
