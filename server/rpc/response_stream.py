"""The answering half of a bidirectional stream: results of concurrent work, in the order they become ready, bounded.

Owns the life of one stream's tasks. Sync in its core (`put`), asynchronous where it must wait: for a place before more
is read (`reserve`), so that a caller who does not read its answers is held by flow control and not by our memory.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class ResponseStream(Generic[T]):
    """Collects the responses of one stream.

    Args:
        max_in_flight: How many messages may be reserved and not yet sent; at least 1.
        max_in_flight_bytes: How many bytes these may have together; None: any number. A message that is larger by
            itself is taken when no other has bytes in flight, so that none waits for ever.
    """

    def __init__(self, *, max_in_flight: int, max_in_flight_bytes: int | None = None) -> None:
        self._max_in_flight = max_in_flight
        self._max_in_flight_bytes = max_in_flight_bytes
        self._in_flight = 0
        self._in_flight_bytes = 0
        # Who waits for a place, and for how many bytes: first come, first served, else the large would starve.
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        # Sizes of the places that nobody has used yet.
        self._unused: deque[int] = deque()
        self._ready: deque[tuple[T, int]] = deque()
        self._pending: set[asyncio.Task[None]] = set()
        self._wake_writer = asyncio.Event()
        self._stopped_by: Exception | None = None

    @property
    def in_flight(self) -> int:
        """Places that are reserved and not given back."""
        return self._in_flight

    @property
    def in_flight_bytes(self) -> int:
        """Bytes of the messages that these places are for."""
        return self._in_flight_bytes

    async def reserve(self, size: int = 0) -> None:
        """Waits for a place; each place is given back when its response is sent.

        Use the place with `put`, `put_later` or `release` before you await anything: its size goes with it.

        Args:
            size: Bytes of the message that the place is for, at least 0; zero for what answers no message.
        """
        if self._waiting or not self._fits(size):
            await self._wait(size)
        else:
            self._take(size)
        self._unused.append(size)

    def release(self) -> None:
        """Gives back a reserved place that will have no response."""
        self._give_back(self._unused.popleft())

    def put(self, response: T) -> None:
        """Sends a response; its place must have been reserved."""
        self._send(response, self._unused.popleft())

    def put_later(self, work: Coroutine[Any, Any, T]) -> None:
        """Sends what a coroutine returns, once it does; its place must have been reserved. It must not raise."""
        size = self._unused.popleft()
        is_sent = False

        async def finish() -> None:
            nonlocal is_sent
            response = await work
            is_sent = True
            self._send(response, size)

        def end(_: asyncio.Task[None]) -> None:
            # A task that is cancelled before its first step never awaits its work.
            work.close()
            # A cancelled or failed task sends nothing, but may not keep its place.
            if not is_sent:
                self._give_back(size)

        self._start(finish()).add_done_callback(end)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs what reserves places of its own as a part of the stream: it is waited for, and ended with the stream."""
        self._start(work)

    def stop(self, error: Exception, *last_words: T) -> None:
        """Ends the stream at once, with an error: what is in flight or ready is not sent, but for the last words."""
        if self._stopped_by is None:
            self._stopped_by = error
            for _, size in self._ready:
                self._give_back(size)
            # These have no places: nothing else follows them.
            self._ready = deque((word, 0) for word in last_words)
            self._in_flight += len(last_words)
            self._wake_writer.set()

    async def run(self, reading: Coroutine[Any, Any, None]) -> AsyncGenerator[T, None]:
        """Runs the reader and yields responses until it has ended and all its work is answered.

        Args:
            reading: Reads the stream, calling the methods above. Its exception ends the stream, after what is ready.

        Raises:
            Exception: That of `reading`, or of `stop`.
        """
        reader = asyncio.get_running_loop().create_task(reading)
        reader.add_done_callback(lambda _: self._wake_writer.set())
        try:
            while True:
                while self._ready:
                    response, size = self._ready.popleft()
                    yield response
                    self._give_back(size)
                if self._stopped_by is not None:
                    raise self._stopped_by
                if reader.done() and not self._pending and not self._ready:
                    reader.result()
                    return
                self._wake_writer.clear()
                if self._ready or (reader.done() and not self._pending):
                    continue
                await self._wake_writer.wait()
        finally:
            await self._abandon(reader)

    async def _abandon(self, reader: asyncio.Task[None]) -> None:
        """Ends all tasks of a stream that is over, whichever way it ended; also those that are spawned meanwhile."""
        tasks: list[asyncio.Task[None]] = [reader, *self._pending]
        while tasks:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            tasks = [task for task in self._pending if not task.done()]

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        # Even if the task sent nothing: the writer must look again, or it would wait for ever.
        task.add_done_callback(lambda _: self._wake_writer.set())
        return task

    def _send(self, response: T, size: int) -> None:
        if self._stopped_by is not None:
            self._give_back(size)
            return
        self._ready.append((response, size))
        self._wake_writer.set()

    def _fits(self, size: int) -> bool:
        """Tells whether a message may have a place now, were it the first that asks."""
        if self._in_flight >= self._max_in_flight:
            return False
        if self._max_in_flight_bytes is None or not size or not self._in_flight_bytes:
            return True
        return self._in_flight_bytes + size <= self._max_in_flight_bytes

    def _take(self, size: int) -> None:
        self._in_flight += 1
        self._in_flight_bytes += size

    def _give_back(self, size: int) -> None:
        self._in_flight -= 1
        self._in_flight_bytes -= size
        self._grant()

    async def _wait(self, size: int) -> None:
        """Returns with a place taken."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._grant()  # what stood behind a large message may fit without it
            else:
                self._give_back(size)  # granted, and cancelled before it could be told
            raise

    def _grant(self) -> None:
        """Gives free places to those that wait, in the order in which they came."""
        while self._waiting:
            turn, size = self._waiting[0]
            if not turn.cancelled():
                if not self._fits(size):
                    return
                self._take(size)
                turn.set_result(None)
            self._waiting.popleft()
