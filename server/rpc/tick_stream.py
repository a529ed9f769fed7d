"""One `StreamTicks` call: messages to session calls, events to messages, one answer after another for each symbol.

Owns the protocol of one stream: what is said when, in which order, within which bounds. What a tick does to a window is
decided in `tick_session`. A bad message is answered and the stream lives on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from server.call import Call
from server.refusal import Reason, Refusal, draining
from server.rpc.decode import parse
from server.rpc.decode_ticks import read_history, read_tick, read_watermark
from server.rpc.encode_ticks import write_drain, write_durable, write_gap, write_heartbeat, write_opened, write_progress
from server.rpc.errors import explain, to_status
from server.rpc.heartbeats import send_heartbeats
from server.rpc.response_stream import ResponseStream
from server.rpc.tick_notices import TickNotices
from server.ticks.due_watches import DueWatches
from server.ticks.pending_prediction import PendingPrediction
from server.ticks.session_terms import SessionTerms
from server.ticks.tick_event import DuePrediction, Event, Gap, Progress
from server.ticks.tick_session import TickSession, taken_over
from server.time_slice import TimeSlice
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest, StreamTicksResponse
from tickserve.v1.tick_pb2 import OpenStream, TickError

if TYPE_CHECKING:  # the service makes streams, and a stream asks it for answers
    from server.rpc.tick_service import TickService


class TickStream:
    """One stream: its session once opened, its responses, and what is due for each symbol.

    Args:
        service: Opens sessions and answers predictions.
        call: The RPC.

    Attributes:
        responses: What the client is told.
        last_sent: When it was told something last, monotonic seconds.
        notices: What the client is told beside its answers.
        is_ended: This side has ended the stream before the client did.
    """

    def __init__(self, service: TickService, call: Call) -> None:
        self._service = service
        self._call = call
        self._session: TickSession | None = None
        self._last_due: dict[str, asyncio.Future[None]] = {}
        # Of a stream that conflates: the newest of each symbol, and those that have no place yet.
        self._pending: dict[str, PendingPrediction] = {}
        self._unplaced: deque[PendingPrediction] = deque()
        self._is_placing = False
        self._watches = DueWatches(service.watcher, call)
        # Bytes of the message that is read, until what answers it has a place.
        self._unpaid_bytes = 0
        self._is_drained = False
        self._reading: asyncio.Task[None] | None = None
        self.is_ended = False
        self._opened_at = time.monotonic()
        self.responses: ResponseStream[StreamTicksResponse] = ResponseStream(
            max_in_flight=service.settings.max_in_flight_per_stream,
            max_in_flight_bytes=service.settings.max_in_flight_bytes_per_stream,
        )
        self.notices = TickNotices(self.responses, write_durable)
        self.last_sent = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the stream began."""
        return time.monotonic() - self._opened_at

    @property
    def terms(self) -> SessionTerms | None:
        """What the client asked for; None until it is open."""
        return None if self._session is None else self._session.terms

    def stop(self, refusal: Refusal) -> None:
        """Ends the stream at once: the client may not have it any more."""
        self.responses.stop(refusal, self._failure("", 0, refusal))

    def close(self) -> None:
        """Lets go of the symbols, and of what nobody waits for any more."""
        self._watches.close()
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def drain(self, grace: float) -> None:
        """Asks the client to go elsewhere within `grace` seconds; after them the stream ends. Idempotent."""
        if not self._is_drained:
            self._is_drained = True
            self.notices.tell(write_drain(grace))

    def end(self) -> None:
        """Reads no more; what is due is still answered. A client that was not done is told to come back: `is_ended`."""
        if self._reading is None:
            self.is_ended = True
        elif not self._reading.done():
            self.is_ended = True
            self._reading.cancel()

    async def read(self, requests: AsyncIterator[bytes]) -> None:
        """Reads the client's messages until either side ends the stream."""
        loop = asyncio.get_running_loop()
        heartbeats = loop.create_task(send_heartbeats(self, self._service.settings.heartbeat_interval))
        self._reading = loop.create_task(self._read_all(requests))
        if self.is_ended:
            self._reading.cancel()
        try:
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                self._reading.result()
            if self._session is not None:
                await self._service.make_durable()
        finally:
            heartbeats.cancel()
            self._reading.cancel()
            await asyncio.gather(heartbeats, self._reading, return_exceptions=True)

    async def _read_all(self, requests: AsyncIterator[bytes]) -> None:
        service = self._service
        async for data in requests:
            received_at = service.now()
            await service.turns.turn()
            await self._take(data, received_at)

    async def _take(self, data: bytes, received_at: float) -> None:
        symbol, sequence = "", 0
        self._unpaid_bytes = len(data)
        try:
            message = parse(StreamTicksRequest, data, max_bytes=self._service.settings.max_request_bytes)
            kind = message.WhichOneof("message")
            if kind == "tick":
                symbol, sequence = message.tick.symbol[:64], message.tick.sequence
            elif kind == "history":
                symbol, sequence = message.history.symbol[:64], message.history.last_sequence
            await self._handle(message, kind, received_at)
        except Exception as error:
            await self._reply(self._failure(symbol, sequence, error))

    async def _handle(self, message: StreamTicksRequest, kind: str | None, received_at: float) -> None:
        if kind is None:
            raise Refusal(Reason.MISSING_INPUT, "Set open, history, tick, watermark or heartbeat.", field="message")
        try:
            await self._apply(message, kind, received_at)
        except Refusal as refusal:
            if kind == "tick":
                self._service.counters.refused += 1
            raise refusal.within(kind) from None

    async def _apply(self, message: StreamTicksRequest, kind: str, received_at: float) -> None:
        if kind == "heartbeat":
            await self._reply(write_heartbeat())
            return
        if kind == "open":
            await self._open(message.open)
            return
        session = self._session
        if session is None:
            raise Refusal(Reason.STREAM_NOT_OPEN, "Send open first.")
        events: Iterable[Event]
        latest = self._service.wall_clock() + self._service.settings.windows.max_event_lead
        if kind == "tick":
            # Before anything is applied: what is refused leaves its sequence where it was, and may be sent again.
            self._service.limits.admit(self._call, session.terms.priority)
            tick = read_tick(message.tick, session.terms.model.config, latest=latest)
            events = session.apply(tick)
            if tick.event_time is not None:
                self._service.counters.note_skew(self._service.wall_clock() - tick.event_time)
        elif kind == "history":
            bars = read_history(message.history, latest=latest)
            events = await session.apply_history(message.history.symbol, bars, message.history.last_sequence)
        else:
            events = await session.close_until(read_watermark(message.watermark, latest=latest))
        time_slice = TimeSlice()
        for event in events:
            await self._tell(event, session, received_at)
            await time_slice.give_way()

    async def _open(self, message: OpenStream) -> None:
        if self._session is not None:
            raise Refusal(Reason.STREAM_ALREADY_OPEN, "The stream is open; start another one for other terms.")
        if self._is_drained:
            raise draining()
        session = await self._service.open(
            message, self._call, on_durable=self.notices.durable, on_lost=self._note_lost
        )
        self._session = session
        await self._reply(StreamTicksResponse(opened=write_opened(session, self._service.settings.heartbeat_interval)))
        self._service.halts.tell_standing(self)
        time_slice = TimeSlice()
        for event in session.missed():
            # Its time counts from here: there may be more of them than are answered in the time that one has.
            await self._tell(event, session, self._service.now())
            await time_slice.give_way()

    async def _tell(self, event: Event, session: TickSession, received_at: float) -> None:
        match event:
            case Progress():
                await self._reply(StreamTicksResponse(progress=write_progress(event)))
            case Gap():
                await self._reply(StreamTicksResponse(gap=write_gap(event)))
            case DuePrediction():
                await self._schedule(event, session, received_at)

    async def _schedule(self, due: DuePrediction, session: TickSession, received_at: float) -> None:
        """Has a due prediction answered, after its symbol's answers before it: the client hears them in order."""
        deadline = self._service.deadline(due, session, self._call, received_at=received_at)
        if not session.terms.conflate:
            pending = PendingPrediction(due, received_at=received_at, deadline=deadline)
            self._watches.follow(pending, session.terms)
            await self._reserve()
            self._place(pending, session)
            return
        earlier = self._pending.get(due.symbol)
        if earlier is not None and not earlier.is_bound:
            earlier.replace(due, received_at=received_at, deadline=deadline)
            self._watches.follow(earlier, session.terms)
            self._service.counters.conflated += 1
            return
        # The reader does not wait for the place: it would read no newer ticks, which are to replace this one. One
        # pending prediction for each symbol is bound enough.
        pending = self._pending[due.symbol] = PendingPrediction(due, received_at=received_at, deadline=deadline)
        self._watches.follow(pending, session.terms)
        self._unplaced.append(pending)
        if not self._is_placing:
            self._is_placing = True
            self.responses.spawn(self._place_all(session))

    async def _place_all(self, session: TickSession) -> None:
        """Gives the pending predictions of a stream that conflates their places, oldest first."""
        try:
            while self._unplaced:
                await self.responses.reserve()
                self._place(self._unplaced.popleft(), session)
        finally:
            self._is_placing = False

    def _place(self, pending: PendingPrediction, session: TickSession) -> None:
        """Begins an answer; its place must have been reserved."""
        symbol = pending.due.symbol
        before = self._last_due.get(symbol)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last_due[symbol] = done
        self.responses.put_later(self._answer(pending, session, before, done))

    async def _answer(
        self,
        pending: PendingPrediction,
        session: TickSession,
        before: asyncio.Future[None] | None,
        done: asyncio.Future[None],
    ) -> StreamTicksResponse:
        symbol = pending.due.symbol
        try:
            try:
                with self._watches.ending(pending) as watch:
                    prediction = await self._service.answer(pending, session, self._call, watch)
                    response = StreamTicksResponse(prediction=prediction)
            except Exception as error:
                response = self._failure(symbol, pending.due.sequence, error)
            if self._pending.get(symbol) is pending:
                del self._pending[symbol]
            if before is not None:
                await before
            return response
        finally:
            if not done.done():  # it is cancelled with the answer that waits for it, where the stream is over
                done.set_result(None)
            if self._last_due.get(symbol) is done:
                del self._last_due[symbol]

    def _note_lost(self, symbol: str) -> None:
        self.notices.lost(symbol, self._failure(symbol, 0, taken_over(symbol)))

    def _failure(self, symbol: str, sequence: int, error: Exception) -> StreamTicksResponse:
        status = to_status(explain(error, trace_id=self._call.trace_id))
        return StreamTicksResponse(error=TickError(symbol=symbol, sequence=sequence, error=status))

    async def _reply(self, response: StreamTicksResponse) -> None:
        """Sends what answers the message that is read."""
        await self._reserve()
        self.responses.put(response)

    async def _reserve(self) -> None:
        """Waits for a place for what answers the message that is read.

        The first place of a message takes its bytes. The next ones take none: they would wait for the first.
        """
        size, self._unpaid_bytes = self._unpaid_bytes, 0
        await self.responses.reserve(size)
