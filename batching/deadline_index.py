"""Owns where in the order of one class a deadline would come, and whom it would make late. Must not know costs' origin.

Entries are (round, deadline, arrival), the order of a class (law 4). They are kept in sorted blocks of at most n/32
entries, at most ``MAX_BLOCKS`` of them: adding and removing bisect over blocks and then within one, O(log n); the test
of an insertion looks at each block behind it once, so its cost is bounded whatever n is.

Granularity: of a block that is not split by the insertion only the earliest deadline and the end position are looked
at, as if all its entries ran as late as the last and were due as early as the first. Up to 32 entries, blocks hold one
each and the test is exact; beyond, it errs by at most one block, n/32 places, about 3 % of the wait, and on the careful
side: it may spare entries that need no sparing.
"""

import math
from bisect import bisect_left, bisect_right, insort
from itertools import chain

Key = tuple[int, float, float]

#: With more blocks than this, all are cut anew.
MAX_BLOCKS = 96
_BLOCKS = 32


class DeadlineIndex:
    """The waiting requests of one class, in order."""

    __slots__ = ("_blocks", "_earliest", "_starts", "size")

    def __init__(self) -> None:
        self.size = 0
        self._blocks: list[list[Key]] = []
        self._starts: list[Key] = []
        # Of each block, a lower bound of its deadlines: it is not raised when the entry it comes from leaves.
        self._earliest: list[float] = []

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self._blocks)

    @property
    def first_deadline(self) -> float:
        """The deadline of the first in order; ``inf`` if there is none."""
        return self._starts[0][1] if self._starts else math.inf

    def add(self, key: Key) -> None:
        """Add an entry, which must be new."""
        self.size += 1
        if not self._blocks:
            self._blocks.append([key])
            self._starts.append(key)
            self._earliest.append(key[1])
            return
        i = max(0, bisect_right(self._starts, key) - 1)
        block = self._blocks[i]
        insort(block, key)
        self._starts[i] = block[0]
        if key[1] < self._earliest[i]:
            self._earliest[i] = key[1]
        if len(block) > max(1, self.size // _BLOCKS):
            self._cut(i)

    def remove(self, key: Key) -> None:
        """Remove an entry, which must be there."""
        i = bisect_right(self._starts, key) - 1
        block = self._blocks[i]
        del block[bisect_left(block, key)]
        self.size -= 1
        if block:
            self._starts[i] = block[0]
        else:
            del self._blocks[i], self._starts[i], self._earliest[i]

    def ahead(self, round_: int, deadline: float) -> int:
        """Return how many entries come before a newcomer of that round and deadline."""
        key = (round_, deadline, math.inf)
        i = bisect_right(self._starts, key) - 1
        if i < 0:
            return 0
        return sum(map(len, self._blocks[:i])) + bisect_right(self._blocks[i], key)

    def makes_late(
        self, round_: int, deadline: float, *, first: int, batch: int, start: float, start_before: float, work: float
    ) -> bool:
        """Tell whether one more entry of that round and deadline makes one behind it, of the same round, late.

        An entry at place p (0 is next of all classes) ends at ``start``, plus ``p * work`` from the second batch on.
        Who would have been late before, with ``start_before`` and a place earlier, does not count: nothing is lost.

        Args:
            round_: Of the newcomer.
            deadline: Of the newcomer.
            first: The place of this class's first entry.
            batch: How many places a batch has.
            start: When the first batch ends, with the newcomer.
            start_before: When it would end without.
            work: Seconds that each place costs.
        """
        key = (round_, deadline, math.inf)
        starts, blocks = self._starts, self._blocks
        i = max(0, bisect_right(starts, key) - 1)
        end = bisect_left(starts, (round_ + 1,), i)
        place = first + sum(map(len, blocks[:i]))
        for j in range(i, end):
            block = blocks[j]
            place += len(block)  # of the last of the block once the newcomer is in
            due = self._earliest[j]
            if j == i and (block[0] <= key):
                at = bisect_right(block, key)
                if at == len(block):
                    continue  # all of it is ahead
                due = block[at][1]
            if due < start + (place * work if place >= batch else 0.0) and due >= start_before + (
                (place - 1) * work if place > batch else 0.0
            ):
                return True
        return False

    def _cut(self, i: int) -> None:
        """Cut a block in two, or everything anew when there are too many blocks."""
        block = self._blocks[i]
        if len(self._blocks) >= MAX_BLOCKS:
            entries = list(chain.from_iterable(self._blocks))
            length = -(-len(entries) // _BLOCKS)
            self._blocks = [entries[n : n + length] for n in range(0, len(entries), length)]
            self._starts = [block[0] for block in self._blocks]
            self._earliest = [min(key[1] for key in block) for block in self._blocks]
            return
        # A newcomer that comes last leaves the block full: in order of arrival, the usual case, blocks stay full.
        at = len(block) - 1 if len(block) > 2 and i == len(self._blocks) - 1 else len(block) // 2
        self._blocks[i : i + 1] = [block[:at], block[at:]]
        self._starts[i : i + 1] = [block[0], block[at]]
        self._earliest[i : i + 1] = [min(key[1] for key in part) for part in (block[:at], block[at:])]
