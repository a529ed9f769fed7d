"""Owns every request's state from admission to its one ending, and the account of it. Must not know order or batches.

Law 1, exactly once: every admitted request ends once, in ``_end``, which nothing else does and which never undoes.
"""

from typing import Generic

from batching.errors import (
    DisplacedError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    RequestCancelledError,
    SchedulerClosedError,
    SchedulerError,
    member_failure,
)
from batching.expiry import ExpiryQueue
from batching.priority import PriorityClass
from batching.request import Completion, P, R
from batching.statistics import Counters
from batching.ticket import Ticket, TicketState

_QUEUED = TicketState.QUEUED
_RUNNING = TicketState.RUNNING
_ENDED = TicketState.ENDED


class Ledger(Generic[P, R]):
    """Who waits, runs and has ended. Each method that ends a ticket expects one that has not ended.

    Attributes:
        counters: How requests have ended, but for shadows; and how many batches were begun, of any kind.
        shadow_counters: How shadows have ended.
        counters_of: Which of the two a class is counted in: to shed shadows is the rule, and would look like trouble.
        in_time: How many were completed in time, by class.
        late: How many were admitted and expired, by class.
        expiry: Whose deadline comes next.
        waiting: How many requests wait, by class.
        in_flight: How many run.
    """

    __slots__ = (
        "_ended",
        "counters",
        "counters_of",
        "expiry",
        "in_flight",
        "in_time",
        "late",
        "shadow_counters",
        "waiting",
    )

    def __init__(self) -> None:
        self.counters = Counters()
        self.shadow_counters = Counters()
        self.counters_of = dict.fromkeys(PriorityClass, self.counters) | {PriorityClass.SHADOW: self.shadow_counters}
        self.in_time: dict[PriorityClass, int] = dict.fromkeys(PriorityClass, 0)
        self.late: dict[PriorityClass, int] = dict.fromkeys(PriorityClass, 0)
        self.expiry = ExpiryQueue()
        self.waiting: dict[PriorityClass, int] = dict.fromkeys(PriorityClass, 0)
        self.in_flight = 0
        self._ended: list[Ticket[P, R]] = []

    @property
    def any_ended(self) -> bool:
        """Whether ``take_ended`` would return anything."""
        return bool(self._ended)

    def take_ended(self) -> list[Ticket[P, R]]:
        """Return the tickets that have ended since the last call, in order of ending, each exactly once."""
        ended = self._ended
        if ended:
            self._ended = []
        return ended

    def admit(self, ticket: Ticket[P, R]) -> None:
        """Take a waiting request in."""
        self.waiting[ticket.priority] += 1
        self.expiry.add(ticket)

    def start(self, ticket: Ticket[P, R], now: float) -> None:
        """Take note that a request runs."""
        ticket.state = _RUNNING
        ticket.chosen_at = now
        self.waiting[ticket.priority] -= 1
        self.in_flight += 1

    def complete(self, ticket: Ticket[P, R], result: R, *, now: float, duration: float, size: int) -> None:
        """End a running request with its result, or as expired if that comes too late."""
        if ticket.deadline <= now:
            self.expire(ticket, now)
            return
        self.counters_of[ticket.priority].completed += 1
        self.in_time[ticket.priority] += 1
        self._end(
            ticket,
            Completion(
                result=result,
                queue_duration=ticket.chosen_at - ticket.enqueued_at,
                inference_duration=duration,
                batch_size=size,
                effective_priority=ticket.priority if ticket.group is None else ticket.group.carrier.priority,
                enqueued_at=ticket.enqueued_at,
                chosen_at=ticket.chosen_at,
                completed_at=now,
            ),
        )

    def fail(self, ticket: Ticket[P, R], error: BaseException, now: float) -> None:
        """End a request by a failure, with an exception object of its own; at or after its deadline as expired."""
        if ticket.deadline <= now:
            self.expire(ticket, now)
            return
        self.counters_of[ticket.priority].failed += 1
        self._end(ticket, member_failure(error))

    def expire(self, ticket: Ticket[P, R], now: float) -> None:
        """End a request as too late."""
        waited = now - ticket.enqueued_at
        if ticket.deadline > ticket.enqueued_at:  # else it came too late, which says nothing about admission
            self.late[ticket.priority] += 1
        if ticket.state == _QUEUED:
            self.counters_of[ticket.priority].expired_in_queue += 1
            self._end(ticket, ExpiredInQueueError(waited))
        else:
            self.counters_of[ticket.priority].expired_in_execution += 1
            self._end(ticket, ExpiredInExecutionError(waited))

    def cancel(self, ticket: Ticket[P, R], now: float) -> None:
        """End a request that its caller gave up; at or after its deadline as expired."""
        if ticket.deadline <= now:
            self.expire(ticket, now)
            return
        self.counters_of[ticket.priority].cancelled += 1
        self._end(ticket, RequestCancelledError())

    def displace(self, ticket: Ticket[P, R], retry_after: float) -> None:
        """End a waiting request to make room."""
        self.counters_of[ticket.priority].displaced += 1
        self._end(ticket, DisplacedError(retry_after))

    def close(self, ticket: Ticket[P, R]) -> None:
        """End a waiting request because of closing."""
        self.counters_of[ticket.priority].closed += 1
        self._end(ticket, SchedulerClosedError("closed while the request waited"))

    def _end(self, ticket: Ticket[P, R], outcome: Completion[R] | SchedulerError) -> None:
        """End a live ticket: the one place where that happens (law 1)."""
        if ticket.state == _QUEUED:
            self.waiting[ticket.priority] -= 1
        else:
            self.in_flight -= 1
        ticket.state = _ENDED
        ticket.outcome = outcome
        self.expiry.ended(ticket)
        self._ended.append(ticket)
