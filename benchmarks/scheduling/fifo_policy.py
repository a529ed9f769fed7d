"""Owns first-in-first-out with late-bound batches. Must not know classes or deadlines."""

import math
from collections import deque
from collections.abc import Sequence

from planning.ledger import ABANDONED, ANSWERED, QUEUE_FULL, Ledger


class FifoPolicy:
    """One bounded queue; whoever came first goes first, and requests nobody waits for any more are skipped.

    Skipping them is more than most servers do: their clients' hang-ups are known at once and for nothing.
    """

    def __init__(self, ledger: Ledger, *, max_batch_size: int, max_queue_size: int) -> None:
        self._ledger = ledger
        self._max_batch_size = max_batch_size
        self._max_queue_size = max_queue_size
        self._queue: deque[int] = deque()
        self._running: list[int] = []

    def submit(self, row: int, now: float) -> None:
        """Queue a request unless the queue is full of requests somebody waits for."""
        queue = self._queue
        if len(queue) >= self._max_queue_size:
            self._drop_the_gone(now)
            if len(queue) >= self._max_queue_size:
                self._ledger.end(row, QUEUE_FULL, now)
                return
        queue.append(row)

    def choose(self, now: float) -> Sequence[int]:
        """Return the oldest requests."""
        queue, ledger, limit = self._queue, self._ledger, self._max_batch_size
        chosen: list[int] = []
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
        """Nothing: the queue is empty once the engine idles."""

    def _drop_the_gone(self, now: float) -> None:
        queue, ledger = self._queue, self._ledger
        while queue and ledger.gone_at[queue[0]] <= now:
            ledger.end(queue.popleft(), ABANDONED, now)
