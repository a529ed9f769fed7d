"""Owns the order in which the requests of one class wait. Must not know other classes, batches' sizes or outcomes.

A batch holds one key, so requests are kept in one heap, a *lane*, per key: taking the next request of a key never walks
past those of another, which stay where they are. The head of the class is the least of its lanes' heads. That minimum
is taken once a batch over the lanes that hold something, that is, over the models that have work waiting: a handful.
Everything else is O(log n) in the requests waiting.

Choosing a batch has two steps. ``draw`` takes a candidate out of its lane, and the next one can be looked at. Then
every candidate either goes back with ``restore``, all of them before the first ``take``, or leaves with ``take``.
"""

from typing import Any

from batching.arrivals import Arrivals
from batching.deadline_index import DeadlineIndex
from batching.fair_share import FairShare
from batching.ticket import Ticket, TicketState
from batching.ticket_heap import Entry, TicketHeap

AnyTicket = Ticket[Any, Any]

_QUEUED = TicketState.QUEUED


class ClassQueue:
    """The requests of one class that wait.

    Attributes:
        size: How many.
        arrivals: Those not promoted in order of arrival.
        index: All in order of service, if that is tracked: for admission only.
    """

    __slots__ = ("_fair_share", "_lanes", "arrivals", "index", "size")

    def __init__(self, quantum: int) -> None:
        self.size = 0
        self.arrivals = Arrivals()
        self.index: DeadlineIndex | None = None
        self._lanes: dict[str, TicketHeap] = {}
        self._fair_share = FairShare(quantum)

    def set_quantum(self, quantum: int) -> None:
        """Use another quantum from the next placement on; rounds already given stand."""
        self._fair_share.quantum = quantum

    def track(self, *, wanted: bool) -> None:
        """Keep the index, or do not."""
        if not wanted:
            self.index = None
        elif self.index is None:
            self.index = DeadlineIndex()
            for key in self._lanes:
                for ticket in self.tickets(key):
                    self.index.add((ticket.round, ticket.deadline, ticket.sequence))

    @property
    def entries(self) -> int:
        """How many entries all structures hold, tombstones included."""
        indexed = self.index.size + self.index.blocks if self.index is not None else 0
        return sum(map(len, self._lanes.values())) + len(self.arrivals) + len(self._fair_share) + indexed

    @property
    def keys(self) -> int:
        """How many keys wait."""
        return len(self._lanes)

    def next_round(self, caller: str) -> int:
        """Return the round that the caller's next request would get."""
        return self._fair_share.preview(caller)

    def push(self, ticket: AnyTicket) -> None:
        """Add a ticket and place it in a round."""
        ticket.round, ticket.share = self._fair_share.place(ticket.request.caller)
        self.size += 1
        self.restore(ticket)
        self.arrivals.push(ticket)
        if self.index is not None:
            self.index.add((ticket.round, ticket.deadline, ticket.sequence))

    def draw(self, batch_key: str) -> AnyTicket | None:
        """Take the first ticket of a key out of its lane; it goes back with ``restore`` or leaves with ``take``."""
        lane = self._lanes.get(batch_key)
        return lane.pop() if lane is not None else None

    def restore(self, ticket: AnyTicket) -> None:
        """Put a ticket into its lane."""
        lane = self._lanes.get(ticket.request.batch_key)
        if lane is None:
            lane = self._lanes[ticket.request.batch_key] = TicketHeap(_QUEUED)
        lane.push((ticket.round, ticket.deadline, ticket.sequence, ticket))

    def take(self, ticket: AnyTicket, *, drawn: bool) -> None:
        """Let a ticket that has just been chosen leave; ``drawn`` if it is out of its lane already."""
        self._fair_share.served(ticket.share)
        self._leave(ticket, in_lane=not drawn)
        if self.size and ticket.round > self._fair_share.current_round:
            head = self.head()
            # Never past a request that waits: with another key it may be of an earlier round.
            self._fair_share.advance(ticket.round if head is None else min(ticket.round, head[0]))

    def remove(self, ticket: AnyTicket) -> None:
        """Drop a ticket that has just ended in the queue; its entry stays as a tombstone."""
        self._fair_share.release(ticket.share, ticket.round)
        self._leave(ticket, in_lane=True)

    def head(self) -> Entry | None:
        """Return the first entry of all lanes, or None."""
        return min(self.heads(), default=None)

    def heads(self) -> list[Entry]:
        """Return the first entry of every lane that holds something, in no order."""
        return [entry for lane in self._lanes.values() if (entry := lane.peek()) is not None]

    def tickets(self, batch_key: str) -> list[AnyTicket]:
        """Return the waiting tickets of a key in no order: O(n) in their number."""
        lane = self._lanes.get(batch_key)
        return lane.tickets() if lane is not None else []

    def count(self, batch_key: str) -> int:
        """Return how many tickets of a key wait."""
        lane = self._lanes.get(batch_key)
        return lane.live if lane is not None else 0

    def _leave(self, ticket: AnyTicket, *, in_lane: bool) -> None:
        batch_key = ticket.request.batch_key
        lane = self._lanes.get(batch_key)
        if lane is not None:
            if in_lane:
                lane.bury()
            if not lane.live:
                del self._lanes[batch_key]
        if self.index is not None:
            self.index.remove((ticket.round, ticket.deadline, ticket.sequence))
        if not ticket.promoted:
            self.arrivals.bury()
        self.size -= 1
        if not self.size:
            self.arrivals.clear()
            self._fair_share.clear()
