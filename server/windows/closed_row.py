"""A row of features that joined a window: what a prediction may be due for.

Owns its identity: which tick made it, when its bar ended, which row of the window it is. Holds no values.
"""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClosedRow:
    """One row of a window, by number.

    Attributes:
        sequence: Number of the tick that closed the row's bar, or corrected it last; for a bar that a watermark closed,
            of the last tick before the watermark. So several rows may carry one sequence: the end of the bar tells
            them apart.
        first_sequence: Number of the tick that closed the bar before any correction; else `sequence`.
        as_of_time: End of the row's bar, seconds since the epoch; None if its sender did not say.
        row_number: Rows since the last reset up to this one, from 1.
    """

    sequence: int
    first_sequence: int
    as_of_time: float | None
    row_number: int

    def follows(self, sequence: int, as_of_time: float | None) -> bool:
        """Tells whether the row comes after the place that `sequence` and, among its rows, `as_of_time` name.

        Without a time, on either side, all rows of one sequence are at one place.
        """
        if self.sequence != sequence or as_of_time is None or self.as_of_time is None:
            return self.sequence > sequence
        return self.as_of_time > as_of_time


def time_to_number(time: float | None) -> float:
    """Returns the stored form of a time that may be absent."""
    return math.nan if time is None else time


def time_from_number(number: float) -> float | None:
    """Returns the time that `time_to_number` stored."""
    return None if math.isnan(number) else number
