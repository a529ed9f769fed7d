"""`ModelInfer` and `ModelStreamInfer` of the Open Inference Protocol: windows to the same scheduler as `Predict`'s.

Owns what is particular to the protocol: one request is one or several windows with one result for all of them, so that
one window's failure is the request's; and a stream is answered in the order of its requests, as Triton does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from tritonclient.grpc import service_pb2

from server.call import Call
from server.config.live_settings import LiveSettings
from server.inference.predictor import Answer, InputOrigin, PredictionTask, Work
from server.observation.request_record import RequestKind
from server.observation.request_watch import RequestWatch, RequestWatcher
from server.oip.decode_infer import FloatArray, InferOrder, choose_outputs, read_order, read_windows
from server.oip.encode_infer import mark_final, versions_of, write_failure, write_response
from server.refusal import Refusal
from server.routes.route_table import Target
from server.routes.routed_predictor import Assignment, RoutedPredictor
from server.routes.router import Arm, routing_key
from server.rpc.decode import Received, parse
from server.rpc.errors import explain
from server.rpc.request_checks import check_count
from server.rpc.response_stream import ResponseStream
from server.security.caller_limits import CallerLimits
from server.security.halt import Subject
from server.security.halt_view import Halts
from server.security.open_streams import OpenStreams

Begin = Callable[[], RequestWatch]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request that may go on, with what its windows have in common."""

    order: InferOrder
    assignment: Assignment
    deadline: float
    received_at: float


