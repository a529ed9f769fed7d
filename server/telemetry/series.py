"""The series that a replica counts in: one cell, or one for each bucket. Owns the arithmetic; knows no file.

Each is written by one thread at a time: there is no lock, because a request passes a dozen of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class Counter:
    """A total that never decreases."""

    __slots__ = ("_cells", "_followed")

    def __init__(self, cells: memoryview[float]) -> None:
        self._cells = cells
        self._followed = 0.0

    def increment(self, amount: float = 1.0) -> None:
        """Adds `amount`, which is not negative."""
        self._cells[0] += amount

    def follow(self, total: float) -> None:
        """Adds what another counter has gained since the last call; one that has fallen began again from zero."""
        gained = total - self._followed if total >= self._followed else total
        self._followed = total
        if gained:
            self._cells[0] += gained


class Gauge:
    """A value of now."""

    __slots__ = ("_cells",)

    def __init__(self, cells: memoryview[float]) -> None:
        self._cells = cells

    def set(self, value: float) -> None:
        """Replaces the value."""
        self._cells[0] = value


class Histogram:
    """How many values there were up to each bound, and their sum.

    Args:
        cells: Sum; then counts for each bound, then above all, not cumulated.
        bounds: Ascending; a value equal to one counts as within it.
    """

    __slots__ = ("_bounds", "_cells")

    def __init__(self, cells: memoryview[float], bounds: Sequence[float]) -> None:
        self._cells = cells
        self._bounds = bounds

    def observe(self, value: float) -> None:
        """Counts one value."""
        cells = self._cells
        # The count first: a process that dies in between leaves a sum that lacks one value, and no count that does.
        cells[1 + bisect_left(self._bounds, value)] += 1.0
        cells[0] += value

    def add(self, counts: Sequence[int], total: float) -> None:
        """Counts many values at once: how many in each bucket, the last one above all bounds, and their sum."""
        for index, count in enumerate(counts, 1):
            if count:
                self._cells[index] += count
        self._cells[0] += total


class Growth:
    """What another histogram has gained since it was last looked at; one that has lost anything began again from zero.

    Apart from the series that it is added to, for that may be given up and made anew meanwhile.
    """

    def __init__(self) -> None:
        self._counts: tuple[int, ...] = ()
        self._total = 0.0

    def since_last(self, counts: tuple[int, ...], total: float) -> tuple[list[int], float]:
        """Returns what the buckets and the sum have gained, given what they are now."""
        before, total_before = self._counts, self._total
        if not before or any(new < old for new, old in zip(counts, before, strict=True)):
            before, total_before = (0,) * len(counts), 0.0
        self._counts, self._total = counts, total
        return [new - old for new, old in zip(counts, before, strict=True)], total - total_before
