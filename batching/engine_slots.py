"""Owns which engine slots are idle, which run what and which hang. Must not know how batches are chosen or end."""

import asyncio
from collections.abc import Callable, Collection
from typing import Generic

from batching.engine_slot import EngineSlot, RunBatch
from batching.request import P, R
from batching.ticket import Batch

Report = Callable[[Batch[P, R], list[R] | None, BaseException | None, float], None]


class EngineSlots(Generic[P, R]):
    """All slots of one batcher; belongs to the loop that makes it.

    Args:
        run_batch: The engine, see ``EngineSlot``.
        count: How many batches may run at once.
        clock: Monotonic seconds.
        bind: See ``EngineSlot``.
        report: Called with each batch that has ended, its results or its error, and the seconds that it took.

    Attributes:
        idle_with_queue: Seconds for which slots were idle while a request waited that then ran in them (law 3).
    """

    def __init__(
        self,
        run_batch: RunBatch[P, R],
        *,
        count: int,
        clock: Callable[[], float],
        bind: Callable[[P], P] | None,
        report: Report[P, R],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._report = report
        self._idle: list[EngineSlot[P, R]] = [
            EngineSlot(run_batch, clock=clock, loop=loop, name=f"engine-{number}", bind=bind) for number in range(count)
        ]
        self._running: dict[Batch[P, R], EngineSlot[P, R]] = {}
        self._hung: dict[Batch[P, R], EngineSlot[P, R]] = {}
        self.idle_with_queue = 0.0

    @property
    def any_idle(self) -> bool:
        """Whether a batch may be run now."""
        return bool(self._idle)

    @property
    def running(self) -> Collection[Batch[P, R]]:
        """The batches that run, those aside that have been given up as hung."""
        return self._running.keys()

    def run(self, batch: Batch[P, R]) -> None:
        """Run a batch in an idle slot; its report follows."""
        slot = self._idle.pop()
        self._running[batch] = slot
        if batch.tickets:
            first = min(ticket.enqueued_at for ticket in batch.tickets)
            self.idle_with_queue += max(0.0, batch.chosen_at - max(first, slot.free_since))

        def report(results: list[R] | None, error: BaseException | None, duration: float) -> None:
            # Even one that had been given up as hung is free again.
            del (self._running if batch in self._running else self._hung)[batch]
            self._idle.append(slot)
            self._report(batch, results, error, duration)

        slot.run(batch.batch_key, batch.payloads, report)

    def give_up(self, now: float, timeout: float) -> list[Batch[P, R]]:
        """Return the batches that have run for ``timeout`` seconds, which count as hung from now on."""
        overdue = [batch for batch in self._running if now - batch.chosen_at >= timeout]
        for batch in overdue:
            self._hung[batch] = self._running.pop(batch)
        return overdue

    async def stop(self) -> None:
        """Stop the threads, waiting for those that can end; a hung one ends by itself or with the process."""
        stopped = [asyncio.Event() for _ in self._idle]
        for slot, event in zip(self._idle, stopped, strict=True):
            slot.stop(event.set)
        for slot in self._hung.values():
            slot.stop(lambda: None)
        for event in stopped:
            await event.wait()
