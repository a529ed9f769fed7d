"""A tick session over asynchronous calls, one after another where they break."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn, Self

from tickserve.async_tick_connection import AsyncTickConnection
from tickserve.errors import StreamClosedError, TickserveError, UnavailableError
from tickserve.events import Opened, TickEvent
from tickserve.market import Bar, MarketEvent
from tickserve.reconnect import BackOff, ConnectionChange, Disconnected, Reconnected, ResumePolicy, is_transient
from tickserve.session import TickSession

__all__ = ("AsyncTickStream",)


class AsyncTickStream:
    """A tick session: use it as `async with`, write with `tick`, and iterate over its events in another task.

    Read while you write. Every buffer between here and the service is bounded, so that a session whose events nobody
    takes ends up holding its own writer. Any number of tasks may write, one may iterate.

    **Breaks.** Where the connection is lost, the service falls silent for three of its heartbeats, or asks to be left
    (`Drain`, which is told and calls for nothing), the iteration opens the session anew, with exponential back-off and
    full jitter. Each tick is kept until it is durable and answered; what the service lacks is sent again, and what was
    answered before is not told again. While this process and the service's store live, and the break fits the buffer
    and the service's `resume_depth`, the iteration yields each due, unconflated prediction exactly once, in the order
    of each symbol's ticks; else a `Gap` says what is missing. `tick` goes on meanwhile, until the buffer is full of
    ticks without an answer. Where a service never says `Durable`, the newest ticks are kept, and the oldest answered
    ones make room; each symbol has a share of its own, so that a busy one does not push out others. Histories (as much
    of them as fills a window) and watermarks are kept in their places, too.

    A due prediction that failed just before a break may be answered after it. What the caller did wrong is raised, as
    is a failure of the first `open`; a symbol that another stream has taken over stays that one's.

    Heartbeats are sent and swallowed here; they never appear among the events.
    """

    def __init__(
        self,
        start: Callable[[], Any],
        session: TickSession,
        *,
        open_timeout: float | None,
        policy: ResumePolicy | None = None,
        observer: Callable[[ConnectionChange], None] | None = None,
    ) -> None:
        self._start = start
        self._session = session
        self._open_timeout = open_timeout
        self._policy = policy
        self._back_off = BackOff(policy or ResumePolicy())
        self._observer = observer
        self._connection: AsyncTickConnection | None = None
        self._opened: Opened | None = None
        self._failure: TickserveError | None = None
        self._finished = False
        self._closed = asyncio.Event()
        self._room = asyncio.Event()
        self._reconnect_count = 0

    @property
    def opened(self) -> Opened:
        """What the service said when the session opened, the last time.

        Raises:
            StreamClosedError: It has not been opened yet.
        """
        if self._opened is None:
            raise StreamClosedError("the tick stream is not open; use it as `async with`")
        return self._opened

    @property
    def reconnect_count(self) -> int:
        """How often the session was opened anew."""
        return self._reconnect_count

    @property
    def buffered_count(self) -> int:
        """Ticks that are kept to be sent again."""
        return self._session.buffered_count

    async def __aenter__(self) -> Self:
        """Opens the session and waits for the service's word on each symbol.

        Raises:
            TickserveError: The service refused it, or did not answer within `open_timeout` (`DeadlineError`).
        """
        await self._connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the session; what the service has not answered by now is given up."""
        await self.close()

    async def history(self, symbol: str, bars: Iterable[Bar], *, last_sequence: int = 0) -> None:
        """Fills a symbol's window with past bars, oldest first, without predictions; waits for a connection.

        Args:
            symbol: A symbol of the session.
            bars: Any number of bars; they are sent in chunks.
            last_sequence: The number of the last bar, where the ticks that follow are to continue from it; 0: they
                continue from where the service stands.

        Raises:
            ValueError: A bar's time has no time zone.
            TickserveError: The stream is over; the error says why.
        """
        for chunk, chunk_sequence in self._session.history(bars, last_sequence):
            await self._wait_for_room(None)
            self._session.put_history(symbol, chunk, chunk_sequence)
            self._wake_sender()

    async def tick(
        self,
        symbol: str,
        event: MarketEvent,
        *,
        event_time: datetime | None = None,
        valid_duration: float | None = None,
        sequence: int | None = None,
    ) -> int:
        """Sends one event of a symbol. Waits while the service takes no more, or the buffer is full.

        Args:
            symbol: A symbol of the session.
            event: A `Bar`, `Trade`, `FeatureRow`, `BarCorrection` or `WindowReset`.
            event_time: Its time at the source, with a time zone; required for trades.
            valid_duration: Seconds from receipt within which a prediction is of use, > 0.
            sequence: The tick's number, for feeds that number their own; default: the next.

        Returns:
            The tick's number, by which its events name it.

        Raises:
            ValueError: The event cannot be written.
            TickserveError: The stream is over; the error says why.
        """
        await self._wait_for_room(symbol)
        number = self._session.tick(
            symbol, event, event_time=event_time, valid_duration=valid_duration, sequence=sequence
        )
        self._wake_sender()
        return number

    async def watermark(self, event_time: datetime) -> None:
        """Tells that no event before `event_time` will follow, so that bars up to it may close."""
        self._check_usable()
        self._session.watermark(event_time)
        self._wake_sender()

    async def finish(self) -> None:
        """Says that no more will be sent; the events end once the service has answered what is due."""
        self._finished = True
        self._session.finish()
        self._room.set()
        self._wake_sender()

    async def close(self) -> None:
        """Ends the session at once, from any task. Events that were not read are lost."""
        self._closed.set()
        self._room.set()
        if self._connection is not None:
            await self._connection.close()

    def __aiter__(self) -> AsyncIterator[TickEvent]:
        """Yields the events: `Opened` first and once, then each symbol's in the order of its ticks."""
        return self

    async def __anext__(self) -> TickEvent:
        """Gives the next event. May be cancelled: the next call goes on where this one was.

        Raises:
            TickserveError: The stream broke, and could not or must not be opened anew; the error says why.
        """
        if self._opened is None:
            raise StreamClosedError("the tick stream is not open; use it as `async with`")
        while True:
            if self._session.events:
                return self._session.events.popleft()
            if self._failure is not None:
                raise self._failure
            if self._closed.is_set():
                raise StopAsyncIteration
            event = await self._read_event()
            if event is not None:
                return event

    async def _read_event(self) -> TickEvent | None:
        connection = self._connection
        if connection is None or not connection.is_usable:
            await self._recover(UnavailableError("a read was cancelled, and its call with it"))
            return None
        try:
            message = await connection.read()
        except TickserveError as error:
            if self._closed.is_set():
                return None
            await self._recover(error)
            return None
        if message is None:
            if self._closed.is_set() or self._policy is None or self._session.is_complete:
                raise StopAsyncIteration
            await self._recover(UnavailableError("the service ended the stream"))
            return None
        event = self._session.read(message)
        self._room.set()
        if message.WhichOneof("message") != "heartbeat":
            self._back_off.succeeded()
        self._wake_sender()  # an answer may let the next tick go; a drain ends the sending
        return event

    async def _connect(self) -> int:
        connection = AsyncTickConnection(self._start, self._session, on_sent=self._room.set)
        self._connection = connection
        self._opened = await connection.open(self._open_timeout)
        resent = self._session.accept(self._opened)
        connection.run(self._opened.heartbeat_interval)
        self._room.set()
        return resent

    async def _recover(self, error: TickserveError) -> None:
        """Opens the session anew, as often as it takes.

        Raises:
            TickserveError: That could not help, or the policy has it given up.
        """
        asked_to_leave = self._session.is_draining
        self._session.disconnected()
        self._room.set()  # what is buffered need not wait for the connection
        if self._connection is not None:
            await self._connection.close()
        attempts = 0
        while not self._closed.is_set():
            delay = None
            if self._policy is not None and is_transient(error):
                delay = 0.0 if asked_to_leave and not attempts else self._back_off.next_delay(error)
            if delay is None:
                self._fail(error)
            self._tell(Disconnected(error, delay))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closed.wait(), delay)
                return
            attempts += 1
            try:
                resent = await self._connect()
            except TickserveError as failure:
                error = failure
                continue
            self._reconnect_count += 1
            self._tell(Reconnected(attempts, resent))
            return

    def _fail(self, error: TickserveError) -> NoReturn:
        self._failure = error
        self._room.set()
        raise error

    def _tell(self, change: ConnectionChange) -> None:
        if self._observer is not None:
            self._observer(change)

    async def _wait_for_room(self, symbol: str | None) -> None:
        self._check_usable()
        while not self._session.has_room(symbol):
            self._room.clear()
            await self._room.wait()
            self._check_usable()

    def _wake_sender(self) -> None:
        if self._connection is not None:
            self._connection.wake_sender()

    def _check_usable(self) -> None:
        if self._opened is None:
            raise StreamClosedError("the tick stream is not open; use it as `async with`")
        if self._closed.is_set():
            raise StreamClosedError("the tick stream is closed")
        if self._failure is not None:
            raise self._failure
        if self._finished:
            raise StreamClosedError("finish() was called: nothing more can be sent")
        if self._policy is None and self._connection is not None and self._connection.failure is not None:
            raise self._connection.failure