class InferService:
    """Serves the predicting methods.

    Args:
        predictor: Finds models and answers tasks.
        live: Limits, and what deadlines follow from.
        watcher: Follows every window to its end.
        limits: How much each caller may ask for.
        streams: Ends the streams of callers who lose the right to them.
        halts: What is halted; a stream's answer may wait for long before it leaves.
    """

    def __init__(
        self,
        *,
        predictor: RoutedPredictor,
        live: LiveSettings,
        watcher: RequestWatcher,
        limits: CallerLimits,
        streams: OpenStreams,
        halts: Halts,
    ) -> None:
        self._predictor = predictor
        self._live = live
        self._watcher = watcher
        self._limits = limits
        self._streams = streams
        self._halts = halts

    async def model_infer(self, data: Received, call: Call) -> service_pb2.ModelInferResponse:
        """Answers the windows of one request."""
        with self._watcher.several(call, RequestKind.BATCH_ITEM) as begun:

            def begin() -> RequestWatch:
                return begun.begin(received_at=call.received_at)

            first = begin()  # one that cannot be read counts as one window
            request = parse(service_pb2.ModelInferRequest, data, max_bytes=self._live.current.max_request_bytes)
            response = service_pb2.ModelInferResponse()
            await self._answer(request, response, call, first, begin)
            return response

    async def model_stream_infer(
        self, requests: AsyncIterator[bytes], call: Call
    ) -> AsyncGenerator[service_pb2.ModelStreamInferResponse, None]:
        """Answers requests as they come, in their order; one that fails is answered with its error."""
        responses: ResponseStream[service_pb2.ModelStreamInferResponse] = ResponseStream(
            max_in_flight=self._live.current.max_in_flight_per_stream,
            max_in_flight_bytes=self._live.current.max_in_flight_bytes_per_stream,
        )
        kept_arms: dict[str, Arm] | None = {} if call.routing_key else None

        def end(refusal: Refusal) -> None:
            responses.stop(refusal, write_failure(refusal, ""))

        with (
            self._limits.stream(call),
            self._streams.held(call, end),
            self._watcher.several(call, RequestKind.STREAM_ITEM) as begun,
        ):

            async def answer(data: bytes, first: RequestWatch) -> service_pb2.ModelStreamInferResponse:
                response = service_pb2.ModelStreamInferResponse()
                inner = response.infer_response

                def begin() -> RequestWatch:
                    return begun.begin(received_at=first.received_at)

                try:
                    request = parse(service_pb2.ModelInferRequest, data, max_bytes=self._live.current.max_request_bytes)
                    await self._answer(request, inner, call, first, begin, kept_arms=kept_arms, in_stream=True)
                except Exception as error:
                    first.stop(error)  # nothing else has, if it could not be read
                    return write_failure(explain(error, trace_id=call.trace_id), first.request_id)
                mark_final(inner)
                return response

            async def in_turn(
                data: bytes, first: RequestWatch, before: asyncio.Event, done: asyncio.Event
            ) -> service_pb2.ModelStreamInferResponse:
                response = await answer(data, first)
                await before.wait()
                # Whoever waits for it runs after this task has handed its response over.
                done.set()
                return response

            async def read() -> None:
                before = asyncio.Event()
                before.set()
                async for data in requests:
                    first = begun.begin(received_at=self._predictor.now())
                    await responses.reserve(len(data))
                    done = asyncio.Event()
                    responses.put_later(in_turn(data, first, before, done))
                    before = done

            async with contextlib.aclosing(responses.run(read())) as answers:
                async for response in answers:
                    yield self._unless_halted(response, call)

    async def _answer(
        self,
        request: service_pb2.ModelInferRequest,
        response: service_pb2.ModelInferResponse,
        call: Call,
        first: RequestWatch,
        begin: Begin,
        *,
        kept_arms: dict[str, Arm] | None = None,
        in_stream: bool = False,
    ) -> None:
        """Fills in a request's response.

        Args:
            request: The request.
            response: Empty.
            call: The RPC that it came in.
            first: Follows its first window.
            begin: Begins to follow another one.
            kept_arms: Arms by model of a stream that keeps them.
            in_stream: Whether the RPC's deadline says nothing of this request's own urgency.
        """
        # Its windows end together: whatever became of each, this is what the caller is told of them.
        with contextlib.ExitStack() as watched:
            watches = [watched.enter_context(first)]
            first.request_id = request.id[:128]
            order = read_order(request)
            check_count(order.count, limit=self._live.current.max_windows_per_request, field="inputs[0].shape")
            watches += [watched.enter_context(begin()) for _ in range(1, order.count)]
            target, deadline = await self._admit(order, call, watches, in_stream=in_stream)
            config = target.model.config  # a candidate reads the same
            outputs = choose_outputs(order, config)
            windows = await read_windows(request, order, config)
            for watch in watches:
                watch.parsed()
            assignment = self._assign(target, order, windows[0], call, kept_arms)
            job = Job(order=order, assignment=assignment, deadline=deadline, received_at=first.received_at)
            answers = await self._predict_all(windows, watches, job)
            for watch, answer in zip(watches, answers, strict=True):
                watch.answered(answer)
            write_response(response, answers, outputs, request_id=order.request_id)

    def _unless_halted(
        self, response: service_pb2.ModelStreamInferResponse, call: Call
    ) -> service_pb2.ModelStreamInferResponse:
        """Returns what is sent: the response, or that its model has been halted since it was made."""
        if self._halts.is_idle or response.error_message:
            return response
        inner = response.infer_response
        for version in versions_of(inner):
            refusal = self._halts.refusal(Subject(inner.model_name, version, "", call.key_id))
            if refusal is not None:
                return write_failure(refusal, inner.id)
        return response

    async def _admit(
        self, order: InferOrder, call: Call, watches: list[RequestWatch], *, in_stream: bool
    ) -> tuple[Target, float]:
        """Returns what the request is about and until when; or refuses it."""
        for watch in watches:
            watch.request_id, watch.priority = order.request_id, order.priority
        call.check_priority(order.priority)
        if self._limits.admit(call, order.priority, cost=len(watches)) < len(watches):
            raise self._limits.refusal(call, order.priority)
        timeout = order.timeout
        if timeout is None and in_stream:
            timeout = self._live.deadlines.default_timeouts[order.priority]
        deadline = self._live.deadlines.deadline(
            received_at=watches[0].received_at,
            rpc_deadline=call.rpc_deadline,
            timeout=timeout,
            priority=order.priority,
        )
        for watch in watches:
            watch.deadline = deadline
        target = await self._predictor.resolve(order.model_name, order.version)
        for watch in watches:
            watch.model = target.model
        return target, deadline

    def _assign(
        self,
        target: Target,
        order: InferOrder,
        window: FloatArray,
        call: Call,
        kept_arms: dict[str, Arm] | None,
    ) -> Assignment:
        """Returns who answers: one arm for all windows, for the response names one version."""
        key = ""
        if target.route is not None:
            named = routing_key(call, symbol="", request_id=order.request_id)
            key = named or hashlib.sha256(window.data).hexdigest()
        return self._predictor.assign(target, key, kept_arms)

    async def _predict_all(self, windows: list[FloatArray], watches: list[RequestWatch], job: Job) -> list[Answer]:
        """Answers all windows, or fails as the first one that fails; the others are then given up."""
        if len(windows) == 1:
            return [await self._predict(windows[0], watches[0], job)]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._predict(window, watch, job))
                    for window, watch in zip(windows, watches, strict=True)
                ]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _predict(self, window: FloatArray, watch: RequestWatch, job: Job) -> Answer:
        order, call = job.order, watch.call
        return await self._predictor.predict(
            PredictionTask(
                work=Work(window=window, model=job.assignment.model, trace=watch.sampled_trace),
                origin=InputOrigin(feature_schema=order.feature_schema),
                priority=order.priority,
                deadline=job.deadline,
                received_at=job.received_at,
                caller=call.caller,
                trace_id=watch.trace_id,
                shareable=not order.bypass_cache,
                cacheable=not order.bypass_cache,
                key_id=call.key_id,
            ),
            job.assignment,
        )
