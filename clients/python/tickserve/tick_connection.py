"""One synchronous `StreamTicks` call of a tick session: sends what the session has, reads, and notices silence.

gRPC takes the messages in a thread of its own, so whatever touches the session holds the stream's lock. Must not know
how a session comes back from a call that broke.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from tickserve.errors import DeadlineError, TickserveError, UnavailableError, error_from_parts, error_from_rpc
from tickserve.events import Opened, TickFailure, read_event
from tickserve.reconnect import SILENT_HEARTBEATS
from tickserve.session import Request, TickSession

__all__ = ("TickConnection",)


class TickConnection:
    """One call.

    Args:
        start: Makes the call, which takes its messages from an iterator.
        session: What is to be sent.
        changed: Guards the session; notified when it may have something to send, or room.
    """

    def __init__(
        self, start: Callable[[Iterator[Request]], Any], session: TickSession, changed: threading.Condition
    ) -> None:
        self._start = start
        self._session = session
        self._changed = changed
        self._call: Any = None  # grpc's call, which is also the iterator of its answers
        self._heartbeat_interval: float | None = None
        self._reading_since: float | None = None
        self._timer: threading.Timer | None = None
        self._is_silent = False
        self._closed = False
        self._running = False
        self._ended = False

    @property
    def failure(self) -> TickserveError | None:
        """What ended the call; None while it lives, and where it ended in good order."""
        code = None if self._closed or self._call.is_active() else self._call.code()
        if code is None or code is grpc.StatusCode.OK:
            return None
        return error_from_parts(code, self._call.details(), self._call.trailing_metadata())

    @property
    def has_ended(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._ended

    def open(self, timeout: float | None) -> Opened:
        """Begins the session on this call.

        Raises:
            TickserveError: The service refused it, or did not answer within `timeout` seconds (`DeadlineError`).
        """
        with self._changed:
            request = self._session.open_request()
        self._call = self._start(self._messages(request))
        # However the call ends, gRPC's thread must not wait for messages for ever.
        if not self._call.add_callback(self._end):
            self._end()
        overdue = threading.Event()
        # The call itself must not have a deadline: it lives as long as the session.
        timer = self._later(timeout, lambda: self._give_up_opening(overdue))
        try:
            return self._read_opened()
        except BaseException:
            self._call.cancel()
            if overdue.is_set():
                raise DeadlineError(f"the service did not open the stream within {timeout} s") from None
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def run(self, heartbeat_interval: float) -> None:
        """Starts to send; `heartbeat_interval` in seconds, 0: no heartbeats are sent or expected. The lock is held."""
        self._running = True
        self._heartbeat_interval = heartbeat_interval or None
        self._changed.notify_all()
        if heartbeat_interval > 0:
            self._watch_silence(SILENT_HEARTBEATS * heartbeat_interval)

    def read(self) -> Any:
        """Gives the next message; None at the end, whoever closed the stream in good order.

        Raises:
            TickserveError: The call broke; the error says why.
        """
        self._reading_since = time.monotonic()
        try:
            return next(self._call)
        except StopIteration:
            self._end()  # gRPC's callback does so too, but later than the reader may write
            return None
        except grpc.RpcError as error:
            self._end()
            if self._closed:
                return None
            if self._is_silent:
                raise UnavailableError("the service was silent for too long") from None
            raise error_from_rpc(error) from error
        finally:
            self._reading_since = None

    def close(self) -> None:
        """Ends the call at once, from any thread."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._call is not None:
            self._call.cancel()
        self._end()

    def _read_opened(self) -> Opened:
        while (message := self.read()) is not None:
            match read_event(message):
                case Opened() as opened:
                    return opened
                case TickFailure(error=error):  # the answer to `open`: nothing else has been sent
                    raise error
        raise UnavailableError("the service ended the stream without opening it")

    def _messages(self, opening: Request) -> Iterator[Request]:
        """Yields what the session has, and a heartbeat after each silence; gRPC closes this side when it ends."""
        yield opening
        while True:
            message = self._next_message()
            if message is None:
                return
            yield message

    def _next_message(self) -> Request | None:
        silent_since = time.monotonic()
        with self._changed:
            while not self._ended:
                if self._running:
                    message = self._session.take()
                    if message is not None:
                        self._changed.notify_all()
                        return message
                    if self._session.sends_no_more:
                        return None
                remaining = None
                if self._heartbeat_interval is not None:
                    remaining = silent_since + self._heartbeat_interval - time.monotonic()
                    if remaining <= 0:
                        return self._session.heartbeat()
                self._changed.wait(remaining)
            return None

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _watch_silence(self, limit: float) -> None:
        """Ends the call once a reader has waited too long; a reader that does not read must not be mistaken for one."""
        since = self._reading_since
        waited = 0.0 if since is None else time.monotonic() - since
        if waited >= limit:
            self._is_silent = True
            self._call.cancel()
        elif not self._closed and not self._ended:
            self._timer = self._later(limit - waited, lambda: self._watch_silence(limit))

    def _give_up_opening(self, overdue: threading.Event) -> None:
        overdue.set()
        self._call.cancel()

    @staticmethod
    def _later(delay: float | None, action: Callable[[], object]) -> threading.Timer | None:
        if delay is None:
            return None
        timer = threading.Timer(delay, action)
        timer.daemon = True
        timer.start()
        return timer
