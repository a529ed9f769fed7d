"""Owns when the loop last got through its work. Must not know what the work is."""

from collections.abc import Callable

#: How many heartbeats may be missed before the loop counts as stuck.
MISSED_BEATS = 5


class Heartbeat:
    """Readable from any thread.

    Args:
        clock: Monotonic seconds.
        interval: Seconds after which a beat is due at the latest.
    """

    def __init__(self, clock: Callable[[], float], interval: float) -> None:
        self._clock = clock
        self.interval = interval
        self._last = clock()

    def beat(self) -> None:
        """Note that the loop got through."""
        self._last = self._clock()

    def age(self) -> float:
        """Return how many seconds ago that was."""
        return self._clock() - self._last

    @property
    def alive(self) -> bool:
        """Whether no more beats have been missed than a busy loop may miss."""
        return self.age() <= MISSED_BEATS * self.interval
