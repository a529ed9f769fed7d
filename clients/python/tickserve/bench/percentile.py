"""Percentiles and histograms of what was measured. Pure numbers; knows no clock and no RPC."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

__all__ = ("BOUNDS_MS", "SHARES", "coarser", "histogram", "percentile", "percentiles")

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
# Bucket bounds in milliseconds: from 100 us to about 100 s, each 7.5 % above the one before.
BOUNDS_MS = tuple(0.1 * 1.075**i for i in range(192))
_ROUNDED_MS = tuple(round(bound, 4) for bound in BOUNDS_MS)


def percentile(ordered: Sequence[float], share: float, *, total: int | None = None) -> float | None:
    """Returns the least value that `share` of all do not exceed (nearest rank), or None where there is none.

        >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5)
        2.0
        >>> percentile([1.0, 2.0, 3.0, 4.0], 0.99, total=5)  # the fifth never came: slower than any

    Args:
        ordered: Values, ascending.
        share: 0 < share <= 1.
        total: How many there would be if each had a value; those without count as greater than any. Default: none is
            without.
    """
    count = len(ordered) if total is None else total
    # The product may lie a hair above a whole number only because of rounding: 0.999 * 1000.
    rank = max(1, math.ceil(share * count - 1e-9))
    return ordered[rank - 1] if 0 < rank <= len(ordered) else None


def percentiles(values: Sequence[float], *, total: int | None = None) -> dict[str, float | None]:
    """Returns the usual percentiles, each None where too few have a value; see `percentile`."""
    ordered = sorted(values)
    return {name: percentile(ordered, share, total=total) for name, share in SHARES.items()}


def histogram(values_ms: Sequence[float]) -> list[list[float]]:
    """Returns `[upper bound in ms, count]` of the buckets that are not empty; values above the last go there."""
    last = len(BOUNDS_MS) - 1
    counts = Counter(min(bisect_left(BOUNDS_MS, value), last) for value in values_ms)
    return [[_ROUNDED_MS[index], counts[index]] for index in sorted(counts)]


def coarser(found: Sequence[Sequence[float]], *, rows: int) -> list[tuple[float, int]]:
    """Returns (upper bound in ms, count) of at most `rows` neighbouring buckets that hold what a histogram holds.

    All are equally many of the histogram's buckets wide; one between two others is kept though it is empty, so that a
    plot shows the gap.

        >>> coarser(histogram([1.0, 1.1, 9.0]), rows=3)
        [(2.0852, 2), (4.6201, 0), (10.2363, 1)]

    Args:
        found: What `histogram` returned.
        rows: At least 1.
    """
    if not found:
        return []
    places = [bisect_left(_ROUNDED_MS, bound) for bound, _ in found]
    first, last = min(places), max(places)
    step = -(-(last - first + 1) // rows)
    counts: Counter[int] = Counter()
    for place, (_, count) in zip(places, found, strict=True):
        counts[(place - first) // step] += int(count)
    ends = (min(first + step * (row + 1), len(BOUNDS_MS)) - 1 for row in range(max(counts) + 1))
    return [(_ROUNDED_MS[end], counts[row]) for row, end in enumerate(ends)]
