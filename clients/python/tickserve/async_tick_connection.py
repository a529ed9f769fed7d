"""One asynchronous `StreamTicks` call of a tick session: sends what the session has, reads, and notices silence.

Must not know how a session comes back from a call that broke.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import grpc

from tickserve.async_write import finish_writing, write_message
from tickserve.errors import DeadlineError, StreamClosedError, TickserveError, UnavailableError, error_from_rpc
from tickserve.events import Opened, TickFailure, read_event
from tickserve.reconnect import SILENT_HEARTBEATS
from tickserve.session import Request, TickSession

__all__ = ("AsyncTickConnection",)


class AsyncTickConnection:
    """One call.

    Args:
        start: Makes the call.
        session: What is to be sent.
        on_sent: Called when a message has been taken off the session, and when none can be any more.
    """

    def __init__(self, start: Callable[[], Any], session: TickSession, *, on_sent: Callable[[], None]) -> None:
        self._start = start
        self._session = session
        self._on_sent = on_sent
        self._call: Any = None  # grpc.aio.StreamStreamCall
        self._work = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._reading_since: float | None = None
        self._is_silent = False
        self._closed = False
        self.is_usable = False
        """Whether it was opened, and neither closed nor ended by the cancellation of a read."""
        self.failure: TickserveError | None = None
        """What the sender was told when the call ended under it."""

    async def open(self, timeout: float | None) -> Opened:
        """Begins the session on this call.

        Raises:
            TickserveError: The service refused it, or did not answer within `timeout` seconds (`DeadlineError`).
        """
        # Made before the call: whoever may open no symbol any more must not leave a call behind.
        request = self._session.open_request()
        self._call = self._start()
        try:
            async with asyncio.timeout(timeout):
                await write_message(self._call, request)
                return await self._read_opened()
        except TimeoutError:
            self._call.cancel()
            raise DeadlineError(f"the service did not open the stream within {timeout} s") from None
        except BaseException:
            self._call.cancel()
            raise

    def run(self, heartbeat_interval: float) -> None:
        """Starts to send; `heartbeat_interval` in seconds, 0: no heartbeats are sent or expected."""
        self.is_usable = True
        self._sender = asyncio.create_task(self._send(heartbeat_interval or None))
        if heartbeat_interval > 0:
            self._watch_silence(SILENT_HEARTBEATS * heartbeat_interval)

    def wake_sender(self) -> None:
        """Tells that the session may have something to send."""
        self._work.set()

    async def read(self) -> Any:
        """Gives the next message; None at the end, whoever closed the stream in good order.

        Raises:
            TickserveError: The call broke; the error says why.
        """
        loop = asyncio.get_running_loop()
        self._reading_since = loop.time()
        try:
            message = await self._call.read()
        except grpc.RpcError as error:
            raise error_from_rpc(error) from error
        except asyncio.CancelledError:
            # gRPC says so when this task is cancelled, and also when the call is: here, or with its client.
            task = asyncio.current_task()
            if task and task.cancelling():
                self.is_usable = False  # gRPC ends a call whose read is cancelled
                raise
            if self._closed:
                return None
            if self._is_silent:
                raise UnavailableError("the service was silent for too long") from None
            raise StreamClosedError("the client was closed while its stream was open") from None
        finally:
            self._reading_since = None
        return None if message is grpc.aio.EOF else message

    async def close(self) -> None:
        """Ends the call at once."""
        self._closed = True
        self.is_usable = False
        if self._watch is not None:
            self._watch.cancel()
        if self._call is not None:
            self._call.cancel()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])

    async def _read_opened(self) -> Opened:
        while (message := await self.read()) is not None:
            match read_event(message):
                case Opened() as opened:
                    return opened
                case TickFailure(error=error):  # the answer to `open`: nothing else has been sent
                    raise error
        raise UnavailableError("the service ended the stream without opening it")

    async def _send(self, heartbeat_interval: float | None) -> None:
        """Sends what the session has, and a heartbeat after each silence.

        The service's own heartbeats are not answered: both sides send theirs by the clock, or two polite ends would
        answer each other for ever.
        """
        try:
            while True:
                self._work.clear()
                message = self._session.take()
                if message is None:
                    if self._session.sends_no_more:
                        await finish_writing(self._call)
                        return
                    message = await self._idle(heartbeat_interval)
                if message is not None:
                    self._on_sent()
                    await write_message(self._call, message)
        except TickserveError as error:  # the call is over; whoever reads it is told why
            self.failure = error
            self._on_sent()

    async def _idle(self, heartbeat_interval: float | None) -> Request | None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._work.wait(), heartbeat_interval)
            return None
        return self._session.heartbeat()

    def _watch_silence(self, limit: float) -> None:
        """Ends the call once a reader has waited too long; a reader that does not read must not be mistaken for one."""
        loop = asyncio.get_running_loop()
        waited = 0.0 if self._reading_since is None else loop.time() - self._reading_since
        if waited >= limit:
            self._is_silent = True
            self._call.cancel()
            return
        self._watch = loop.call_later(limit - waited, self._watch_silence, limit)
