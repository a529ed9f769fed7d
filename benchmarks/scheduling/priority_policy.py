"""Owns strict priority with late-bound batches. Must not know deadlines."""

import math
from collections import deque
from collections.abc import Sequence

from batching import PriorityClass
from planning.ledger import ABANDONED, ANSWERED, QUEUE_FULL, Ledger


class StrictPriorityPolicy:
    """One bounded queue a class; a lower class runs only in the room that higher ones leave. Otherwise as FIFO."""

    def __init__(self, ledger: Ledger, *, max_batch_size: int, max_queue_size: int) -> None:
        self._ledger = ledger
        self._max_batch_size = max_batch_size
        self._max_queue_size = max_queue_size
        self._queues: dict[PriorityClass, deque[int]] = {priority: deque() for priority in sorted(PriorityClass)}
        self._running: list[int] = []

    def submit(self, row: int, now: float) -> None:
        """Queue a request unless its class's queue is full of requests somebody waits for."""
        queue = self._queues[self._ledger.priority(row)]
        if len(queue) >= self._max_queue_size:
            while queue and self._ledger.gone_at[queue[0]] <= now:
                self._ledger.end(queue.popleft(), ABANDONED, now)
            if len(queue) >= self._max_queue_size:
                self._ledger.end(row, QUEUE_FULL, now)
                return
        queue.append(row)

    def choose(self, now: float) -> Sequence[int]:
        """Return the oldest requests of the highest classes."""
        ledger, limit = self._ledger, self._max_batch_size
        chosen: list[int] = []
        for queue in self._queues.values():
            while queue and len(chosen) < limit:
                row = queue.popleft()
                if ledger.gone_at[row] > now:
                    chosen.append(row)
                else:
                    ledger.end(row, ABANDONED, now)
        self._running = chosen
        return chosen

    def complete(self, now: float, duration: float) -> None:  # noqa: ARG002  # learns nothing from it
        """Answer, late or not."""
        for row in self._running:
            self._ledger.end(row, ANSWERED, now)
        self._running = []

    def cancel(self, row: int, now: float) -> None:
        """Nothing: ``choose`` looks at the ledger."""

    def next_event(self, now: float, *, idle: bool) -> float:  # noqa: ARG002  # has no timers
        """Return never."""
        return math.inf

    def advance(self, now: float) -> None:
        """Nothing."""

    def close(self, now: float) -> None:
        """Nothing: the queues are empty once the engine idles."""
