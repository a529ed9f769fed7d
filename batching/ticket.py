"""Owns the record of one submitted request and of one batch. Must not know queues, policies or who waits."""

from enum import IntEnum
from typing import Generic

from batching.errors import SchedulerError
from batching.fair_share import CallerShare
from batching.priority import PriorityClass
from batching.request import Completion, P, R, Request


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
        chosen_at: When its batch was chosen; meaningless before.
    """

    __slots__ = (
        "chosen_at",
        "deadline",
        "enqueued_at",
        "outcome",
        "priority",
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

    def __repr__(self) -> str:
        return f"<Ticket {self.sequence} {self.priority.name} {self.state.name} {self.outcome!r}>"


class Batch(Generic[P, R]):
    """Requests of one key that share one engine call; immutable.

    Attributes:
        batch_key: The key of all its members (law 2).
        tickets: Its members in order.
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
        return len(self.tickets)
