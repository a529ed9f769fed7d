"""Monotonic times as times of day, which spans have. Owns the one offset between the two clocks of this process."""

from __future__ import annotations

import time
from collections.abc import Callable

_READINGS = 3
_VALIDITY_NS = 10_000_000_000


class WallClock:
    """Knows how far the wall clock is ahead of the monotonic one.

    The kernel slews both alike, so their distance changes only when somebody sets the wall clock: it is read anew now
    and then, not for each span, or the spans of one request would lie microseconds apart by the readings alone.

    Args:
        monotonic: Nanoseconds of the clock that records are measured on.
        wall: Nanoseconds since the epoch.
    """

    def __init__(
        self, monotonic: Callable[[], int] = time.monotonic_ns, wall: Callable[[], int] = time.time_ns
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._offset = 0
        self._valid_until: int | None = None

    def offset(self) -> int:
        """Returns the nanoseconds to add to a monotonic time; any thread."""
        now = self._monotonic()
        if self._valid_until is None or now >= self._valid_until:
            self._offset = self._measured()
            self._valid_until = now + _VALIDITY_NS
        return self._offset

    def _measured(self) -> int:
        """Returns the offset by the tightest of a few readings: one that was interrupted lies wide of the mark."""
        readings = []
        for _ in range(_READINGS):
            before, wall, after = self._monotonic(), self._wall(), self._monotonic()
            readings.append((after - before, wall - (before + after) // 2))
        return min(readings)[1]


def wall_ns(monotonic: float, offset: int) -> int:
    """Returns monotonic seconds as nanoseconds since the epoch, to the nanosecond for the first 100 days of uptime."""
    return round(monotonic * 1e9) + offset
