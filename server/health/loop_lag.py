"""How late the event loop comes to what is due: what blocks it delays every request, and shows in no other figure.

A task sleeps for a while, again and again, and looks how much later it woke up. Owns the measurement and what of it is
remembered; judges nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

INTERVAL = 0.05
"""Seconds between two looks: shorter stops are seen in proportion to their length, longer ones always."""

REMEMBERED = 10.0
"""Seconds over which the greatest lag is told: several readers that look every few seconds each see every stop."""


class LoopLag:
    """Measures one event loop.

    Args:
        on_lag: Called with every lag, in seconds; must not raise or block.
        clock: Monotonic seconds.
        sleep: Waits for so many seconds.

    Attributes:
        latest: Seconds by which the last look was late, at least 0.
    """

    def __init__(
        self,
        *,
        on_lag: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._on_lag = on_lag
        self._clock = clock
        self._sleep = sleep
        self.latest = 0.0
        # When, and how late; falling: a lag is forgotten when a greater one follows, and so the first is the greatest.
        self._greatest: deque[tuple[float, float]] = deque()
        self._due: float | None = None

    @property
    def greatest(self) -> float:
        """Most seconds by which a look of the last `REMEMBERED` seconds was late, or is by now. Any thread."""
        now, due = self._clock(), self._due
        # Copied in one step, for the event loop may be changing it.
        lags = [lag for at, lag in tuple(self._greatest) if now - at <= REMEMBERED]
        return max(0.0 if due is None else now - due, *lags[:1], 0.0)

    async def run(self) -> None:
        """Measures until it is cancelled."""
        try:
            while True:
                self._due = self._clock() + INTERVAL
                await self._sleep(INTERVAL)
                self._note(self._clock(), self._due)
        finally:
            self._due = None

    def _note(self, now: float, due: float) -> None:
        self.latest = max(0.0, now - due)
        while self._greatest and self._greatest[-1][1] <= self.latest:
            self._greatest.pop()
        self._greatest.append((now, self.latest))
        while now - self._greatest[0][0] > REMEMBERED:
            self._greatest.popleft()
        self._on_lag(self.latest)
