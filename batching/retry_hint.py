"""Owns the guess after how long a refused caller should try again. Must not know why it was refused."""

#: Taken for a batch's duration, in seconds, until one has been seen.
_FIRST_DURATION = 0.05
#: Weight of the newest batch in the running mean of durations.
_WEIGHT = 0.2
#: The least delay worth telling anybody, in seconds.
_LEAST = 0.001


class RetryHint:
    """Learns how long batches take."""

    __slots__ = ("_duration",)

    def __init__(self) -> None:
        self._duration = _FIRST_DURATION

    def observe(self, duration: float) -> None:
        """Learn from a batch that has ended, ``duration`` seconds after it was chosen."""
        self._duration += _WEIGHT * (duration - self._duration)

    def delay(self, batches_waiting: float) -> float:
        """Return about how long half of what waits will take: retries then meet room, not the same wall."""
        return max(_LEAST, self._duration * max(1.0, batches_waiting / 2))
