"""Owns which unfinished request's deadline comes first. Must not know timers or what expiring means."""

import math
from typing import Any

from batching.ticket import Ticket, TicketState
from batching.ticket_heap import TicketHeap


class ExpiryQueue:
    """All requests that have not ended, waiting or running, by deadline.

    Law 9, expiry: since running requests are here too, one timer armed at ``next_deadline`` ends each request at its
    deadline even while the engine is busy.
    """

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap = TicketHeap(TicketState.RUNNING)

    def __len__(self) -> int:
        """Return the number of entries kept, tombstones included."""
        return len(self._heap)

    def add(self, ticket: Ticket[Any, Any]) -> None:
        """Watch a ticket."""
        if ticket.deadline != math.inf:
            self._heap.push((ticket.deadline, ticket.sequence, ticket))

    def ended(self, ticket: Ticket[Any, Any]) -> None:
        """Forget a ticket that has just ended."""
        if ticket.deadline != math.inf:
            self._heap.bury()

    def next_deadline(self) -> float | None:
        """Return the earliest deadline of an unfinished request, or None."""
        entry = self._heap.peek()
        return None if entry is None else float(entry[0])

    def first_due(self, now: float) -> Ticket[Any, Any] | None:
        """Return one unfinished request whose deadline has come, or None. The caller must end it."""
        entry = self._heap.peek()
        if entry is None or entry[0] > now:
            return None
        ticket: Ticket[Any, Any] = entry[-1]
        return ticket
