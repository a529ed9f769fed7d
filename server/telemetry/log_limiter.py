"""How often one thing may be said: at first at once, then so many times an interval, with the count of what was not.

A pure decision: no clock, no thread, no logger. Bounded: past `max_keys` things, all new ones share one allowance.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclasses.dataclass(slots=True)
class _Allowance:
    """One key's interval: when it began, what was said in it and what was not."""

    began_at: float
    said: int = 0
    suppressed: int = 0


class LogLimiter(Generic[K]):
    """Says which lines are written.

    Args:
        interval: Seconds, above 0.
        burst: Lines of one key in an interval, at least 1.
        max_keys: Keys that are told apart, at least 1.

    Attributes:
        interval: May be changed; counts for intervals that begin from then on.
        suppressed_count: Lines that were not written, in all.
    """

    def __init__(self, *, interval: float, burst: int = 1, max_keys: int = 1024) -> None:
        self.interval = interval
        self.suppressed_count = 0
        self._burst = burst
        self._max_keys = max_keys
        # None is what those share that came too many.
        self._allowances: dict[K | None, _Allowance] = {}

    def offer(self, key: K | None, *, now: float) -> int | None:
        """Asks for one line.

        Args:
            key: What lines are counted together by.
            now: Monotonic seconds.

        Returns:
            None if it must not be written; else how many before it were not, which it should tell.
        """
        if key not in self._allowances and len(self._allowances) >= self._max_keys:
            self._forget(now)
            if len(self._allowances) >= self._max_keys:
                key = None
        allowance = self._allowances.setdefault(key, _Allowance(began_at=now))
        if now - allowance.began_at >= self.interval:
            allowance.began_at, allowance.said = now, 0
        if allowance.said >= self._burst:
            allowance.suppressed += 1
            self.suppressed_count += 1
            return None
        allowance.said += 1
        untold, allowance.suppressed = allowance.suppressed, 0
        return untold

    def due(self, *, now: float) -> Iterator[tuple[K | None, int]]:
        """Yields each key whose interval has ended with lines not written, and their count, which then counts as told.

        Telling it is a line of the interval that begins with it. The key is None for those past `max_keys`.
        """
        for key, allowance in self._allowances.items():
            if allowance.suppressed and now - allowance.began_at >= self.interval:
                untold, allowance.suppressed = allowance.suppressed, 0
                allowance.began_at, allowance.said = now, 1
                yield key, untold

    @property
    def has_untold(self) -> bool:
        """Whether lines were not written whose count is not told yet."""
        return any(allowance.suppressed for allowance in self._allowances.values())

    def _forget(self, now: float) -> None:
        """Forgets keys that have nothing to tell and whose interval is over."""
        idle = [
            key
            for key, allowance in self._allowances.items()
            if not allowance.suppressed and now - allowance.began_at >= self.interval
        ]
        for key in idle:
            del self._allowances[key]
