"""How far a store is behind a window.

Owns revisions: the window's own, and the one that the store has confirmed. Nothing that waits to be stored is held
here: the window's entries are it. Knows no store.
"""

from __future__ import annotations

from collections.abc import Callable

from server.windows.entry_ring import EntryRing
from server.windows.window_change import WindowChange


class WindowJournal:
    """The revisions of one window.

    Args:
        revision: Of the window as restored, which the store has; 0 for a window that no store knows.
        sequence: Of the last tick that the store has.

    Attributes:
        revision: Raised by every change of the window; orders the writes to a store.
        stored_revision: The newest that a store has confirmed; 0 for none.
        durable_sequence: Sequence number of the last tick that a store has confirmed.
    """

    __slots__ = ("_replaced_at", "durable_sequence", "revision", "stored_revision")

    def __init__(self, *, revision: int = 0, sequence: int = 0) -> None:
        self.revision = revision
        self.durable_sequence = sequence
        self.stored_revision = revision
        self._replaced_at = 0 if revision else 1  # the first write to a store that has nothing

    def advance(self, *, replace: bool = False) -> int:
        """Notes a change of the window and returns its revision; `replace` if entries changed that a store may have."""
        self.revision += 1
        if replace:
            self._replaced_at = self.revision
        return self.revision

    def confirmed(self, change: WindowChange) -> None:
        """Notes that a store has a change; older news than what is known already is passed over."""
        if change.revision > self.stored_revision:
            self.stored_revision = change.revision
            self.durable_sequence = change.sequence

    def store_lost_track(self) -> None:
        """Has the next change replace all that the store has, even if nothing happens until then."""
        self.advance(replace=True)

    def take_change(
        self, *, symbol: str, epoch: int, sequence: int, ring: EntryRing, head: Callable[[], bytes]
    ) -> WindowChange | None:
        """Returns all that the store has not confirmed; None if that is nothing."""
        if self.revision == self.stored_revision:
            return None
        pending = ring.newer_than(self.stored_revision)
        replace = self._replaced_at > self.stored_revision or pending == ring.most
        count = len(ring) if replace else pending
        return WindowChange(
            symbol=symbol,
            epoch=epoch,
            previous_revision=self.stored_revision,
            revision=self.revision,
            previous_sequence=self.durable_sequence,
            sequence=sequence,
            replace=replace,
            entries=tuple(ring.entry(age).to_bytes() for age in reversed(range(count))),
            most_entries=ring.most,
            head=head(),
        )
