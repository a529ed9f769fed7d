"""Owns who is promoted, and when the promoted have a claim to a batch. Must not know classes' order or costs.

Law 5, bounded starvation. A request that has waited past its class's ``max_wait`` is promoted when a batch is chosen:
it joins a set of at most ``max_promoted``, first come first served in the order in which waits ran out. It keeps its
place in its class, cannot be displaced, and has a claim: a batch of n requests earns the set ``promotion_share * n``
of credit, carried on; while there is credit for one, the head of the set leads the next batch, which has its key, and
as many more of that key as there is credit for follow it. Since a batch has at least one member, this holds for batches
of one, too.

**The bound, in closed form.** The head of the set leads at the latest every ``ceil(1 / share)``-th batch, and each
batch so led takes one out of the set's front; so after whoever is promoted at most

    ``max_promoted * ceil(1 / share)`` batches

are chosen before its own. With one slot, batches of at most L seconds, and room in the set at the first choice after
its wait ran out, a request waits at most ``max_wait + (max_promoted * ceil(1 / share) + 1) * L``. It holds for requests
neither expired, cancelled nor displaced. (Without room, those whose wait ran out before it are to be added to
``max_promoted``: if more run out of patience than the share can serve, no bound on all of them can exist.) A shared
execution that is placed anew because its members changed (law 12) has to be promoted anew.

Shadows are exempt: they are never promoted, and starve for as long as anything else waits. They stretch the bound for
the others by no more than the one batch of them that may be running, which L covers.
"""

from collections import deque
from itertools import islice
from typing import Any

from batching.ticket import Ticket, TicketState
from batching.ticket_heap import FEW_TOMBSTONES

AnyTicket = Ticket[Any, Any]

_QUEUED = TicketState.QUEUED
#: Credits are sums of fractions such as 0.1, and ten of them must make one.
_ROUNDING = 1e-9


class Promotion:
    """The promoted set and its credit.

    Attributes:
        live: How many promoted requests wait.
        promoted: How many were ever promoted.
    """

    __slots__ = ("_capacity", "_credit", "_entries", "_share", "live", "promoted")

    def __init__(self) -> None:
        self._entries: deque[AnyTicket] = deque()
        self._credit = 0.0
        self.live = 0
        self.promoted = 0
        self.configure(0.1, 1)

    def __len__(self) -> int:
        """Return the number of entries kept, tombstones included."""
        return len(self._entries)

    def configure(self, share: float, capacity: int) -> None:
        """Use another share and size; who is promoted stays so."""
        self._share = share
        self._capacity = capacity

    @property
    def share(self) -> float:
        """The part of the places that is claimed now: none while nobody is promoted."""
        return self._share if self.live else 0.0

    @property
    def has_room(self) -> bool:
        """Whether another request may be promoted."""
        return self.live < self._capacity

    def add(self, ticket: AnyTicket) -> None:
        """Promote a waiting request; only while there is room."""
        if not self.live:
            self._credit = min(self._credit, 1.0)  # what nobody claimed is not saved up
        ticket.promoted = True
        self._entries.append(ticket)
        self.live += 1
        self.promoted += 1

    def left(self) -> None:
        """Take note that a promoted request does not wait any more."""
        live = self.live = self.live - 1
        tombstones = len(self._entries) - live
        if tombstones > FEW_TOMBSTONES and tombstones > live:
            self._entries = deque([ticket for ticket in self._entries if ticket.state == _QUEUED])

    def oldest(self) -> AnyTicket | None:
        """Return the head of the set, or None."""
        entries = self._entries
        while entries and entries[0].state != _QUEUED:
            entries.popleft()
        return entries[0] if entries else None

    def claims(self) -> list[AnyTicket]:
        """Return who must lead the next batch: of one key, none if there is no credit."""
        count = int(self._credit + _ROUNDING)
        if not count or not self.live or (head := self.oldest()) is None:
            return []
        key = head.request.batch_key
        same = (t for t in self._entries if t.state == _QUEUED and t.request.batch_key == key)
        return list(islice(same, count))

    def chosen(self, size: int, claimed: int) -> None:
        """Take note of a batch: its size earns credit, the claims it served use it."""
        left = self._credit - claimed
        earned = self._share * size
        self._credit = max(left, min(left + earned, 1.0 + earned))  # bounded, so that claims never fill batches on end

    def oldest_of(self, priority: int) -> AnyTicket | None:
        """Return who of a class has waited longest, or None."""
        waiting = (t for t in self._entries if t.state == _QUEUED and t.priority == priority)
        return min(waiting, key=lambda ticket: ticket.enqueued_at, default=None)
