"""A tick session over one synchronous call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import grpc

from tickserve.errors import DeadlineError, StreamClosedError, error_from_parts, error_from_rpc
from tickserve.events import Opened, TickEvent, TickFailure, read_event
from tickserve.market import Bar, MarketEvent
from tickserve.outbox import Outbox
from tickserve.session import Request, TickSession

__all__ = ("TickStream",)

OUTBOX_SIZE = 64  # enough to keep gRPC's sender busy, little enough to be lost on `close`


class TickStream:
    """A tick session: use it as `with`, write with `tick`, and iterate over its events in another thread.

    Read while you write. Every buffer between here and the service is bounded, so that a session whose events nobody
    takes ends up holding its own writer. Any number of threads may write, one may iterate.

    Heartbeats are sent and swallowed here; they never appear among the events.
    """

    def __init__(
        self, start: Callable[[Iterator[Request]], Any], session: TickSession, *, open_timeout: float | None
    ) -> None:
        self._start = start
        self._session = session
        self._open_timeout = open_timeout
        self._outbox: Outbox[Request] = Outbox(OUTBOX_SIZE, session.heartbeat)
        self._call: Any = None  # grpc's call, which is also the iterator of its answers
        self._opened: Opened | None = None
        self._first: Opened | None = None
        self._closed = False
        # Ticks must enter the outbox in the order in which they were numbered.
        self._writing = threading.Lock()

    @property
    def opened(self) -> Opened:
        """What the service said when the session opened.

        Raises:
            StreamClosedError: It has not been opened yet.
        """
        if self._opened is None:
            raise StreamClosedError("the tick stream is not open; use it as `with`")
        return self._opened

    def __enter__(self) -> Self:
        """Opens the session and waits for the service's word on each symbol.

        Raises:
            TickserveError: The service refused it, or did not answer within `open_timeout` (`DeadlineError`).
        """
        self._outbox.put(self._session.open_request())
        self._call = self._start(iter(self._outbox))
        # However the call ends, whoever waits for room in the outbox must be let go.
        if not self._call.add_callback(self._outbox.close):
            self._outbox.close()
        overdue = threading.Event()
        timer = self._cancel_later(overdue)
        try:
            self._opened = self._first = self._read_opened()
        except BaseException:
            self._call.cancel()
            if overdue.is_set():
                raise DeadlineError(f"the service did not open the stream within {self._open_timeout} s") from None
            raise
        finally:
            if timer is not None:
                timer.cancel()
        self._session.accept(self._opened)
        self._outbox.heartbeat_interval = self._opened.heartbeat_interval or None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the session; what the service has not answered by now is given up."""
        self.close()

    def history(self, symbol: str, bars: Iterable[Bar], *, last_sequence: int = 0) -> None:
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
            self._put(message)

    def tick(
        self,
        symbol: str,
        event: MarketEvent,
        *,
        event_time: datetime | None = None,
        valid_duration: float | None = None,
        sequence: int | None = None,
    ) -> int:
        """Hands over one event of a symbol to be sent. Waits while the service takes no more.

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
        with self._writing:
            self._check_open()
            number, message = self._session.tick(
                symbol, event, event_time=event_time, valid_duration=valid_duration, sequence=sequence
            )
            self._put(message)
        return number

    def watermark(self, event_time: datetime) -> None:
        """Tells that no event before `event_time` will follow, so that bars up to it may close."""
        self._put(self._session.watermark(event_time))

    def finish(self) -> None:
        """Says that no more will be sent; the events end once the service has answered what is due."""
        self._outbox.finish()

    def close(self) -> None:
        """Ends the session at once, from any thread. Events that were not read are lost."""
        self._closed = True
        self._outbox.close()
        if self._call is not None:
            self._call.cancel()

    def __iter__(self) -> Iterator[TickEvent]:
        """Yields the events: `Opened` first, then each symbol's in the order of its ticks."""
        return self

    def __next__(self) -> TickEvent:
        """Gives the next event.

        Raises:
            TickserveError: The stream broke; the error says why.
        """
        self._check_open()
        if self._first is not None:
            first, self._first = self._first, None
            return first
        while True:
            event = read_event(self._read())
            if event is not None:
                return event

    def _read_opened(self) -> Opened:
        try:
            while True:
                match read_event(self._read()):
                    case Opened() as opened:
                        return opened
                    case TickFailure(error=error):  # the answer to `open`: nothing else has been sent
                        raise error
        except StopIteration:
            raise StreamClosedError("the service ended the stream without opening it") from None

    def _read(self) -> Any:
        """Gives the next message.

        Raises:
            StopIteration: The stream ended in good order, whoever closed it.
        """
        try:
            return next(self._call)
        except StopIteration:
            self._outbox.close()  # gRPC's callback does so too, but later than the reader may write
            raise
        except grpc.RpcError as error:
            self._outbox.close()
            if self._closed:
                raise StopIteration from None
            raise error_from_rpc(error) from error

    def _put(self, message: Request) -> None:
        self._check_open()
        try:
            self._outbox.put(message)
        except StreamClosedError:
            code = None if self._closed or self._call.is_active() else self._call.code()
            if code is None or code is grpc.StatusCode.OK:
                raise
            raise error_from_parts(code, self._call.details(), self._call.trailing_metadata()) from None

    def _check_open(self) -> None:
        if self._call is None:
            raise StreamClosedError("the tick stream is not open; use it as `with`")

    def _cancel_later(self, overdue: threading.Event) -> threading.Timer | None:
        if self._open_timeout is None:
            return None

        def cancel() -> None:
            overdue.set()
            self._call.cancel()

        # The call itself must not have a deadline: it lives as long as the session.
        timer = threading.Timer(self._open_timeout, cancel)
        timer.daemon = True
        timer.start()
        return timer
