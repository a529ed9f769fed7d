"""What a store does not have yet of one symbol's window.

Owns the shape of a write: what it follows, what it adds or replaces. Knows no store and no window.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowChange:
    """One write for a store, taken from a window; many ticks between two writes are one change.

    A store accepts it under two conditions, checked together with the write in one step:

    - `epoch` is the symbol's newest, else another stream has taken the symbol over and the change is void;
    - an append: what is stored has exactly `previous_revision`; a replacement: what is stored, if anything, has a
      revision below `revision`. Else the holder is asked for everything (`SymbolWindow.store_lost_track`).

    Revisions, not sequences, order the writes: bars that a watermark closes do not move the sequence, so a write that
    was repeated because its answer got lost could not be told from a new one by its sequence.

    Attributes:
        symbol: Name.
        epoch: The window's when the change was taken.
        previous_revision: Of what the change follows; 0 where the store has nothing. Below `revision`.
        revision: Of the window with the change; > 0.
        previous_sequence: Sequence number of the last tick that the store had confirmed.
        sequence: Of the last tick in the change; what becomes durable with it. May need all 63 bits.
        replace: The entries are all that are kept: what was stored goes. Else they are added to it.
        entries: Oldest first, in the form of `window_entry`; may be empty, as after a trade inside a bar.
        most_entries: Entries to keep, the newest; what exceeds them is dropped after an append.
        head: All else of the window, in the form of `window_head`; replaces the stored one.
    """

    symbol: str
    epoch: int
    previous_revision: int
    revision: int
    previous_sequence: int
    sequence: int
    replace: bool
    entries: tuple[bytes, ...]
    most_entries: int
    head: bytes

    @property
    def byte_count(self) -> int:
        """Bytes of head and entries together."""
        return len(self.head) + sum(map(len, self.entries))
