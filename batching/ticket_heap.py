"""Owns a heap of tickets with lazy deletion. Must not know what the order means."""

from heapq import heapify, heappop, heappush
from typing import Any

from batching.ticket import Ticket, TicketState

#: Up to this many tombstones are not worth a sweep.
FEW_TOMBSTONES = 16

Entry = tuple[Any, ...]


class TicketHeap:
    """Ordered tickets; those past ``last_live`` state are tombstones.

    An entry is a tuple whose last element is the ticket and whose others order it and are unique together.
    Law 9, cheap cancelling: a ticket that dies in place costs O(1) amortised; tombstones are swept as soon as they are
    more than ``FEW_TOMBSTONES`` and more than one half of the entries, so memory stays within twice the live tickets.
    """

    __slots__ = ("_entries", "_last_live", "live")

    def __init__(self, last_live: TicketState) -> None:
        self._entries: list[Entry] = []
        self._last_live = int(last_live)
        self.live = 0

    def __len__(self) -> int:
        """Return the number of entries kept, tombstones included."""
        return len(self._entries)

    def push(self, entry: Entry) -> None:
        """Add a live ticket."""
        heappush(self._entries, entry)
        self.live += 1

    def peek(self) -> Entry | None:
        """Return the first live entry, or None."""
        entries = self._entries
        last_live = self._last_live
        while entries:
            entry = entries[0]
            if entry[-1].state <= last_live:
                return entry
            heappop(entries)
        return None

    def pop(self) -> Ticket[Any, Any] | None:
        """Remove and return the first live ticket, or None."""
        entry = self.peek()
        if entry is None:
            return None
        heappop(self._entries)
        self.bury()  # one live ticket less: tombstones may now be the majority
        ticket: Ticket[Any, Any] = entry[-1]
        return ticket

    def bury(self) -> None:
        """Take note that there is one live ticket less, and sweep if that is due."""
        live = self.live = self.live - 1
        tombstones = len(self._entries) - live
        if tombstones > FEW_TOMBSTONES and tombstones > live:
            last_live = self._last_live
            self._entries = [entry for entry in self._entries if entry[-1].state <= last_live]
            heapify(self._entries)

    def tickets(self) -> list[Ticket[Any, Any]]:
        """Return the live tickets in no order: O(entries)."""
        last_live = self._last_live
        return [entry[-1] for entry in self._entries if entry[-1].state <= last_live]
