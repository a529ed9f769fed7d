"""An engine that tests open and shut like a gate."""

import asyncio
import queue
from collections.abc import Callable, Sequence

import pytest


class GatedEngine:
    """Answers ``-payload``; each call tells that it has begun and waits until the test lets it go on."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self._loop = asyncio.get_running_loop()
        self._begun: asyncio.Queue[list[int]] = asyncio.Queue()
        self._gate: queue.SimpleQueue[Callable[[Sequence[int]], Sequence[int]]] = queue.SimpleQueue()

    def __call__(self, batch_key: str, payloads: Sequence[int]) -> Sequence[int]:
        """Run in the engine's thread."""
        self.calls.append((batch_key, list(payloads)))
        self._loop.call_soon_threadsafe(self._begun.put_nowait, list(payloads))
        return self._gate.get()(payloads)

    async def begun(self) -> list[int]:
        """Wait until the next call has begun and return its payloads."""
        return await self._begun.get()

    def release(self, answer: Callable[[Sequence[int]], Sequence[int]] | None = None) -> None:
        """Let one call go on, now or when it comes."""
        self._gate.put(answer or (lambda payloads: [-payload for payload in payloads]))


@pytest.fixture
async def engine() -> GatedEngine:
    """An engine under the test's control."""
    return GatedEngine()
