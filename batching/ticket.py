"""Owns the record of one submitted request and of one batch. Must not know queues, policies or who waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Generic

from batching.errors import SchedulerError
from batching.fair_share import CallerShare
from batching.priority import PriorityClass
from batching.request import Completion, P, R, Request

if TYPE_CHECKING:  # the heap is made of tickets, and a shared ticket holds one
    from batching.ticket_heap import TicketHeap


class TicketState(IntEnum):
    """A ticket only ever moves to a higher state, which is what makes an ending happen once (law 1)."""

    QUEUED = 0
    RUNNING = 1
    ENDED = 2


class Ticket(Generic[P, R]):
    """A submitted request on its way; read it, but only the scheduler writes it.

    Attributes:
        request: What was submitted.
        state: Where it is.
        outcome: Set once, when it ends (law 1): a completion or the error it ended with.
        priority: The class it competes in now.
        deadline: The request's, kept here because it is read often.
        sequence: Arrival number; breaks ties (law 4).
        round: Its fairness round in its class (see ``fair_share``).
        share: Its caller's share in its class.
        enqueued_at: Arrival, monotonic seconds.
        chosen_at: When its batch was chosen, or when it joined one that ran; meaningless before.
        promoted: Whether it has waited so long that it has a claim to be served (see ``promotion``).
        probe: Whether it was admitted against the prediction, to prove it right or wrong: it runs if it can (law 8).
        group: Those it shares an execution with, if it may (see ``shared_executions``).
    """

    __slots__ = (
        "chosen_at",
        "deadline",
        "enqueued_at",
        "group",
        "outcome",
        "priority",
        "probe",
        "promoted",
        "request",
        "round",
        "sequence",
        "share",
        "state",
    )

    share: CallerShare

    def __init__(self, request: Request[P], sequence: int, enqueued_at: float) -> None:
        self.request = request
        self.sequence = sequence
        self.enqueued_at = enqueued_at
        self.priority: PriorityClass = request.priority
        self.deadline = request.deadline
        self.state = TicketState.QUEUED
        self.outcome: Completion[R] | SchedulerError | None = None
        self.round = 0
        self.chosen_at = enqueued_at
        self.promoted = False
        self.probe = False
        self.group: Group[P, R] | None = None

    def members(self) -> Sequence[Ticket[P, R]]:
        """Return the requests that this entry of the queue stands for and that have not ended: itself."""
        return (self,)

    def __repr__(self) -> str:
        return f"<Ticket {self.sequence} {self.priority.name} {self.state.name} {self.outcome!r}>"


class Group(Generic[P, R]):
    """The requests that share one execution (law 12).

    Attributes:
        joined: The members by deadline; those that have ended are tombstones.
        by_class: How many live members there are of each class.
        carrier: What stands in the queue for them now.
    """

    __slots__ = ("by_class", "carrier", "joined")

    carrier: SharedTicket[P, R]

    def __init__(self, joined: TicketHeap) -> None:
        self.joined = joined
        self.by_class = dict.fromkeys(PriorityClass, 0)


class SharedTicket(Ticket[P, R]):
    """Stands in the queue for a group; never handed to anybody who waits."""

    __slots__ = ("shared",)

    def __init__(self, request: Request[P], sequence: int, enqueued_at: float, shared: Group[P, R]) -> None:
        super().__init__(request, sequence, enqueued_at)
        self.shared = shared

    def members(self) -> Sequence[Ticket[P, R]]:
        """Return the live members in no order."""
        return self.shared.joined.tickets()


class Batch(Generic[P, R]):
    """Requests of one key that share one engine call; immutable.

    Attributes:
        batch_key: The key of all its members (law 2).
        tickets: Its entries in order, each of which may stand for several requests: see ``Ticket.members``.
        payloads: Their payloads, in the same order.
        chosen_at: Monotonic seconds.
    """

    __slots__ = ("batch_key", "chosen_at", "payloads", "tickets")

    def __init__(self, batch_key: str, tickets: list[Ticket[P, R]], chosen_at: float) -> None:
        self.batch_key = batch_key
        self.tickets = tuple(tickets)
        self.payloads: tuple[P, ...] = tuple([ticket.request.payload for ticket in tickets])
        self.chosen_at = chosen_at

    def __len__(self) -> int:
        """Return how many executions it holds."""
        return len(self.tickets)

    def members(self) -> Iterator[Ticket[P, R]]:
        """Yield the requests it serves."""
        for ticket in self.tickets:
            yield from ticket.members()
