"""A tick session over synchronous calls, one after another where they break."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from types import TracebackType
from typing import Any, NoReturn, Self

from tickserve.errors import StreamClosedError, TickserveError, UnavailableError
from tickserve.events import Opened, TickEvent
from tickserve.market import Bar, MarketEvent
from tickserve.reconnect import BackOff, ConnectionChange, Disconnected, Reconnected, ResumePolicy, is_transient
from tickserve.session import Request, TickSession
from tickserve.tick_connection import TickConnection

__all__ = ("TickStream",)


class TickStream:
    """A tick session: use it as `with`, write with `tick`, and iterate over its events in another thread.

    Read while you write. Every buffer between here and the service is bounded, so that a session whose events nobody
    takes ends up holding its own writer. Any number of threads may write, one may iterate.

        >>> with tickserve.Client("127.0.0.1:9000") as client, client.stream_ticks(["EURUSD"]) as stream:
        ...     stream.history("EURUSD", past_bars)  # fills the window; no predictions
        ...     for bar in new_bars:  # a few: nobody reads yet
        ...         sequence = stream.tick("EURUSD", bar)
        ...     stream.finish()
        ...     predictions = [event for event in stream if isinstance(event, tickserve.TickPrediction)]
        >>> len(predictions) == len(new_bars), predictions[-1].sequence == sequence
        (True, True)

    Breaks are mended by the iteration; see `AsyncTickStream`, whose promises hold here, too.

    Heartbeats are sent and swallowed here; they never appear among the events.
    """

    def __init__(
        self,
        start: Callable[[Iterator[Request]], Any],
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
        # Guards the session and all below. Reentrant: gRPC may end a call, and say so, in a thread that holds it.
        self._changed = threading.Condition(threading.RLock())
        self._connection: TickConnection | None = None
        self._opened: Opened | None = None
        self._failure: TickserveError | None = None
        self._finished = False
        self._closed = False
        self._reconnect_count = 0

    @property
    def opened(self) -> Opened:
        """What the service said when the session opened, the last time.

        Raises:
            StreamClosedError: It has not been opened yet.
        """
        if self._opened is None:
            raise StreamClosedError("the tick stream is not open; use it as `with`")
        return self._opened

    @property
    def reconnect_count(self) -> int:
        """How often the session was opened anew."""
        return self._reconnect_count

    @property
    def buffered_count(self) -> int:
        """Ticks that are kept to be sent again."""
        return self._session.buffered_count

    def __enter__(self) -> Self:
        """Opens the session and waits for the service's word on each symbol.

        Raises:
            TickserveError: The service refused it, or did not answer within `open_timeout` (`DeadlineError`).
        """
        self._connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the session; what the service has not answered by now is given up."""
        self.close()

    def history(self, symbol: str, bars: Iterable[Bar], *, last_sequence: int = 0) -> None:
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
            with self._changed:
                self._wait_for_room(None)
                self._session.put_history(symbol, chunk, chunk_sequence)
                self._changed.notify_all()

    def tick(
        self,
        symbol: str,
        event: MarketEvent,
        *,
        event_time: datetime | None = None,
        valid_duration: float | None = None,
        sequence: int | None = None,
    ) -> int:
        """Hands over one event of a symbol. Waits while the service takes no more, or the buffer is full.

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
        with self._changed:
            self._wait_for_room(symbol)
            number = self._session.tick(
                symbol, event, event_time=event_time, valid_duration=valid_duration, sequence=sequence
            )
            self._changed.notify_all()
        return number

    def watermark(self, event_time: datetime) -> None:
        """Tells that no event before `event_time` will follow, so that bars up to it may close."""
        with self._changed:
            self._check_usable()
            self._session.watermark(event_time)
            self._changed.notify_all()

    def finish(self) -> None:
        """Says that no more will be sent; the events end once the service has answered what is due."""
        with self._changed:
            self._finished = True
            self._session.finish()
            self._changed.notify_all()

    def close(self) -> None:
        """Ends the session at once, from any thread. Events that were not read are lost."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            connection = self._connection
        if connection is not None:
            connection.close()

    def __iter__(self) -> Iterator[TickEvent]:
        """Yields the events: `Opened` first and once, then each symbol's in the order of its ticks."""
        return self

    def __next__(self) -> TickEvent:
        """Gives the next event.

        Raises:
            TickserveError: The stream broke, and could not or must not be opened anew; the error says why.
        """
        if self._opened is None:
            raise StreamClosedError("the tick stream is not open; use it as `with`")
        while True:
            with self._changed:
                if self._session.events:
                    return self._session.events.popleft()
                if self._failure is not None:
                    raise self._failure
                if self._closed:
                    raise StopIteration
            event = self._read_event()
            if event is not None:
                return event

    def _read_event(self) -> TickEvent | None:
        connection = self._connection
        if connection is None:
            raise StreamClosedError("the tick stream is not open; use it as `with`")
        try:
            message = connection.read()
        except TickserveError as error:
            if not self._closed:
                self._recover(error)
            return None
        if message is None:
            if self._closed or self._policy is None or self._session.is_complete:
                raise StopIteration
            self._recover(UnavailableError("the service ended the stream"))
            return None
        with self._changed:
            event = self._session.read(message)
            if message.WhichOneof("message") != "heartbeat":
                self._back_off.succeeded()
            self._changed.notify_all()
        return event

    def _connect(self) -> int:
        connection = TickConnection(self._start, self._session, self._changed)
        with self._changed:
            self._connection = connection
        opened = connection.open(self._open_timeout)
        with self._changed:
            self._opened = opened
            resent = self._session.accept(opened)
            connection.run(opened.heartbeat_interval)
        if self._closed:  # it may have been closed before there was a call to close
            connection.close()
        return resent

    def _recover(self, error: TickserveError) -> None:
        """Opens the session anew, as often as it takes.

        Raises:
            TickserveError: That could not help, or the policy has it given up.
        """
        with self._changed:
            asked_to_leave = self._session.is_draining
            self._session.disconnected()
            self._changed.notify_all()  # what is buffered need not wait for the connection
            connection = self._connection
        if connection is not None and self._policy is not None:
            connection.close()
        attempts = 0
        while not self._closed:
            delay = None
            if self._policy is not None and is_transient(error):
                delay = 0.0 if asked_to_leave and not attempts else self._back_off.next_delay(error)
            if delay is None:
                self._fail(error)
            self._tell(Disconnected(error, delay))
            with self._changed:
                if self._changed.wait_for(lambda: self._closed, delay):
                    return
            attempts += 1
            try:
                resent = self._connect()
            except TickserveError as failure:
                error = failure
                continue
            self._reconnect_count += 1
            self._tell(Reconnected(attempts, resent))
            return

    def _fail(self, error: TickserveError) -> NoReturn:
        with self._changed:
            self._failure = error
            self._changed.notify_all()
        raise error

    def _tell(self, change: ConnectionChange) -> None:
        if self._observer is not None:
            self._observer(change)

    def _wait_for_room(self, symbol: str | None) -> None:
        """Waits with the lock released, and comes back with it held."""
        self._check_usable()
        while not self._session.has_room(symbol):
            self._changed.wait()
            self._check_usable()

    def _check_usable(self) -> None:
        if self._opened is None or self._connection is None:
            raise StreamClosedError("the tick stream is not open; use it as `with`")
        if self._closed:
            raise StreamClosedError("the tick stream is closed")
        if self._failure is not None:
            raise self._failure
        if self._finished:
            raise StreamClosedError("finish() was called: nothing more can be sent")
        if self._policy is None and self._connection.has_ended:
            raise self._connection.failure or StreamClosedError("the tick stream has ended")
