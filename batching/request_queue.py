"""Owns the order in which requests wait. Must not know batches' sizes, costs, outcomes or who waits.

Law 4, order: by class; within a class by (fairness round, deadline, arrival), see ``class_queue`` and ``fair_share``.
Law 5, bounded starvation: the promoted lead as ``promotion`` says. Shadows are not promoted, and may starve: they are
drawn only while nothing else waits, of whatever key, and whoever asks what waits is not told of them unless he asks.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from batching.class_queue import ClassQueue
from batching.priority import PriorityClass
from batching.promotion import Promotion
from batching.ticket import Ticket

AnyTicket = Ticket[Any, Any]


class RequestQueue:
    """All requests that wait, in order.

    Attributes:
        size: How many entries, shadows included.
        shadows: Those nobody awaits.
        promotion: Who of the others is promoted.
    """

    __slots__ = ("_awaited", "_classes", "promotion", "shadows", "size")

    def __init__(self, quantum: int) -> None:
        self.size = 0
        self.promotion = Promotion()
        # Insertion order is order of urgency.
        self._classes = {priority: ClassQueue(quantum) for priority in sorted(PriorityClass)}
        self._awaited = {p: queue for p, queue in self._classes.items() if p is not PriorityClass.SHADOW}
        self.shadows = self._classes[PriorityClass.SHADOW]

    @property
    def entries(self) -> int:
        """How many entries all structures hold, tombstones included."""
        return len(self.promotion) + sum(queue.entries for queue in self._classes.values())

    @property
    def awaited(self) -> int:
        """How many entries wait that are no shadows."""
        return self.size - self.shadows.size

    @property
    def only_shadows(self) -> bool:
        """Whether shadows wait and nothing else does: the one moment at which they may run."""
        return 0 < self.size == self.shadows.size

    def configure(self, quantum: int, *, tracked: bool) -> None:
        """Change how many places a caller has in one round, and whether the index for admission is kept."""
        for queue in self._classes.values():
            queue.set_quantum(quantum)
            queue.track(wanted=tracked)

    def of_class(self, priority: PriorityClass) -> ClassQueue:
        """Return the queue of a class, for reading."""
        return self._classes[priority]

    def up_to(self, priority: PriorityClass) -> list[ClassQueue]:
        """Return the queues of a class and of all higher ones, for reading."""
        return [queue for other, queue in self._classes.items() if other <= priority]

    def push(self, ticket: AnyTicket) -> None:
        """Add a ticket."""
        self._classes[ticket.priority].push(ticket)
        self.size += 1

    def promote(self, now: float, max_wait: Mapping[PriorityClass, float]) -> None:
        """Promote those whose wait has run out, in the order in which it did, as long as there is room."""
        promotion = self.promotion
        while promotion.has_room:
            due, first = now, None
            for priority, queue in self._awaited.items():
                oldest = queue.arrivals.oldest() if queue.size else None
                if oldest is not None and oldest.enqueued_at + max_wait[priority] <= due:
                    due, first = oldest.enqueued_at + max_wait[priority], queue
            if first is None:
                return
            ticket = first.arrivals.pop_oldest()
            if ticket is not None:
                promotion.add(ticket)

    def draw(self, batch_key: str, shadows: bool) -> Iterator[AnyTicket]:
        """Take tickets of a key out of their lanes, in order; see ``class_queue`` for what must follow.

        Shadows or the others, never both: a batch that somebody waits for must not grow by shadows.
        """
        for queue in (self.shadows,) if shadows else self._awaited.values():
            if queue.size:
                while (ticket := queue.draw(batch_key)) is not None:
                    yield ticket

    def restore(self, ticket: AnyTicket) -> None:
        """Put back a drawn ticket."""
        self._classes[ticket.priority].restore(ticket)

    def take(self, ticket: AnyTicket, *, drawn: bool) -> None:
        """Let a ticket that has just been chosen leave; ``drawn`` if it is out of its lane already."""
        self._classes[ticket.priority].take(ticket, drawn=drawn)
        self._left(ticket)

    def remove(self, ticket: AnyTicket) -> None:
        """Drop a ticket that has just ended in the queue."""
        self._classes[ticket.priority].remove(ticket)
        self._left(ticket)

    def displaceable(self, by: PriorityClass) -> AnyTicket | None:
        """Return who makes room for a class (law 10): the newest, not promoted, of the lowest class below, or None."""
        for priority in reversed(self._classes):
            if priority <= by:
                break
            if (newest := self._classes[priority].arrivals.newest()) is not None:
                return newest
        return None

    def first_key(self) -> str | None:
        """Return the key of the first ticket in order, or None when nothing waits."""
        for queue in self._classes.values():
            if queue.size and (head := queue.head()) is not None:
                key: str = head[-1].request.batch_key
                return key
        return None

    def waiting_keys(self) -> list[str]:
        """Return all keys that wait, by the order of their first tickets; not those of shadows."""
        ordered: dict[str, None] = {}
        for queue in self._awaited.values():
            ordered.update((head[-1].request.batch_key, None) for head in sorted(queue.heads()))
        return list(ordered)

    def tickets(self, batch_key: str) -> list[AnyTicket]:
        """Return the waiting tickets of a key in no order, but no shadows: O(n) in their number."""
        return [ticket for queue in self._awaited.values() for ticket in queue.tickets(batch_key)]

    def count(self, batch_key: str) -> int:
        """Return how many tickets of a key wait, not counting shadows."""
        return sum(queue.count(batch_key) for queue in self._awaited.values())

    def oldest(self, priority: PriorityClass) -> AnyTicket | None:
        """Return the ticket of a class that has waited longest, or None."""
        found = (self._classes[priority].arrivals.oldest(), self.promotion.oldest_of(priority))
        return min((t for t in found if t is not None), key=lambda ticket: ticket.enqueued_at, default=None)

    def __iter__(self) -> Iterator[AnyTicket]:
        """Yield everything that waits, shadows included, in no order."""
        for key in self.waiting_keys():
            yield from self.tickets(key)
        for head in self.shadows.heads():
            yield from self.shadows.tickets(head[-1].request.batch_key)

    def _left(self, ticket: AnyTicket) -> None:
        self.size -= 1
        if ticket.promoted:
            self.promotion.left()
