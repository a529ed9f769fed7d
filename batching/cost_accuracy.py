"""Owns how well predicted durations have come true. Must not know what predicts, nor what is decided with it."""

from bisect import bisect_left
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class CostAccuracy:
    """Actual durations over predicted ones.

    Attributes:
        BOUNDS: Upper bounds of the buckets, inclusive; finest around 1, with the same factors on either side of it.
        counts: How many lie in each bucket, and last how many above all bounds.
        total: The sum of them all.
    """

    BOUNDS: ClassVar = (0.1, 0.25, 0.5, 0.67, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 4.0, 10.0)

    counts: tuple[int, ...]
    total: float


class CostRatios:
    """Counts one key's ratios."""

    __slots__ = ("_counts", "_total")

    def __init__(self) -> None:
        self._counts = [0] * (len(CostAccuracy.BOUNDS) + 1)
        self._total = 0.0

    def note(self, predicted: float, actual: float) -> None:
        """Take one batch's durations, seconds, both above 0."""
        ratio = actual / predicted
        self._counts[bisect_left(CostAccuracy.BOUNDS, ratio)] += 1
        self._total += ratio

    def so_far(self) -> CostAccuracy:
        """Return an immutable snapshot."""
        return CostAccuracy(counts=tuple(self._counts), total=self._total)
