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
    """

    def __init__(self, *, max_in_flight: int) -> None:
        self._ready: deque[T] = deque()
        self._free = max_in_flight
        self._pending: set[asyncio.Task[None]] = set()
        self._wake_writer = asyncio.Event()
        self._wake_reader = asyncio.Event()

    async def reserve(self) -> None:
        """Waits for a place; each place is given back when its response is sent."""
        while self._free <= 0:
            self._wake_reader.clear()
            await self._wake_reader.wait()
        self._free -= 1

    def release(self) -> None:
        """Gives back a reserved place that will have no response."""
        self._free += 1
        self._wake_reader.set()

    def put(self, response: T) -> None:
        """Sends a response; its place must have been reserved."""
        self._ready.append(response)
        self._wake_writer.set()

    def put_later(self, work: Coroutine[Any, Any, T]) -> None:
        """Sends what a coroutine returns, once it does; its place must have been reserved. It must not raise."""

        async def finish() -> None:
            self.put(await work)

        task = asyncio.get_running_loop().create_task(finish())
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
        # A task that is cancelled before its first step never awaits its work.
        task.add_done_callback(lambda _: work.close())
        # A cancelled or failed task sends nothing; the writer must look again, or it would wait for ever.
        task.add_done_callback(lambda _: self._wake_writer.set())

    async def run(self, reading: Coroutine[Any, Any, None]) -> AsyncGenerator[T, None]:
        """Runs the reader and yields responses until it has ended and all its work is answered.

        Args:
            reading: Reads the stream, calling the methods above. Its exception ends the stream, after what is ready.
        """
        reader = asyncio.get_running_loop().create_task(reading)
        reader.add_done_callback(lambda _: self._wake_writer.set())
        try:
            while True:
                while self._ready:
                    response = self._ready.popleft()
                    yield response
                    self.release()
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
        """Ends all tasks of a stream that is over, whichever way it ended."""
        tasks = [reader, *self._pending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
