"""The newest entries of a window, held compactly: about 42 KB for 120 of them.

Owns their storage and which of them have features. Knows no feed, no journal and no store.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from model.bar import Bar
from server.windows.closed_row import time_from_number, time_to_number
from server.windows.window_entry import WindowEntry

FloatArray = npt.NDArray[np.float32]

_SLACK: Final = 16  # columns beside the kept ones: moving the rows costs a sixteenth of them a bar
_NUMBERS: Final = 4  # integers of an entry: sequence, first sequence, whether it is live, revision
_VALUES: Final = 7  # doubles of an entry: as-of time or NaN, then the bar's or NaN
_NO_BAR: Final = (float("nan"),) * 6


class EntryRing:
    """Entries by age: number 0 is the newest. Not safe between threads.

    The entries that have features are the newest `row_count`: those without lie before them.

    Args:
        feature_count: Features of a row.
        most: Entries kept, >= 1; the oldest makes room.

    Attributes:
        most: Entries kept at most.
        row_count: Kept entries that have features.
    """

    __slots__ = ("_end", "_numbers", "_rows", "_values", "most", "row_count")

    def __init__(self, feature_count: int, most: int) -> None:
        self.most = most
        # Rows are written left to right; at the end of the buffer the kept ones move to its beginning. So a window is
        # always one slice.
        self._rows = np.zeros((feature_count, most + _SLACK), dtype=np.float32)
        self._numbers = array("q")
        self._values = array("d")
        self._end = 0
        self.row_count = 0

    def __len__(self) -> int:
        return len(self._numbers) // _NUMBERS

    def append(self, entry: WindowEntry, revision: int) -> None:
        """Adds the newest entry, which the window has since `revision`; one without features follows none that has."""
        if entry.row is not None:
            self._append_row(entry.row)
        self._numbers.extend((entry.sequence, entry.first_sequence, entry.live, revision))
        self._values.extend(_values(entry))
        if len(self) > self.most:
            del self._numbers[:_NUMBERS], self._values[:_VALUES]

    def amend(self, entry: WindowEntry, revision: int) -> None:
        """Puts an entry in the newest one's place; both have features, or neither has."""
        self._numbers[-_NUMBERS:] = array("q", (entry.sequence, entry.first_sequence, entry.live, revision))
        self._values[-_VALUES:] = array("d", _values(entry))
        if entry.row is not None:
            self._rows[:, self._end - 1] = entry.row

    def clear(self) -> None:
        """Forgets all entries."""
        del self._numbers[:], self._values[:]
        self.forget_rows()

    def forget_rows(self) -> None:
        """Forgets all features; the bars stay."""
        self._end = self.row_count = 0

    def sequence(self, age: int) -> int:
        """Returns the sequence of the entry of that age."""
        return self._numbers[-(age + 1) * _NUMBERS]

    def first_sequence(self, age: int) -> int:
        """Returns the sequence of the entry of that age before any correction."""
        return self._numbers[-(age + 1) * _NUMBERS + 1]

    def is_live(self, age: int) -> bool:
        """Tells whether the entry of that age came with a tick."""
        return bool(self._numbers[-(age + 1) * _NUMBERS + 2])

    def as_of_time(self, age: int) -> float | None:
        """Returns the end of the bar of that age, if known."""
        return time_from_number(self._values[-(age + 1) * _VALUES])

    def newer_than(self, revision: int) -> int:
        """Returns the number of entries that the window has since a later revision; they are the newest."""
        count = 0
        while count < len(self) and self._numbers[-(count + 1) * _NUMBERS + 3] > revision:
            count += 1
        return count

    def rows(self, age: int, count: int) -> FloatArray:
        """Returns a view of `count` rows, the newest of them of that age: [feature_count, count], oldest first.

        `age + count` is at most `row_count`; the view is good until the next change.
        """
        end = self._end - age
        return self._rows[:, end - count : end]

    def entry(self, age: int) -> WindowEntry:
        """Returns the entry of that age, on its own."""
        start = len(self._values) - (age + 1) * _VALUES
        as_of_time, open_time, *prices = self._values[start : start + _VALUES]
        bar = None
        if open_time == open_time:  # not NaN
            o, h, lo, c, volume = prices
            bar = Bar(open_time=open_time, open=o, high=h, low=lo, close=c, volume=volume)
        return WindowEntry(
            sequence=self.sequence(age),
            first_sequence=self.first_sequence(age),
            as_of_time=time_from_number(as_of_time),
            bar=bar,
            row=self.rows(age, 1)[:, 0].copy() if age < self.row_count else None,
            live=self.is_live(age),
        )

    def _append_row(self, row: FloatArray) -> None:
        if self._end == self._rows.shape[1]:
            kept = self.most - 1
            self._rows[:, :kept] = self._rows[:, self._end - kept :]
            self._end = kept
        self._rows[:, self._end] = row
        self._end += 1
        self.row_count = min(self.row_count + 1, self.most)


def _values(entry: WindowEntry) -> Sequence[float]:
    bar = entry.bar
    prices = _NO_BAR if bar is None else (bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume)
    return (time_to_number(entry.as_of_time), *prices)
