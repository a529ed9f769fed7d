"""How long calls took, in a fixed number of counters: quantiles within a tenth, without keeping any single value."""

from __future__ import annotations

import math
from collections.abc import Mapping

# From 100 us to over two minutes, each bucket's bound a tenth above the one before.
_LEAST = 1e-4
_GROWTH = math.log(1.1)
_BUCKETS = 150


class LatencyHistogram:
    """Counts durations, in seconds."""

    __slots__ = ("_counts", "count")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0

    def add(self, seconds: float) -> None:
        """Counts one duration; what is outside the range goes to its nearest end."""
        bucket = 0 if seconds <= _LEAST else math.ceil(math.log(seconds / _LEAST) / _GROWTH)
        self._counts[min(bucket, _BUCKETS - 1)] += 1
        self.count += 1

    def merge(self, other: LatencyHistogram) -> None:
        """Counts all that another one has counted."""
        self._counts = [mine + its for mine, its in zip(self._counts, other._counts, strict=True)]
        self.count += other.count

    def buckets(self) -> dict[int, int]:
        """Returns the counters that are not zero, by bucket: what `add_buckets` takes."""
        return {bucket: count for bucket, count in enumerate(self._counts) if count}

    def add_buckets(self, buckets: Mapping[int, int]) -> None:
        """Counts what another one, perhaps of another process, had counted; buckets that there are not do not count."""
        for bucket, count in buckets.items():
            if 0 <= bucket < _BUCKETS:
                self._counts[bucket] += count
                self.count += count

    def quantile(self, share: float) -> float:
        """Returns a duration that `share` of those counted, in (0, 1], did not exceed; 0 if there are none.

        It is the upper bound of the bucket: never too small within the range, and at most a tenth too large.
        """
        rank = math.ceil(share * self.count)
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= rank and seen:
                return _LEAST * math.exp(bucket * _GROWTH)
        return 0.0
