"""What the tick streams of a replica have done. Owns the counters and the running mean of clock skew."""

from __future__ import annotations

import dataclasses

# Weight of the newest tick in the running mean: about a thousand ticks are remembered.
_WEIGHT = 0.001
# Callers choose the numbers whose gaps are counted, and the count is told as an int64.
_MOST = 2**63 - 1


@dataclasses.dataclass(slots=True)
class TickCounters:
    """Counts since the replica's start.

    Attributes:
        applied: Ticks applied to a window.
        duplicates: Ticks that had been applied before.
        refused: Ticks that were refused, and changed nothing.
        missing: Sequence numbers that were never received; stays at 2^63 - 1 once it is there.
        conflated: Predictions that a newer one replaced while they waited.
        resumed: Symbols that a returning client resumed.
        recomputed: Predictions computed again for returning clients.
        event_time_skew: By how much receipt was later than the events' own times, seconds, a running mean; negative
            where the source's clock is ahead.
    """

    applied: int = 0
    duplicates: int = 0
    refused: int = 0
    missing: int = 0
    conflated: int = 0
    resumed: int = 0
    recomputed: int = 0
    event_time_skew: float = 0.0
    _timed: int = 0

    def note_missing(self, count: int) -> None:
        """Takes one more gap of so many sequence numbers."""
        self.missing = min(self.missing + count, _MOST)

    def note_skew(self, seconds: float) -> None:
        """Takes one more difference between receipt and event time; the first ones weigh evenly."""
        self._timed += 1
        self.event_time_skew += max(_WEIGHT, 1 / self._timed) * (seconds - self.event_time_skew)
