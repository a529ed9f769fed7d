"""Long work on the event loop, in slices short enough for everybody else. Owns when a slice is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_SLICE = 0.002


class TimeSlice:
    """Gives way to the event loop's other work whenever a slice is used up.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._end = clock() + _SLICE

    async def give_way(self) -> None:
        """Returns at once while the slice lasts; else lets everything else that is ready run first."""
        if self._clock() >= self._end:
            await asyncio.sleep(0)
            self._end = self._clock() + _SLICE
