"""One `StreamTicks` call: messages to session calls, events to messages, one answer after another for each symbol.

Owns the protocol of one stream: what is said when, in which order, within which bounds. What a tick does to a window is
decided in `tick_session`. A bad message is answered and the stream lives on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from server.call import Call
from server.decode import parse
from server.decode_ticks import read_history, read_tick, read_watermark
from server.encode_ticks import write_drain, write_durable, write_gap, write_heartbeat, write_opened, write_progress
from server.errors import explain, to_status
from server.pending_prediction import PendingPrediction
from server.refusal import Reason, Refusal, draining
from server.response_stream import ResponseStream
from server.tick_event import DuePrediction, Event, Gap, Progress
from server.tick_session import TickSession, taken_over
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest, StreamTicksResponse
from tickserve.v1.tick_pb2 import OpenStream, TickError

if TYPE_CHECKING:  # the service makes streams, and a stream asks it for answers
    from server.tick_service import TickService


class TickStream:
    """One stream: its session once opened, its responses, and what is due for each symbol.

    Args:
        service: Opens sessions and answers predictions.
        call: The RPC.

    Attributes:
        responses: What the client is told.
        last_sent: When it was told something last, monotonic seconds.
        is_ended: This side has ended the stream before the client did.
    """

    def __init__(self, service: TickService, call: Call) -> None:
        self._service = service
        self._call = call
        self._session: TickSession | None = None
        self._last_due: dict[str, asyncio.Future[None]] = {}
        self._pending: dict[str, PendingPrediction] = {}
        self._durable: dict[str, int] = {}
        self._telling_durable = False
        self._is_drained = False
        self._reading: asyncio.Task[None] | None = None
        self.is_ended = False
        self._opened_at = time.monotonic()
        self.responses: ResponseStream[StreamTicksResponse] = ResponseStream(
            max_in_flight=service.settings.max_in_flight_per_stream,
            max_in_flight_bytes=service.settings.max_in_flight_bytes_per_stream,
        )
        self.last_sent = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the stream began."""
        return time.monotonic() - self._opened_at

    def close(self) -> None:
        """Lets go of the symbols."""
        if self._session is not None:
            self._session.close()

    def drain(self, grace: float) -> None:
        """Asks the client to go elsewhere within `grace` seconds; after them the stream ends. Idempotent."""
        if not self._is_drained:
            self._is_drained = True
            self.responses.spawn(self._send(write_drain(grace)))

    def end(self) -> None:
        """Reads no more; what is due is still answered. The client is told to come back (`is_ended`)."""
        self.is_ended = True
        if self._reading is not None:
            self._reading.cancel()

    async def read(self, requests: AsyncIterator[bytes]) -> None:
        """Reads the client's messages until either side ends the stream."""
        loop = asyncio.get_running_loop()
        heartbeats = loop.create_task(self._send_heartbeats())
        self._reading = loop.create_task(self._read_all(requests))
        try:
            await asyncio.wait([self._reading])
            if not self._reading.cancelled():
                self._reading.result()
            if self._session is not None:
                await self._service.make_durable()
        finally:
            heartbeats.cancel()
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read_all(self, requests: AsyncIterator[bytes]) -> None:
        async for data in requests:
            await self._take(data)

    async def _take(self, data: bytes) -> None:
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
            await self._send(self._failure(symbol, sequence, error))

    async def _handle(self, message: StreamTicksRequest, kind: str | None, received_at: float) -> None:
        if kind is None:
            raise Refusal(Reason.MISSING_INPUT, "Set open, history, tick, watermark or heartbeat.", field="message")
        try:
            await self._apply(message, kind, received_at)
        except Refusal as refusal:
            raise refusal.within(kind) from None

    async def _apply(self, message: StreamTicksRequest, kind: str, received_at: float) -> None:
        if kind == "heartbeat":
            await self._send(write_heartbeat())
            return
        if kind == "open":
            await self._open(message.open, received_at)
            return
        session = self._session
        if session is None:
            raise Refusal(Reason.STREAM_NOT_OPEN, "Send open first.")
        events: list[Event]
        if kind == "tick":
            tick = read_tick(message.tick, session.terms.model.config)
            events = session.apply(tick)
            if tick.event_time is not None:
                self._service.counters.note_skew(self._service.wall_clock() - tick.event_time)
        elif kind == "history":
            bars = read_history(message.history)
            events = await session.apply_history(message.history.symbol, bars, message.history.last_sequence)
        else:
            events = await session.close_until(read_watermark(message.watermark))
        for event in events:
            await self._tell(event, session, received_at)

    async def _open(self, message: OpenStream, received_at: float) -> None:
        if self._session is not None:
            raise Refusal(Reason.STREAM_ALREADY_OPEN, "The stream is open; start another one for other terms.")
        if self._is_drained:
            raise draining()
        session = await self._service.open(message, self._call, on_durable=self._note_durable, on_lost=self._tell_lost)
        self._session = session
        await self._send(StreamTicksResponse(opened=write_opened(session, self._service.settings.heartbeat_interval)))
        for event in session.missed():
            await self._tell(event, session, received_at)

    async def _tell(self, event: Event, session: TickSession, received_at: float) -> None:
        match event:
            case Progress():
                await self._send(StreamTicksResponse(progress=write_progress(event)))
            case Gap():
                await self._send(StreamTicksResponse(gap=write_gap(event)))
            case DuePrediction():
                await self._schedule(event, session, received_at)

    async def _schedule(self, due: DuePrediction, session: TickSession, received_at: float) -> None:
        """Has a due prediction answered, after its symbol's answers before it: the client hears them in order."""
        deadline = self._service.deadline(due, session, self._call, received_at=received_at)
        pending = self._pending.get(due.symbol)
        if session.terms.conflate and pending is not None and not pending.is_bound:
            pending.replace(due, received_at=received_at, deadline=deadline)
            self._service.counters.conflated += 1
            return
        pending = PendingPrediction(due, received_at=received_at, deadline=deadline)
        # Before the wait for a place: while that lasts, newer ones replace this one.
        self._pending[due.symbol] = pending
        await self.responses.reserve()
        before = self._last_due.get(due.symbol)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last_due[due.symbol] = done
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
                prediction = await self._service.answer(pending, session, self._call)
                response = StreamTicksResponse(prediction=prediction)
            except Exception as error:
                response = self._failure(symbol, pending.due.sequence, error)
            if self._pending.get(symbol) is pending:
                del self._pending[symbol]
            if before is not None:
                await before
            return response
        finally:
            done.set_result(None)
            if self._last_due.get(symbol) is done:
                del self._last_due[symbol]

    def _note_durable(self, symbol: str, sequence: int) -> None:
        """Tells what is durable soon; of one symbol only the newest, so that a slow reader costs no memory."""
        self._durable[symbol] = sequence
        if not self._telling_durable:
            self._telling_durable = True
            self.responses.spawn(self._tell_durable())

    async def _tell_durable(self) -> None:
        try:
            while self._durable:
                await self.responses.reserve()
                if not self._durable:
                    self.responses.release()
                    return
                symbol = next(iter(self._durable))
                self.responses.put(write_durable(symbol, self._durable.pop(symbol)))
        finally:
            self._telling_durable = False

    def _tell_lost(self, symbol: str) -> None:
        self._durable.pop(symbol, None)
        self.responses.spawn(self._send(self._failure(symbol, 0, taken_over(symbol))))

    def _failure(self, symbol: str, sequence: int, error: Exception) -> StreamTicksResponse:
        status = to_status(explain(error, trace_id=self._call.trace_id))
        return StreamTicksResponse(error=TickError(symbol=symbol, sequence=sequence, error=status))

    async def _send(self, response: StreamTicksResponse) -> None:
        await self.responses.reserve()
        self.responses.put(response)

    async def _send_heartbeats(self) -> None:
        interval = self._service.settings.heartbeat_interval
        while True:
            await asyncio.sleep(interval)
            if time.monotonic() - self.last_sent >= interval:
                await self._send(write_heartbeat())
