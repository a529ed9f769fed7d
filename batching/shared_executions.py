"""Owns which requests share one execution, and what an ending means for it. Must not know batches, costs or outcomes.

Law 12, sharing: while one execution of a ``share_key`` waits or runs, requests with the same key join it. In the queue
a ``SharedTicket`` stands for all of them, with the highest class and the earliest deadline of its live members. When a
member that joins or leaves changes either, it is replaced by another, placed anew with the waiting time it has; the
fairness share is charged to whoever raised it last. Each member keeps its own deadline, and so its own expiry, and is
tested at its own arrival. The execution is given up when no member is left; one that runs can be joined until it ends.
Shadows share among themselves only: joined to others they could hurry them with their deadlines, or fill their places.
"""

from collections.abc import Sequence
from typing import Any

from batching.priority import PriorityClass
from batching.request import Request
from batching.request_queue import RequestQueue
from batching.ticket import Group, SharedTicket, Ticket, TicketState
from batching.ticket_heap import TicketHeap

AnyTicket = Ticket[Any, Any]
AnyShared = SharedTicket[Any, Any]
AnyGroup = Group[Any, Any]
Key = tuple[str, str | None, bool]

_SHADOW = PriorityClass.SHADOW

#: Law 10: how many requests may share one execution; members do not count against the queue's limits once it runs.
MAX_MEMBERS = 1024


class SharedExecutions:
    """All shared executions that wait or run."""

    __slots__ = ("_carriers", "_queue")

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self._carriers: dict[Key, AnyShared] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._carriers)

    def find(self, request: Request[Any]) -> AnyShared | None:
        """Return the execution that a request would join, or None."""
        if request.share_key is None:
            return None
        return self._carriers.get(_key(request))

    def is_full(self, request: Request[Any]) -> bool:
        """Tell whether the execution that a request would join has as many members as it may."""
        carrier = self.find(request)
        return carrier is not None and carrier.shared.joined.live >= MAX_MEMBERS

    def enter(self, ticket: AnyTicket) -> None:
        """Let a request wait that joins nothing: alone, or as the first of an execution that others may join."""
        request = ticket.request
        if request.share_key is None:
            self._queue.push(ticket)
            return
        group: AnyGroup = Group(TicketHeap(TicketState.RUNNING))
        group.carrier = SharedTicket(request, ticket.sequence, ticket.enqueued_at, group)
        group.carrier.probe = ticket.probe
        self._carriers[_key(request)] = group.carrier
        _add(group, ticket)
        self._queue.push(group.carrier)

    def join(self, carrier: AnyShared, ticket: AnyTicket) -> None:
        """Let a request share an execution that waits or runs."""
        _add(carrier.shared, ticket)
        if carrier.state == TicketState.QUEUED and raises(carrier, ticket.request):
            self._replace(carrier, ticket.request, ticket.sequence)

    def left(self, ticket: AnyTicket, *, was_queued: bool) -> None:
        """Take a request that has just ended out of the queue, and out of the execution it shares."""
        group = ticket.group
        if group is None:
            if was_queued:
                self._queue.remove(ticket)
            return
        carrier = group.carrier
        ticket.group = None  # no cycles for the collector to find
        group.joined.bury()
        group.by_class[ticket.priority] -= 1
        if carrier.state != TicketState.QUEUED:
            if carrier.state == TicketState.ENDED and not group.joined.live:
                del group.carrier
            return
        first = group.joined.peek()
        if first is None:
            self.dismiss(carrier)
        elif first[0] != carrier.deadline or not group.by_class[carrier.priority]:
            self._replace(carrier, carrier.request, carrier.sequence)

    def dismiss(self, entry: AnyTicket) -> Sequence[AnyTicket]:
        """Take an entry out of the queue and return its members, if any, all of which the caller must end at once."""
        members = entry.members()
        if isinstance(entry, SharedTicket):
            self.finished(entry)
        self._queue.remove(entry)
        return members

    def finished(self, carrier: AnyShared) -> None:
        """Take note that an execution is over: nobody can join it any more."""
        carrier.state = TicketState.ENDED
        request = carrier.request
        if request.share_key is not None:
            self._carriers.pop(_key(request), None)
        if not carrier.shared.joined.live:
            del carrier.shared.carrier

    def _replace(self, old: AnyShared, request: Request[Any], sequence: int) -> None:
        group = old.shared
        new: AnyShared = SharedTicket(request, sequence, old.enqueued_at, group)
        new.probe = old.probe
        new.priority = next(priority for priority in PriorityClass if group.by_class[priority])
        first = group.joined.peek()
        new.deadline = request.deadline if first is None else first[0]
        self.dismiss(old)
        if request.share_key is not None:
            self._carriers[_key(request)] = new
        group.carrier = new
        self._queue.push(new)


def _key(request: Request[Any]) -> Key:
    return request.batch_key, request.share_key, request.priority is _SHADOW


def _add(group: AnyGroup, ticket: AnyTicket) -> None:
    ticket.group = group
    group.by_class[ticket.priority] += 1
    group.joined.push((ticket.deadline, ticket.sequence, ticket))


def raises(carrier: AnyShared, request: Request[Any]) -> bool:
    """Tell whether a request would move an execution that waits forward."""
    return request.priority < carrier.priority or request.deadline < carrier.deadline
