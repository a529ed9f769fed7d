"""Owns batches that are formed before the engine is free, as ``@serve.batch`` does. Must not know classes or deadlines.

After Ray 2.60, ``ray/serve/batching.py``: ``wait_for_batch`` takes the first request, waits up to the timeout for
more, and hands the batch to a task of its own, which waits for a semaphore. Under load the waiting tasks are frozen
batches of what arrived in one such interval, however many requests wait in all. Cancelled members are dropped once the
semaphore is theirs; their places stay empty.
"""

import math
from collections import deque
from collections.abc import Sequence

from planning.ledger import ABANDONED, ANSWERED, Ledger


class EarlyBindingPolicy:
    """Freezes a batch once it is full or ``wait`` seconds old; frozen batches run in order of freezing. Unbounded."""

    def __init__(self, ledger: Ledger, *, max_batch_size: int, wait: float) -> None:
        self._ledger = ledger
        self._max_batch_size = max_batch_size
        self._wait = wait
        self._forming: list[int] = []
        self._freeze_at = math.inf
        self._frozen: deque[list[int]] = deque()
        self._running: list[int] = []

    def submit(self, row: int, now: float) -> None:
        """Join the batch that is being formed, or begin one."""
        if not self._forming:
            self._freeze_at = now + self._wait
        self._forming.append(row)
        if len(self._forming) >= self._max_batch_size:
            self._freeze()

    def choose(self, now: float) -> Sequence[int]:
        """Return what is left of the oldest frozen batch that has not died out."""
        self.advance(now)
        ledger = self._ledger
        while self._frozen:
            chosen: list[int] = []
            for row in self._frozen.popleft():
                if ledger.gone_at[row] > now:
                    chosen.append(row)
                else:
                    ledger.end(row, ABANDONED, now)
            if chosen:
                self._running = chosen
                return chosen
        return ()

    def complete(self, now: float, duration: float) -> None:  # noqa: ARG002  # learns nothing from it
        """Answer, late or not."""
        for row in self._running:
            self._ledger.end(row, ANSWERED, now)
        self._running = []

    def cancel(self, row: int, now: float) -> None:
        """Nothing: ``choose`` looks at the ledger."""

    def next_event(self, now: float, *, idle: bool) -> float:  # noqa: ARG002  # freezes whatever the engine does
        """Return when the batch that is being formed freezes."""
        return self._freeze_at

    def advance(self, now: float) -> None:
        """Freeze the batch that is being formed if it is old enough."""
        if self._freeze_at <= now:
            self._freeze()

    def close(self, now: float) -> None:
        """Nothing: every batch freezes and runs."""

    def _freeze(self) -> None:
        self._frozen.append(self._forming)
        self._forming = []
        self._freeze_at = math.inf
