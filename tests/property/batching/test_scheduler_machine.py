"""The core against a naive model of laws 1 to 4 and 9 to 11, driven in any order by Hypothesis.

Without predictions: what they change has properties of its own (``test_admission``, ``test_batch_policy``,
``test_everything_on``).
"""

import math
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from batching import (
    Batch,
    Completion,
    DisplacedError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    PriorityClass,
    QueueFullError,
    Request,
    RequestCancelledError,
    Scheduler,
    SchedulerClosedError,
    SchedulerConfig,
    Ticket,
)
from batching.ticket_heap import FEW_TOMBSTONES

QUANTUM = 2
ENDINGS: dict[str, type] = {
    "completed": Completion,
    "failed": InferenceFailedError,
    "expired_in_queue": ExpiredInQueueError,
    "expired_in_execution": ExpiredInExecutionError,
    "cancelled": RequestCancelledError,
    "closed": SchedulerClosedError,
    "displaced": DisplacedError,
}
TOTAL_LIMIT = 20
LIMITS = dict.fromkeys(PriorityClass, 12) | {PriorityClass.SHADOW: 5}
SHADOW = PriorityClass.SHADOW


@dataclass(eq=False)
class Entry:
    """What the model knows of one request."""

    ticket: Ticket[int, int]
    round: int
    state: str = "queued"

    @property
    def request(self) -> Request[int]:
        """The request."""
        return self.ticket.request

    @property
    def order(self) -> tuple[int, int, float, int]:
        """Law 4 in one line."""
        return (self.request.priority, self.round, self.request.deadline, self.ticket.sequence)


class Model:
    """The laws, written as plainly as possible and without regard for cost."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.places: dict[PriorityClass, list[Entry]] = {p: [] for p in PriorityClass}
        self.current: dict[PriorityClass, int] = dict.fromkeys(PriorityClass, 0)
        self.endings: dict[int, type] = {}
        self.shadow_endings: dict[int, type] = {}
        self.refused = dict.fromkeys(PriorityClass, 0)

    def queued(self, priority: PriorityClass | None = None) -> list[Entry]:
        """Return what waits, in order."""
        waiting = [e for e in self.entries if e.state == "queued" and priority in (None, e.request.priority)]
        return sorted(waiting, key=lambda entry: entry.order)

    def is_full(self, priority: PriorityClass) -> bool:
        """Law 10."""
        return len(self.queued()) >= TOTAL_LIMIT or len(self.queued(priority)) >= LIMITS[priority]

    def displaceable(self, priority: PriorityClass) -> Entry | None:
        """Law 10: the newest of the lowest class below, unless the class's own limit is what is reached."""
        lower = [p for p in sorted(PriorityClass, reverse=True) if p > priority and self.queued(p)]
        if len(self.queued(priority)) >= LIMITS[priority] or not lower:
            return None
        return max(self.queued(lower[0]), key=lambda entry: entry.ticket.sequence)

    def first_round(self, request: Request[int]) -> int:
        """Return the first round, from the current one on, in which the caller has a free place."""
        round_ = self.current[request.priority]
        held = [e.round for e in self.places[request.priority] if e.request.caller == request.caller]
        while held.count(round_) >= QUANTUM:
            round_ += 1
        return round_

    def end(self, entry: Entry, kind: type) -> None:
        """Law 1."""
        assert entry.state != "ended"
        if entry.state == "queued":
            self.places[entry.request.priority].remove(entry)  # the dead give their place back
        entry.state = "ended"
        endings = self.shadow_endings if entry.request.priority is SHADOW else self.endings
        endings[entry.ticket.sequence] = kind
        self.forget(entry.request.priority)

    def forget(self, priority: PriorityClass) -> None:
        """When nothing waits, the class starts afresh."""
        if not self.queued(priority):
            self.places[priority] = []
            self.current[priority] = 0

    def expire(self, now: float) -> None:
        """Law 9."""
        for entry in self.entries:
            if entry.state != "ended" and entry.request.deadline <= now:
                self.end(entry, ExpiredInQueueError if entry.state == "queued" else ExpiredInExecutionError)

    def choose(self, size: int) -> list[Ticket[int, int]]:
        """Laws 2 to 4; shadows only where nothing else waits, and, where nothing is predicted, one at a time."""
        waiting = [e for e in self.queued() if e.request.priority is not SHADOW]
        if not waiting:
            waiting, size = self.queued(), 1
        members = [e for e in waiting if e.request.batch_key == waiting[0].request.batch_key][:size]
        for entry in members:
            entry.state = "running"
            priority = entry.request.priority
            rest = [e.round for e in self.queued(priority)]
            self.current[priority] = max(self.current[priority], min([entry.round, *rest]))
        for priority in PriorityClass:
            self.forget(priority)
        return [entry.ticket for entry in members]


