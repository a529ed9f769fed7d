"""`tickserve.v1.PredictionService/StreamTicks`: ticks in, predictions out, windows kept on the server.

Owns the RPC's protocol: messages to session calls, events to messages, one due prediction after another for each
symbol. What a tick does to a window is decided in `tick_session`. A bad message is answered and the stream lives on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

from server.call import Call
from server.decode import parse, read_history, read_priority, read_tick
from server.encode import write_gap, write_opened, write_prediction, write_progress
from server.errors import explain, to_status
from server.live_settings import LiveSettings
from server.predictor import PredictionTask, Work
from server.refusal import Reason, Refusal
from server.response_stream import ResponseStream
from server.routed_predictor import Assignment, RoutedPredictor
from server.router import routing_key
from server.settings import Settings
from server.tick_session import DuePrediction, Event, Gap, Progress, TickSession
from server.window_store import WindowStore
from tickserve.v1.prediction_pb2 import PredictOptions
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest, StreamTicksResponse
from tickserve.v1.tick_pb2 import Heartbeat, OpenStream, TickError, TickPrediction

_DEFAULT_OPTIONS = PredictOptions()


class TickService:
    """Serves `StreamTicks`.

    Args:
        predictor: Finds models and answers due predictions.
        windows: Keeps the symbols' windows.
        live: Limits, and what deadlines follow from.
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
        self.open_stream_count = 0

    async def stream_ticks(
        self, requests: AsyncIterator[bytes], call: Call
    ) -> AsyncGenerator[StreamTicksResponse, None]:
        """Serves one stream until the client has closed its side and every due prediction is answered."""
        stream = _TickStream(self, call)
        self.open_stream_count += 1
        try:
            async with contextlib.aclosing(stream.responses.run(stream.read(requests))) as responses:
                async for response in responses:
                    stream.last_sent = time.monotonic()
                    yield response
        finally:
            self.open_stream_count -= 1
            stream.close()

    async def open(self, message: OpenStream, call: Call) -> tuple[TickSession, Assignment]:
        """Begins a session, and settles who answers it for as long as it lives.

        Raises:
            Refusal: A field is bad, names something unknown, or asks for what this server does not do.
        """
        if not message.symbols:
            raise Refusal(Reason.INVALID_SYMBOL, "Name at least one symbol.", field="symbols")
        limit = self._live.current.max_symbols_per_stream
        if len(message.symbols) > limit:
            raise Refusal(
                Reason.LIMIT_EXCEEDED,
                f"At most {limit} symbols are taken on one stream; open another.",
                field="symbols",
                metadata={"limit": str(limit), "have": str(len(message.symbols))},
            )
        if len(set(message.symbols)) != len(message.symbols):
            raise Refusal(Reason.INVALID_SYMBOL, "Name each symbol once.", field="symbols")
        if message.predict_every < 0:
            raise Refusal(Reason.INVALID_TICK, "predict_every must not be negative.", field="predict_every")
        for field in ("conflate", "predict_partial"):
            if getattr(message, field):
                raise Refusal(Reason.INVALID_TICK, f"This server does not support {field}; leave it out.", field=field)
        priority = read_priority(message.priority)
        target = await self._predictor.resolve(message.model.name, message.model.version)
        # A stream that is opened anew with the same symbols meets the same arm again.
        key = routing_key(call, symbol=",".join(sorted(message.symbols)), request_id="")
        assignment = self._predictor.assign(target, key)
        session = TickSession(
            store=self._windows,
            model=assignment.model,
            priority=priority,
            symbols=message.symbols,
            predict_every=message.predict_every or 1,
            resume=[(point.symbol, point.last_answered_sequence) for point in message.resume],
        )
        return session, assignment

    def now(self) -> float:
        """Returns the monotonic clock that deadlines are measured on."""
        return self._predictor.now()

    async def answer(
        self, due: DuePrediction, session: TickSession, assignment: Assignment, call: Call, *, received_at: float
    ) -> TickPrediction:
        """Answers one due prediction.

        Args:
            due: What is to be answered.
            session: Whose it is.
            assignment: Who answers it.
            call: The stream's RPC.
            received_at: Receipt of the tick that made it due, monotonic seconds.

        Raises:
            Exception: Whatever ended it; the stream tells the client.
        """
        answer = await self._predictor.predict(
            PredictionTask(
                work=Work(window=due.window, model=session.model),
                origin=due.origin,
                priority=session.priority,
                deadline=self._live.deadlines.deadline(
                    received_at=received_at,
                    rpc_deadline=call.rpc_deadline,
                    timeout=due.valid_duration or self._live.deadlines.default_timeouts[session.priority],
                    priority=session.priority,
                ),
                received_at=received_at,
                caller=call.caller,
                trace_id=call.trace_id,
                shareable=True,
                # A window of a stream is new by its nature: keeping its answer would only push out others.
                cacheable=False,
            ),
            assignment,
        )
        return TickPrediction(
            symbol=due.symbol,
            sequence=due.sequence,
            first_sequence=due.sequence,
            prediction=write_prediction(answer, _DEFAULT_OPTIONS),
        )

    @property
    def settings(self) -> Settings:
        """The server's settings."""
        return self._live.current


