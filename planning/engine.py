"""Owns the durations of a simulated engine. Must not know requests, queues or a clock of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planning.cost_table import CostTable

#: How many draws are made at once: one numpy call a batch would cost more than all else the simulator does for it.
_BLOCK = 4096


@dataclass(frozen=True, kw_only=True)
class Slowdown:
    """From ``start`` to ``end``, in seconds of the virtual clock, every call takes ``factor`` times as long."""

    start: float
    end: float
    factor: float


class SimulatedEngine:
    """Draws how long each batch takes; the same seed and the same sequence of calls give the same durations."""

    def __init__(self, table: CostTable, *, max_batch_size: int, seed: int, slowdowns: Sequence[Slowdown] = ()) -> None:
        self._table = table
        self._medians = [table.duration(max(size, 1)) for size in range(max_batch_size + 1)]
        self._slowdowns = tuple(slowdowns)
        self._random = np.random.default_rng([seed, 0xE6])
        self._factors: list[float] = []
        self._stalls: list[float] = []

    def duration(self, size: int, now: float) -> float:
        """Return how long a batch of ``size`` that starts at ``now`` takes."""
        if not self._factors:
            self._draw()
        seconds = self._medians[size] * self._factors.pop() + self._stalls.pop()
        for slowdown in self._slowdowns:
            if slowdown.start <= now < slowdown.end:
                seconds *= slowdown.factor
        return seconds

    def _draw(self) -> None:
        table = self._table
        random = self._random
        self._factors = random.lognormal(0.0, table.jitter, _BLOCK).tolist()
        stalls = random.exponential(table.stall_seconds, _BLOCK)
        self._stalls = (stalls * (random.random(_BLOCK) < table.stall_probability)).tolist()
