"""A tick session over one asynchronous call."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import grpc

from tickserve.async_write import finish_writing, write_message
from tickserve.errors import DeadlineError, StreamClosedError, TickserveError, error_from_rpc
from tickserve.events import Opened, TickEvent, TickFailure, read_event
from tickserve.market import Bar, MarketEvent
from tickserve.session import Request, TickSession

__all__ = ("AsyncTickStream",)


class AsyncTickStream:
    """A tick session: use it as `async with`, write with `tick`, and iterate over its events in another task.

    Read while you write. Every buffer between here and the service is bounded, so that a session whose events nobody
    takes ends up holding its own writer. Any number of tasks may write, one may iterate.

    Heartbeats are sent and swallowed here; they never appear among the events.
    """

    def __init__(self, start: Callable[[], Any], session: TickSession, *, open_timeout: float | None) -> None:
        self._start = start
        self._session = session
        self._open_timeout = open_timeout
        self._call: Any = None  # grpc.aio.StreamStreamCall
        self._opened: Opened | None = None
        self._first: Opened | None = None
        self._closed = False
        self._finished = False
        # gRPC allows one write at a time, and ticks must leave in the order in which they were numbered.
        self._writing = asyncio.Lock()
        self._last_write = 0.0
        self._keep_alive_task: asyncio.Task[None] | None = None

    @property
    def opened(self) -> Opened:
        """What the service said when the session opened.

        Raises:
            StreamClosedError: It has not been opened yet.
        """
        if self._opened is None:
            raise StreamClosedError("the tick stream is not open; use it as `async with`")
        return self._opened

    async def __aenter__(self) -> Self:
        """Opens the session and waits for the service's word on each symbol.

        Raises:
            TickserveError: The service refused it, or did not answer within `open_timeout` (`DeadlineError`).
        """
        self._call = self._start()
        try:
            async with asyncio.timeout(self._open_timeout):
                await self._write(self._session.open_request())
                self._opened = self._first = await self._read_opened()
        except TimeoutError:
            self._call.cancel()
            raise DeadlineError(f"the service did not open the stream within {self._open_timeout} s") from None
        except BaseException:
            self._call.cancel()
            raise
        self._session.accept(self._opened)
        if self._opened.heartbeat_interval > 0:
            self._keep_alive_task = asyncio.create_task(self._keep_alive(self._opened.heartbeat_interval))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the session; what the service has not answered by now is given up."""
        await self.close()

    async def history(self, symbol: str, bars: Iterable[Bar], *, last_sequence: int = 0) -> None:
        """Fills a symbol's window with past bars, oldest first, without predictions.

        Args:
            symbol: A symbol of the session.
            bars: Any number of bars; they are sent in chunks.
            last_sequence: The number of the last bar, where the ticks that follow are to continue from it; 0: they
                continue from where the service stands.

        Raises:
            ValueError: A bar's time has no time zone.
            TickserveError: The stream is over; the error says why.
        """
        for message in self._session.history(symbol, bars, last_sequence):
            await self._write(message)

    async def tick(
        self,
        symbol: str,
        event: MarketEvent,
        *,
        event_time: datetime | None = None,
        valid_duration: float | None = None,
        sequence: int | None = None,
    ) -> int:
        """Sends one event of a symbol. Waits while the service takes no more.

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
        async with self._writing:
            number, message = self._session.tick(
                symbol, event, event_time=event_time, valid_duration=valid_duration, sequence=sequence
            )
            await self._write_locked(message)
        return number

    async def watermark(self, event_time: datetime) -> None:
        """Tells that no event before `event_time` will follow, so that bars up to it may close."""
        await self._write(self._session.watermark(event_time))

    async def finish(self) -> None:
        """Says that no more will be sent; the events end once the service has answered what is due."""
        async with self._writing:
            self._finished = True
            if self._call is not None:
                await finish_writing(self._call)

    async def close(self) -> None:
        """Ends the session at once, from any task. Events that were not read are lost."""
        self._closed = True
        if self._call is not None:
            self._call.cancel()
        if self._keep_alive_task is not None:
            self._keep_alive_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keep_alive_task

    def __aiter__(self) -> AsyncIterator[TickEvent]:
        """Yields the events: `Opened` first, then each symbol's in the order of its ticks."""
        return self

    async def __anext__(self) -> TickEvent:
        """Gives the next event.

        Raises:
            TickserveError: The stream broke; the error says why.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        self._check_usable(for_reading=True)
        while True:
            message = await self._read()
            if message is None:
                raise StopAsyncIteration
            event = read_event(message)
            if event is not None:
                return event

    async def _read_opened(self) -> Opened:
        while (message := await self._read()) is not None:
            match read_event(message):
                case Opened() as opened:
                    return opened
                case TickFailure(error=error):  # the answer to `open`: nothing else has been sent
                    raise error
        raise StreamClosedError("the service ended the stream without opening it")

    async def _read(self) -> Any:
        """Gives the next message; None at the end, whoever closed the stream in good order."""
        try:
            message = await self._call.read()
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
        except asyncio.CancelledError:
            # gRPC says so when this task is cancelled, and also when the call is, by `close` or with its client.
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            if self._closed:
                return None
            raise StreamClosedError("the client was closed while its stream was open") from None
        return None if message is grpc.aio.EOF else message

    async def _write(self, message: Request) -> None:
        async with self._writing:
            await self._write_locked(message)

    async def _write_locked(self, message: Request) -> None:
        self._check_usable()
        try:
            await write_message(self._call, message)
        except (TickserveError, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            cancelled = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
            if self._closed and not cancelled:
                raise StreamClosedError("the tick stream was closed while it was being written to") from None
            raise
        self._last_write = asyncio.get_running_loop().time()

    def _check_usable(self, *, for_reading: bool = False) -> None:
        if self._call is None:
            raise StreamClosedError("the tick stream is not open; use it as `async with`")
        if self._closed and not for_reading:
            raise StreamClosedError("the tick stream is closed")
        if self._finished and not for_reading:
            raise StreamClosedError("finish() was called: nothing more can be sent")

    async def _keep_alive(self, interval: float) -> None:
        """Sends a heartbeat after each `interval` seconds without a message, for proxies that close silent streams.

        The service's own heartbeats are not answered: both sides send theirs by the clock, or two polite ends would
        answer each other for ever.
        """
        loop = asyncio.get_running_loop()
        while not self._finished:
            silence = loop.time() - self._last_write
            if silence < interval:
                await asyncio.sleep(interval - silence)
                continue
            try:
                await self._write(self._session.heartbeat())
            except TickserveError:  # the stream is over; whoever reads it is told why
                return