class SchedulerMachine(RuleBasedStateMachine):
    """Calls in any order; after each, core and model must agree."""

    tickets: Bundle[Any] = Bundle("tickets")
    batches: Bundle[Any] = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.now = 0.0
        self.number = 0
        self.submitted = dict.fromkeys(PriorityClass, 0)
        self.chosen = 0
        self.size = 3
        self.delivered: dict[int, Any] = {}
        self.core: Scheduler[int, int] = Scheduler(self.config())

    def config(self) -> SchedulerConfig:
        """Return the settings in force."""
        return SchedulerConfig(
            max_batch_size=self.size,
            fairness_quantum=QUANTUM,
            max_queue_size=LIMITS,
            max_total_queue_size=TOTAL_LIMIT,
            max_wait=dict.fromkeys(PriorityClass, math.inf),
            adaptive=False,
            admission=False,
        )

    def entry(self, ticket: Ticket[int, int]) -> Entry:
        """Return the model's entry of a ticket."""
        return next(entry for entry in self.model.entries if entry.ticket is ticket)

    def members(self, batch: Batch[int, int]) -> list[Entry]:
        """Return the members of a batch that have not ended."""
        return [entry for ticket in batch.tickets if (entry := self.entry(ticket)).state == "running"]

    @rule(
        target=tickets,
        priority=st.sampled_from(PriorityClass),
        time_left=st.integers(0, 12),
        key=st.sampled_from("xy"),
        caller=st.sampled_from("ffffab"),
        count=st.integers(1, 5),
    )
    def submit(self, priority: PriorityClass, time_left: int, key: str, caller: str, count: int) -> Any:
        """Law 10: taken in, unless a limit is reached and nothing can be displaced; the dead do not count."""
        ticket = None
        for _ in range(count):
            self.number += 1
            self.submitted[priority] += 1
            request = Request(
                priority=priority, deadline=self.now + time_left, batch_key=key, caller=caller, payload=self.number
            )
            if self.model.is_full(priority):
                self.model.expire(self.now)
            victim = self.model.displaceable(priority) if self.model.is_full(priority) else None
            if self.model.is_full(priority) and victim is None:
                self.model.refused[priority] += 1
                with pytest.raises(QueueFullError):
                    self.core.submit(request, self.now)
                continue
            if victim is not None and time_left:
                self.model.end(victim, DisplacedError)
            round_ = self.model.first_round(request)
            ticket = self.core.submit(request, self.now)
            entry = Entry(ticket, round_)
            self.model.entries.append(entry)
            self.model.places[priority].append(entry)
            if time_left == 0:
                self.model.end(entry, ExpiredInQueueError)
        return ticket

    @rule(target=batches)
    def choose(self) -> Any:
        """Laws 2, 3, 4 and 9: exactly the first ones in order, of one key, none expired; none only if none waits."""
        self.model.expire(self.now)
        batch = self.core.choose(self.now)
        if batch is None:
            assert not self.model.queued()
            return None
        self.chosen += 1
        assert list(batch.tickets) == self.model.choose(self.size)
        assert 1 <= len(batch) <= self.size
        assert {ticket.request.batch_key for ticket in batch.tickets} == {batch.batch_key}
        assert all(ticket.deadline > self.now for ticket in batch.tickets)
        return batch

    @rule(batch=consumes(batches), shortage=st.sampled_from([0, 0, 0, 1, -1]))
    def complete(self, batch: Batch[int, int] | None, shortage: int) -> None:
        """Laws 1, 9 and 11: in time it is a result, late it is expired, unmatchable results fail that batch only."""
        if batch is None:
            return
        for entry in self.members(batch):
            late = entry.request.deadline <= self.now
            in_time = InferenceFailedError if shortage else Completion
            self.model.end(entry, ExpiredInExecutionError if late else in_time)
        results = [-payload for payload in batch.payloads]
        self.core.complete(batch, [*results, 0][: len(results) - shortage], self.now)

    @rule(batch=consumes(batches))
    def fail(self, batch: Batch[int, int] | None) -> None:
        """Law 11: a failure ends its own batch; what the engine says later is ignored."""
        if batch is None:
            return
        for entry in self.members(batch):
            late = entry.request.deadline <= self.now
            self.model.end(entry, ExpiredInExecutionError if late else InferenceFailedError)
        self.core.fail(batch, RuntimeError("boom"), self.now)
        self.core.complete(batch, batch.payloads, self.now)

    @rule(ticket=tickets)
    def cancel(self, ticket: Ticket[int, int] | None) -> None:
        """Laws 9 and 11: one request ends, cancelled or, from its deadline on, expired."""
        if ticket is None:
            return
        entry = self.entry(ticket)
        was_live = entry.state != "ended"
        if was_live:
            expired = ExpiredInQueueError if entry.state == "queued" else ExpiredInExecutionError
            self.model.end(entry, expired if entry.request.deadline <= self.now else RequestCancelledError)
        assert self.core.cancel(ticket, self.now) == was_live

    @rule()
    def expire(self) -> None:
        """Law 9: everything whose deadline has come ends, waiting or running."""
        self.model.expire(self.now)
        self.core.expire(self.now)
        deadline = self.core.next_deadline()
        live = [entry.request.deadline for entry in self.model.entries if entry.state != "ended"]
        assert deadline == min(live, default=None)

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.now += seconds

    @rule(size=st.integers(1, 6))
    def reconfigure(self, size: int) -> None:
        """Settings change while it runs."""
        self.size = size
        self.core.reconfigure(self.config())

    @rule(often=st.integers(0, 9))
    def close_queue(self, often: int) -> None:
        """Law 1: closing ends what waits and spares what runs."""
        if often:
            return
        self.model.expire(self.now)
        for entry in self.model.queued():
            self.model.end(entry, SchedulerClosedError)
        self.core.close_queue(self.now)

    @invariant()
    def exactly_once(self) -> None:
        """Law 1: each ending is delivered once, is the one the model says, and carries its own request's result."""
        for ticket in self.core.take_ended():
            assert ticket.sequence not in self.delivered
            self.delivered[ticket.sequence] = ticket.outcome
            if isinstance(ticket.outcome, Completion):
                assert ticket.outcome.result == -ticket.request.payload
        endings = self.model.endings | self.model.shadow_endings
        assert {number: type(outcome) for number, outcome in self.delivered.items()} == endings

    @invariant()
    def conservation(self) -> None:
        """Law of conservation: submitted = ended + waiting + in flight, by name; shadows are counted apart."""
        found = self.core.statistics(self.now)
        awaited = {name: getattr(found, name) for name in ("submitted", "refused_queue_full", *ENDINGS)}
        shadows = found.shadow_outcomes or dict.fromkeys(awaited, 0)
        assert bool(found.shadow_outcomes) == bool(self.submitted[SHADOW])
        for counts, endings in ((awaited, self.model.endings), (shadows, self.model.shadow_endings)):
            kinds = list(endings.values())
            for name, kind in ENDINGS.items():
                assert counts[name] == kinds.count(kind)
        assert shadows["submitted"] == self.submitted[SHADOW]
        assert shadows["refused_queue_full"] == self.model.refused[SHADOW]
        assert awaited["submitted"] + shadows["submitted"] == self.number
        assert awaited["refused_queue_full"] + shadows["refused_queue_full"] == sum(self.model.refused.values())
        assert found.batches == self.chosen
        ended = sum(awaited[name] + shadows[name] for name in ("refused_queue_full", *ENDINGS))
        assert self.number == ended + sum(found.queue_size.values()) + found.in_flight

    @invariant()
    def depth_and_age(self) -> None:
        """Law 10 and the snapshot: bounded, and as the model counts."""
        found = self.core.statistics(self.now)
        for priority in PriorityClass:
            waiting = self.model.queued(priority)
            assert found.queue_size[priority] == len(waiting) <= LIMITS[priority]
            oldest = min((entry.ticket.enqueued_at for entry in waiting), default=self.now)
            assert found.oldest_age[priority] == self.now - oldest
        assert self.core.queued <= TOTAL_LIMIT
        live = self.core.queued + self.core.in_flight
        assert len(self.core._ledger.expiry) <= live + max(FEW_TOMBSTONES, live)


SchedulerMachine.TestCase.settings = settings(max_examples=250, stateful_step_count=50, deadline=None)
TestSchedulerMachine = SchedulerMachine.TestCase
