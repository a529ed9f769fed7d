"""Owns the one timer of a batcher. Must not know what it wakes up for."""

import asyncio
import math
from collections.abc import Callable

#: Event loops round and may fire early; waking up at least this much later, in seconds, avoids spinning on a remainder
#: or on a clock that stands still.
_MIN_DELAY = 0.001


class Alarm:
    """One armed timer at the earliest moment asked for.

    It may ring early, never for nothing asked: whoever is woken looks at the clock and arms it again.
    """

    __slots__ = ("_callback", "_clock", "_handle", "_loop", "_when")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float], callback: Callable[[], None]
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._callback = callback
        self._when = math.inf
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, when: float) -> None:
        """Ring at ``when`` or earlier; a later moment than the one armed for costs nothing."""
        if when >= self._when:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._when = when
        self._handle = self._loop.call_later(max(when - self._clock(), _MIN_DELAY), self._ring)

    def disarm(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self._when = math.inf

    def _ring(self) -> None:
        self._handle = None
        self._when = math.inf
        self._callback()
