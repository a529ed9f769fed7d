"""Replicas that come and go under open streams."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from benchmarks.chaos.faults.fault import Fault
from benchmarks.chaos.stage import REPLICAS, Stage
from tickserve import AsyncClient, AsyncTickStream, TickserveError

_CLIENTS = 10
_OPEN_TIMEOUT = 60.0
# Streams that their holders close, and open anew, between two events: what is opened on an old proxy keeps it alive.
_CHURN = 6
_NAMES: Iterator[int] = itertools.count()

T = TypeVar("T")


class Scaled(Fault):
    """Replicas are added and taken away while very many tick streams are open."""

    name = "scaled"
    title = "{events} scale events with {streams} open streams"
    hold = 0.0

    def __init__(self, events: int = 50, streams: int = 300) -> None:
        super().__init__()
        self.events = events
        self.streams = streams
        self._open: list[tuple[AsyncTickStream, asyncio.Task[str]]] = []
        self._clients: list[AsyncClient] = []
        self._ended: list[str] = []

    def inject(self, stage: Stage) -> None:
        """Opens the streams; the events follow in `heal`, which waits for each."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="streams", daemon=True)
        self._thread.start()
        self._run(self._open_all(stage.target.address))
        self.facts["streams opened"] = str(len(self._open))

    def heal(self, stage: Stage) -> None:
        """Scales, one event after the other has been carried out, and closes the streams."""
        first = _proxies(stage)
        most, most_bytes = first
        try:
            for event in range(self.events):
                replicas = REPLICAS - 1 if event % 2 == 0 else REPLICAS
                stage.scale(replicas)
                stage.await_count(replicas)
                self._run(self._churn())
                count, held = _proxies(stage)
                most, most_bytes = max(most, count), max(most_bytes, held)
            stage.scale(REPLICAS)
            stage.await_whole()
            last = _proxies(stage)
        finally:
            alive = self._run(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        self.facts["streams open at the end"] = str(alive)
        self.facts["HAProxy processes"] = f"{first[0]} before, {most} at most, {last[0]} at the end"
        memory = f"{_mib(first[1])} before, {_mib(most_bytes)} at most, {_mib(last[1])} at the end"
        self.facts["HAProxy memory, MiB"] = memory
        if self._ended:
            self.facts["streams ended"] = "; ".join(sorted(set(self._ended)))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open_all(self, target: str) -> None:
        self._stack = AsyncExitStack()
        self._clients = [await self._stack.enter_async_context(AsyncClient(target)) for _ in range(_CLIENTS)]
        for start in range(0, self.streams, _CLIENTS):
            count = min(_CLIENTS, self.streams - start)
            self._open += await asyncio.gather(*(self._one(client) for client in self._clients[:count]))

    async def _one(self, client: AsyncClient) -> tuple[AsyncTickStream, asyncio.Task[str]]:
        stream = client.stream_ticks([f"SCALED{next(_NAMES)}"], open_timeout=_OPEN_TIMEOUT)
        await stream.__aenter__()
        return stream, asyncio.create_task(_listen(stream))

    async def _churn(self) -> None:
        for _ in range(min(_CHURN, len(self._open))):
            stream, task = self._open.pop(0)
            await stream.close()
            self._note(await task)
        for number in range(self.streams - len(self._open)):
            try:
                self._open.append(await self._one(self._clients[number % _CLIENTS]))
            except TickserveError as error:
                self._note(error.reason or error.code.name)

    async def _close(self) -> int:
        alive = sum(not task.done() for _, task in self._open)
        await asyncio.gather(*(stream.close() for stream, _ in self._open))
        for reason in await asyncio.gather(*(task for _, task in self._open)):
            self._note(reason)
        await self._stack.aclose()
        return alive

    def _note(self, reason: str) -> None:
        if reason:
            self._ended.append(reason)


async def _listen(stream: AsyncTickStream) -> str:
    try:
        async for _ in stream:
            pass
    except TickserveError as error:
        return error.reason or error.code.name
    return ""


def _proxies(stage: Stage) -> tuple[int, int]:
    return len(stage.pids("haproxy")), stage.memory().get("haproxy", 0)


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f}"
