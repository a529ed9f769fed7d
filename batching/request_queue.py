"""Owns the order in which requests wait. Must not know batches' sizes, clocks, outcomes or who waits.

Law 4, order: by class; within a class by (fairness round, deadline, arrival), see ``fair_share``.

A batch holds one key, so requests are kept in one heap, a *lane*, per class and key: taking the next request of a key
never walks past those of another, which stay where they are. The head of a class is the least of its lanes' heads. That
minimum is taken once a batch over the lanes that hold something, that is, over the models that have work waiting: a
handful. Everything else is O(log n) in the requests waiting.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

from batching.fair_share import FairShare
from batching.priority import PriorityClass
from batching.ticket import Ticket, TicketState
from batching.ticket_heap import FEW_TOMBSTONES, Entry, TicketHeap

AnyTicket = Ticket[Any, Any]

_QUEUED = TicketState.QUEUED


class ClassQueue:
    """The requests of one class that wait."""

    __slots__ = ("_arrivals", "_fair_share", "_lanes", "size")

    def __init__(self, quantum: int) -> None:
        self.size = 0
        self._lanes: dict[str, TicketHeap] = {}
        self._fair_share = FairShare(quantum)
        # In order of arrival, with tombstones: tells who has waited longest.
        self._arrivals: deque[AnyTicket] = deque()

    def set_quantum(self, quantum: int) -> None:
        """Use another quantum from the next placement on; rounds already given stand."""
        self._fair_share.quantum = quantum

    def push(self, ticket: AnyTicket) -> None:
        """Add a ticket and place it in a round."""
        ticket.round, ticket.share = self._fair_share.place(ticket.request.caller)
        lane = self._lanes.get(ticket.request.batch_key)
        if lane is None:
            lane = self._lanes[ticket.request.batch_key] = TicketHeap(_QUEUED)
        lane.push((ticket.round, ticket.deadline, ticket.sequence, ticket))
        self.size += 1
        self._arrivals.append(ticket)
        self._sweep_arrivals()

    def pop(self, batch_key: str) -> AnyTicket | None:
        """Remove and return the first ticket of a key."""
        lane = self._lanes.get(batch_key)
        ticket = lane.pop() if lane is not None else None
        if lane is None or ticket is None:
            return None
        self._fair_share.served(ticket.share)
        self._forget_one(batch_key, lane)
        if self.size and ticket.round > self._fair_share.current_round:
            head = self.head()
            # Never past a request that waits: with another key it may be of an earlier round.
            self._fair_share.advance(ticket.round if head is None else min(ticket.round, head[0]))
        return ticket

    def remove(self, ticket: AnyTicket) -> None:
        """Drop a ticket that has just ended in the queue; its entry stays as a tombstone."""
        self._fair_share.release(ticket.share, ticket.round)
        lane = self._lanes[ticket.request.batch_key]
        lane.bury()
        self._forget_one(ticket.request.batch_key, lane)
        self._sweep_arrivals()

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

    def oldest(self) -> AnyTicket | None:
        """Return the ticket that has waited longest, or None."""
        arrivals = self._arrivals
        while arrivals and arrivals[0].state != _QUEUED:
            arrivals.popleft()
        return arrivals[0] if arrivals else None

    def _sweep_arrivals(self) -> None:
        tombstones = len(self._arrivals) - self.size
        if tombstones > FEW_TOMBSTONES and tombstones > self.size:
            self._arrivals = deque([ticket for ticket in self._arrivals if ticket.state == _QUEUED])

    def _forget_one(self, batch_key: str, lane: TicketHeap) -> None:
        self.size -= 1
        if not lane.live:
            del self._lanes[batch_key]
        if not self.size:
            self._arrivals.clear()
            self._fair_share.clear()


class RequestQueue:
    """All requests that wait, in order."""

    __slots__ = ("_classes", "size")

    def __init__(self, quantum: int) -> None:
        self.size = 0
        # Insertion order is order of urgency.
        self._classes = {priority: ClassQueue(quantum) for priority in sorted(PriorityClass)}

    def set_quantum(self, quantum: int) -> None:
        """Change how many places a caller has in one round."""
        for queue in self._classes.values():
            queue.set_quantum(quantum)

    def class_size(self, priority: PriorityClass) -> int:
        """Return how many requests of a class wait."""
        return self._classes[priority].size

    def push(self, ticket: AnyTicket) -> None:
        """Add a ticket."""
        self._classes[ticket.priority].push(ticket)
        self.size += 1

    def pop(self, batch_key: str) -> AnyTicket | None:
        """Remove and return the first ticket of a key over all classes, or None."""
        for queue in self._classes.values():
            if queue.size and (ticket := queue.pop(batch_key)) is not None:
                self.size -= 1
                return ticket
        return None

    def remove(self, ticket: AnyTicket) -> None:
        """Drop a ticket that has just ended in the queue."""
        self._classes[ticket.priority].remove(ticket)
        self.size -= 1

    def first_key(self) -> str | None:
        """Return the key of the first ticket in order, or None when nothing waits."""
        for queue in self._classes.values():
            if queue.size and (head := queue.head()) is not None:
                key: str = head[-1].request.batch_key
                return key
        return None

    def waiting_keys(self) -> list[str]:
        """Return all keys that wait, by the order of their first tickets."""
        ordered: dict[str, None] = {}
        for queue in self._classes.values():
            ordered.update((head[-1].request.batch_key, None) for head in sorted(queue.heads()))
        return list(ordered)

    def tickets(self, batch_key: str) -> list[AnyTicket]:
        """Return the waiting tickets of a key in no order: O(n) in their number."""
        return [ticket for queue in self._classes.values() for ticket in queue.tickets(batch_key)]

    def count(self, batch_key: str) -> int:
        """Return how many tickets of a key wait."""
        return sum(queue.count(batch_key) for queue in self._classes.values())

    def oldest(self, priority: PriorityClass) -> AnyTicket | None:
        """Return the ticket of a class that has waited longest, or None."""
        return self._classes[priority].oldest()

    def __iter__(self) -> Iterator[AnyTicket]:
        """Yield everything that waits in no order."""
        for key in self.waiting_keys():
            yield from self.tickets(key)