class _TickStream:
    """One stream: its session once opened, its responses, and the last due prediction of each symbol."""

    def __init__(self, service: TickService, call: Call) -> None:
        self._service = service
        self._call = call
        self._session: TickSession | None = None
        self._assignment: Assignment | None = None
        self._last_due: dict[str, asyncio.Future[None]] = {}
        self.responses: ResponseStream[StreamTicksResponse] = ResponseStream(
            max_in_flight=service.settings.max_in_flight_per_stream
        )
        self.last_sent = time.monotonic()

    def close(self) -> None:
        """Lets go of the symbols."""
        if self._session is not None:
            self._session.close()

    async def read(self, requests: AsyncIterator[bytes]) -> None:
        """Reads the client's messages until it closes its side."""
        heartbeats = asyncio.get_running_loop().create_task(self._send_heartbeats())
        try:
            async for data in requests:
                symbol, sequence, received_at = "", 0, self._service.now()
                try:
                    message = parse(StreamTicksRequest, data, max_bytes=self._service.settings.max_request_bytes)
                    kind = message.WhichOneof("message")
                    if kind == "tick":
                        symbol, sequence = message.tick.symbol[:64], message.tick.sequence
                    elif kind == "history":
                        symbol, sequence = message.history.symbol[:64], message.history.last_sequence
                    await self._handle(message, kind, received_at)
                except Exception as error:
                    refusal = explain(error, trace_id=self._call.trace_id)
                    await self._send(
                        StreamTicksResponse(error=TickError(symbol=symbol, sequence=sequence, error=to_status(refusal)))
                    )
        finally:
            heartbeats.cancel()

    async def _handle(self, message: StreamTicksRequest, kind: str | None, received_at: float) -> None:
        if kind is None:
            raise Refusal(Reason.MISSING_INPUT, "Set open, history, tick, watermark or heartbeat.", field="message")
        try:
            await self._apply(message, kind, received_at)
        except Refusal as refusal:
            raise refusal.within(kind) from None

    async def _apply(self, message: StreamTicksRequest, kind: str, received_at: float) -> None:
        if kind == "heartbeat":
            await self._send(StreamTicksResponse(heartbeat=_heartbeat()))
        elif kind == "open":
            await self._open(message.open)
        else:
            session = self._session
            if session is None:
                raise Refusal(Reason.STREAM_NOT_OPEN, "Send open first.")
            if kind == "tick":
                tick = read_tick(message.tick, session.model.config)
                await self._tell(session.apply(tick), session, received_at)
            elif kind == "history":
                bars = read_history(message.history)
                events = session.apply_history(message.history.symbol, bars, message.history.last_sequence)
                await self._tell(events, session, received_at)
            # A watermark closes bars that are made of trades; ready bars are closed as they come.

    async def _open(self, message: OpenStream) -> None:
        if self._session is not None:
            raise Refusal(Reason.STREAM_ALREADY_OPEN, "The stream is open; start another one for other terms.")
        session, self._assignment = await self._service.open(message, self._call)
        self._session = session
        opened = StreamTicksResponse(opened=write_opened(session, self._service.settings.heartbeat_interval))
        await self._send(opened)
        for gap in session.missed:
            await self._send(StreamTicksResponse(gap=write_gap(gap)))

    async def _tell(self, events: list[Event], session: TickSession, received_at: float) -> None:
        for event in events:
            match event:
                case Progress():
                    await self._send(StreamTicksResponse(progress=write_progress(event)))
                case Gap():
                    await self._send(StreamTicksResponse(gap=write_gap(event)))
                case DuePrediction():
                    await self.responses.reserve()
                    # Each answer waits for its symbol's answer before it: the client hears them in order.
                    before = self._last_due.get(event.symbol)
                    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    self._last_due[event.symbol] = done
                    self.responses.put_later(self._answer(event, session, received_at, before, done))

    async def _answer(
        self,
        due: DuePrediction,
        session: TickSession,
        received_at: float,
        before: asyncio.Future[None] | None,
        done: asyncio.Future[None],
    ) -> StreamTicksResponse:
        try:
            try:
                assert self._assignment is not None, "what is due belongs to a session"
                prediction = await self._service.answer(
                    due, session, self._assignment, self._call, received_at=received_at
                )
                response = StreamTicksResponse(prediction=prediction)
            except Exception as error:
                status = to_status(explain(error, trace_id=self._call.trace_id))
                response = StreamTicksResponse(error=TickError(symbol=due.symbol, sequence=due.sequence, error=status))
            if before is not None:
                await before
            return response
        finally:
            done.set_result(None)

    async def _send(self, response: StreamTicksResponse) -> None:
        await self.responses.reserve()
        self.responses.put(response)

    async def _send_heartbeats(self) -> None:
        interval = self._service.settings.heartbeat_interval
        while True:
            await asyncio.sleep(interval)
            if time.monotonic() - self.last_sent >= interval:
                await self._send(StreamTicksResponse(heartbeat=_heartbeat()))


def _heartbeat() -> Heartbeat:
    heartbeat = Heartbeat()
    heartbeat.send_time.GetCurrentTime()
    return heartbeat
