"""Spreads and ratios over interleaved rounds. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

Spread = dict[str, float | None]


def spread(values: Iterable[float | None]) -> Spread:
    """Returns median, least and greatest of the values that there are; all None if there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return {"median": None, "min": None, "max": None}
    return {"median": statistics.median(known), "min": min(known), "max": max(known)}


def ratio(value: float | None, other: float | None) -> float | None:
    """Returns `value / other`, or None where either is missing or the other is zero."""
    return value / other if value is not None and other else None
