"""What the panels of a dashboard show: lines by legend, by panel, as an operator sees them. Pure."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping

Line = tuple[float, ...]
"""Samples at equal intervals, oldest first; NaN where there is none."""

Screen = Mapping[str, Mapping[str, Line]]
"""Lines by legend, by title of the panel."""


def level(line: Line) -> float:
    """Returns the height of a line: the median of its samples; 0 where it has none."""
    known = [value for value in line if not math.isnan(value)]
    return statistics.median(known) if known else 0.0


def peak(line: Line) -> float:
    """Returns its highest sample; 0 where it has none."""
    return max((value for value in line if not math.isnan(value)), default=0.0)


def is_there(line: Line) -> bool:
    """Tells whether the line reaches to the right edge."""
    return bool(line) and not math.isnan(line[-1])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The same panels twice.

    Attributes:
        before: While all was well.
        now: Since somebody was called.
    """

    before: Screen
    now: Screen

    def legends(self, panel: str) -> list[str]:
        """Returns the legends that a panel shows now, sorted."""
        return sorted(self.now.get(panel, {}))

    def was(self, panel: str, legend: str) -> Line:
        """Returns a line as it was; empty where it was not."""
        return self.before.get(panel, {}).get(legend, ())

    def line(self, panel: str, legend: str) -> Line:
        """Returns a line as it is; empty where it is not."""
        return self.now.get(panel, {}).get(legend, ())
