"""What a series of memory readings says about growth. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence


def slope(readings: Sequence[tuple[float, float]]) -> float:
    """Returns the least-squares slope of (x, y) readings, in units of y per unit of x.

    Raises:
        ValueError: Fewer than two different x.
    """
    count = len(readings)
    mean_x = sum(x for x, _ in readings) / count if count else 0.0
    mean_y = sum(y for _, y in readings) / count if count else 0.0
    spread = sum((x - mean_x) ** 2 for x, _ in readings)
    if not spread:
        raise ValueError("a slope takes readings at two different places")
    return sum((x - mean_x) * (y - mean_y) for x, y in readings) / spread


def settled(readings: Sequence[tuple[float, float]], *, share: float) -> list[tuple[float, float]]:
    """Returns the readings beyond the first `share` of the way: caches and allocators fill up once."""
    if not readings:
        return []
    first, last = readings[0][0], readings[-1][0]
    return [(x, y) for x, y in readings if x >= first + share * (last - first)]
