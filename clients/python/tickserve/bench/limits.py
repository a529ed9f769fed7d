"""What a run must keep to, to pass."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ("Check", "Limit", "checks", "merged")

LATENCIES = ("mean", "p50", "p90", "p95", "p99", "p99.9", "max")
FIGURES = (*LATENCIES, "errors", "late", "rate")
"""Latencies of answers in milliseconds; shares of the sent, 0 to 1, that had no right answer, or had it after their
timeout; right answers a second."""


@dataclass(frozen=True, slots=True)
class Limit:
    """The most, or the least, that a figure may be."""

    figure: str
    bound: Literal["max", "min"]
    value: float

    @classmethod
    def parse(cls, text: str, bound: Literal["max", "min"]) -> Limit:
        """Reads `p99=50`; `none` for the number lifts the limit.

            >>> Limit.parse("p99=50", "max")
            Limit(figure='p99', bound='max', value=50.0)

        Raises:
            ValueError: There is no such figure, or no number.
        """
        figure, _, number = text.partition("=")
        if figure not in FIGURES:
            raise ValueError(f"no figure {figure!r} to limit; there are: {', '.join(FIGURES)}")
        try:
            value = {"max": math.inf, "min": -math.inf}[bound] if number == "none" else float(number)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise ValueError(f"a limit is written {figure}=NUMBER or {figure}=none, not {text}")
        return cls(figure, bound, value)

    def holds(self, value: float | None) -> bool:
        """Tells whether a value is within the limit; one that could not be measured is not."""
        if value is None:
            return False
        return value <= self.value if self.bound == "max" else value >= self.value


@dataclass(frozen=True, slots=True)
class Check:
    """A limit, and what the run had."""

    limit: Limit
    value: float | None
    ok: bool


def merged(defaults: Iterable[Limit], own: Iterable[Limit]) -> tuple[Limit, ...]:
    """Returns the limits in force: a later one replaces an earlier one of the same figure and bound; lifted ones go."""
    chosen = {(limit.figure, limit.bound): limit for limit in (*defaults, *own)}
    return tuple(limit for limit in chosen.values() if math.isfinite(limit.value))


def checks(limits: Iterable[Limit], figures: Mapping[str, float | None]) -> tuple[Check, ...]:
    """Holds figures to the limits.

    Args:
        limits: See `Limit`.
        figures: By the names of `FIGURES`; None where there is no value.
    """
    return tuple(Check(limit, figures[limit.figure], limit.holds(figures[limit.figure])) for limit in limits)
