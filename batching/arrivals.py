"""Owns the order in which the waiting requests of one class arrived. Must not know their other order or their endings.

Its front is who has waited longest and is promoted first (law 5), its back is who is displaced first (law 10). A
promoted request is taken out, which is what makes it not displaceable.
"""

from collections import deque
from typing import Any

from batching.ticket import Ticket, TicketState
from batching.ticket_heap import FEW_TOMBSTONES

AnyTicket = Ticket[Any, Any]

_QUEUED = TicketState.QUEUED


class Arrivals:
    """Waiting tickets, oldest first, with tombstones that are swept as in ``TicketHeap``."""

    __slots__ = ("_entries", "live")

    def __init__(self) -> None:
        self._entries: deque[AnyTicket] = deque()
        self.live = 0

    def __len__(self) -> int:
        """Return the number of entries kept, tombstones included."""
        return len(self._entries)

    def push(self, ticket: AnyTicket) -> None:
        """Add the newest."""
        self._entries.append(ticket)
        self.live += 1

    def oldest(self) -> AnyTicket | None:
        """Return who has waited longest, or None."""
        entries = self._entries
        while entries and entries[0].state != _QUEUED:
            entries.popleft()
        return entries[0] if entries else None

    def newest(self) -> AnyTicket | None:
        """Return who came last, or None."""
        entries = self._entries
        while entries and entries[-1].state != _QUEUED:
            entries.pop()
        return entries[-1] if entries else None

    def pop_oldest(self) -> AnyTicket | None:
        """Take out who has waited longest; it still waits."""
        ticket = self.oldest()
        if ticket is not None:
            self._entries.popleft()
            self.bury()
        return ticket

    def bury(self) -> None:
        """Take note that there is one waiting ticket less."""
        live = self.live = self.live - 1
        tombstones = len(self._entries) - live
        if tombstones > FEW_TOMBSTONES and tombstones > live:
            self._entries = deque([ticket for ticket in self._entries if ticket.state == _QUEUED])

    def clear(self) -> None:
        """Forget all: nothing waits any more."""
        self._entries.clear()
        self.live = 0
