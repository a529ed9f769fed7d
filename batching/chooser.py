"""Owns which entries leave the queue as the next batch. Must not know how requests end or what runs.

Law 2: a batch holds one key, that of the first request in order. Law 5: unless the promoted have a claim, whose key it
is then. What may be in a batch, and when it may go, is the policy's (3, 6). Shadows are chosen only while nothing else
waits, not even what is held back; they are not held back themselves, for no moment will be better. Their batches earn
the promoted nothing: whatever is shared out is shared as if they were not there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from batching.batch_policy import BatchPolicy
from batching.cost_model import CostModel
from batching.priority import PriorityClass
from batching.request_queue import RequestQueue
from batching.ticket import Ticket, TicketState

AnyTicket = Ticket[Any, Any]


@dataclass(frozen=True, slots=True)
class Choice:
    """Entries of one key.

    Attributes:
        batch_key: Their key.
        members: The next batch, out of the queue; empty if all that was looked at is hopeless.
        hopeless: Entries that wait on, but whose most urgent request cannot be in time any more and must be ended.
    """

    batch_key: str
    members: list[AnyTicket]
    hopeless: list[AnyTicket]


class Chooser:
    """Draws batches from the queue.

    Attributes:
        in_hand: After ``choose`` has raised, the entries it was about to choose, which wait on.
    """

    __slots__ = ("_costs", "_max_wait", "_policy", "_queue", "in_hand")

    _max_wait: Mapping[PriorityClass, float]
    _policy: BatchPolicy

    def __init__(self, queue: RequestQueue, costs: CostModel) -> None:
        self._queue = queue
        self._costs = costs
        self.in_hand: list[AnyTicket] = []

    def configure(self, policy: BatchPolicy, max_wait: Mapping[PriorityClass, float]) -> None:
        """Use other settings from now on."""
        self._policy = policy
        self._max_wait = max_wait

    def choose(self, now: float) -> Choice | None:
        """Return the next batch, None if nothing may go now."""
        promotion = self._queue.promotion
        shadows = self._queue.only_shadows  # the one question that the class costs the others
        self._queue.promote(now, self._max_wait)
        claims = promotion.claims()
        key = claims[0].request.batch_key if claims else self._ready_key(now, shadows)
        if key is None:
            return None
        drawn: list[AnyTicket] = []
        try:
            selection = self._policy.fill(self._draw(key, claims, drawn, shadows), self._costs.curve(key), now, shadows)
        except Exception:
            for entry in drawn:
                self._queue.restore(entry)
            self.in_hand = list(dict.fromkeys((*claims, *drawn)))
            raise
        members = selection.members
        was_drawn = set(drawn)
        if len(was_drawn) > len(members) or claims:
            for entry in was_drawn.difference(members):
                self._queue.restore(entry)
        for entry in members:
            entry.state = TicketState.RUNNING
            self._queue.take(entry, drawn=entry in was_drawn)
        if members and not shadows:
            promotion.chosen(len(members), len(set(claims).intersection(members)))
        return Choice(key, members, selection.hopeless)

    def next_wakeup(self, now: float) -> float | None:
        """Return from when on ``choose`` will return what it holds back now, or None if nothing waits."""
        if self._queue.only_shadows:
            return now
        earliest = min((self._release_at(key) for key in self._queue.waiting_keys()), default=None)
        return None if earliest is None else max(earliest, now)

    def _draw(self, key: str, claims: list[AnyTicket], drawn: list[AnyTicket], shadows: bool) -> Iterator[AnyTicket]:
        """Yield the promoted that lead, then the others of a key in order, as the policy asks for them."""
        yield from claims
        for entry in self._queue.draw(key, shadows):
            drawn.append(entry)
            if entry not in claims:
                yield entry

    def _ready_key(self, now: float, shadows: bool) -> str | None:
        """Return the first key in order whose requests may go now."""
        if self._policy.max_queue_delay <= 0.0 or shadows:
            return self._queue.first_key()
        return next((key for key in self._queue.waiting_keys() if self._release_at(key) <= now), None)

    def _release_at(self, key: str) -> float:
        return self._policy.release_at(self._queue.tickets(key), self._policy.limit(self._costs.curve(key)))
