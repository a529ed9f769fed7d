"""The rows of a window: the newest one is answered, older ones are kept for those who come back, lost ones are known.

Owns numbers of rows, and which of them can still be answered. Knows no feed, no journal and no store.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from server.windows.closed_row import ClosedRow
from server.windows.entry_ring import EntryRing
from server.windows.window_entry import WindowEntry

FloatArray = npt.NDArray[np.float32]


class WindowRows:
    """The kept entries of one symbol, and the windows that they make.

    Args:
        feature_count: Features of a row.
        steps: Rows of a window.
        most: Entries kept, at least `steps`.

    Attributes:
        count: Rows since the last reset; the number of the newest.
        lost: The newest row that a prediction may have been due for and whose window is gone; None if there is none.
        ring: The entries.
    """

    __slots__ = ("_steps", "count", "lost", "ring")

    def __init__(self, *, feature_count: int, steps: int, most: int) -> None:
        self.ring = EntryRing(feature_count, most)
        self.count = 0
        self.lost: ClosedRow | None = None
        self._steps = steps

    def keep(self, entry: WindowEntry, revision: int) -> ClosedRow | None:
        """Adds an entry; returns its row, if it has one."""
        if entry.row is None:
            self.ring.append(entry, revision)
            return None
        # The oldest step makes room, and so the oldest window goes.
        leaving = self.ring.most - self._steps
        if self.ring.row_count == self.ring.most and self.ring.is_live(leaving):
            self.lost = self.row(leaving)
        self.count += 1
        self.ring.append(entry, revision)
        return self.row(0)

    def forget(self, *, bars: bool) -> None:
        """Forgets all rows, and the bars as well if told so; the count stands."""
        for age in range(min(self.ring.row_count, self.count - self._steps + 1)):
            if self.ring.is_live(age):
                self.lost = self.row(age)
                break
        if bars:
            self.ring.clear()
        else:
            self.ring.forget_rows()

    def row(self, age: int) -> ClosedRow:
        """Returns the row of that age, 0 being the newest."""
        return ClosedRow(
            sequence=self.ring.sequence(age),
            first_sequence=self.ring.first_sequence(age),
            as_of_time=self.ring.as_of_time(age),
            row_number=self.count - age,
        )

    def has_window(self, number: int) -> bool:
        """Tells whether the window whose newest row has that number is kept, and full."""
        age = self.count - number
        return age >= 0 and age + self._steps <= self.ring.row_count

    def window(self, number: int) -> FloatArray | None:
        """Returns a copy of the window whose newest row has that number; None if it is not kept, or never was full."""
        if not self.has_window(number):
            return None
        return self.ring.rows(self.count - number, self._steps).copy()

    def ahead(self, rows: Sequence[FloatArray]) -> FloatArray | None:
        """Returns the window as if `rows`, oldest first, had been added; None if there are none, or too few in all."""
        closed = self._steps - len(rows)
        if not rows or closed > self.ring.row_count:
            return None
        return np.column_stack((self.ring.rows(0, closed), *rows))

    def after(self, sequence: int, as_of_time: float | None) -> tuple[ClosedRow, ...]:
        """Returns the rows after a place, oldest first, that came with ticks and whose windows are kept."""
        rows = []
        for age in range(self.ring.row_count - self._steps + 1):
            row = self.row(age)
            if not row.follows(sequence, as_of_time):
                break
            if self.ring.is_live(age):
                rows.append(row)
        return tuple(reversed(rows))
