"""The core with every law in force at once, driven in any order: what must hold whatever is predicted."""

import math
from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from batching import (
    Batch,
    Completion,
    DisplacedError,
    PriorityClass,
    RefusedError,
    Request,
    Scheduler,
    SchedulerConfig,
    Ticket,
    TicketState,
)
from batching.batch_policy import SHADOW_PART

LIMITS = dict.fromkeys(PriorityClass, 10) | {PriorityClass.SHADOW: 6}
TOTAL_LIMIT, ROOM = 16, 3
MAX_BATCH_DURATION = 4.0
SHADOW = PriorityClass.SHADOW
#: Twice what lives, and what is not worth a sweep: three heaps a class, the expiry, the promoted.
SLACK = 16


class EverythingOn(RuleBasedStateMachine):
    """Predictions, promotion, displacement and sharing together."""

    tickets: Bundle[Any] = Bundle("tickets")
    batches: Bundle[Any] = Bundle("batches")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.all: list[Ticket[str, str]] = []
        self.ended: dict[int, Ticket[str, str]] = {}
        self.submitted = self.refused = self.hopeless = 0
        self.core: Scheduler[str, str] = Scheduler(self.config(2, adaptive=True, admission=True))

    def config(self, size: int, *, adaptive: bool, admission: bool) -> SchedulerConfig:
        """Return tight settings."""
        return SchedulerConfig(
            max_batch_size=size,
            max_batch_duration=MAX_BATCH_DURATION,
            fairness_quantum=3,
            max_queue_size=LIMITS,
            max_total_queue_size=TOTAL_LIMIT,
            max_wait=dict.fromkeys(PriorityClass, 1.0) | {SHADOW: math.inf},
            promotion_share=0.3,
            max_promoted=ROOM,
            adaptive=adaptive,
            admission=admission,
        )

    @rule(
        target=tickets,
        priority=st.sampled_from(PriorityClass),
        left=st.sampled_from([0.0, 1.0, 2.0, 5.0, 9.0, 30.0, math.inf]),
        key=st.sampled_from("xxy"),
        share=st.sampled_from([None, "s", "t"]),
        caller=st.sampled_from("ffab"),
        count=st.integers(1, 4),
    )
    def submit(self, priority: PriorityClass, left: float, key: str, share: str | None, caller: str, count: int) -> Any:
        """Laws 8, 10 and 12: admitted, joined or refused, typed."""
        ticket = None
        for _ in range(count):
            self.submitted += 1
            one = Request(
                priority=priority,
                deadline=self.now + left,
                batch_key=key,
                caller=caller,
                payload=f"{key} {share or self.submitted}",
                share_key=share,
            )
            idle = not self.core._queue.awaited and not self.core._running
            try:
                ticket = self.core.submit(one, self.now)
            except RefusedError:
                self.refused += 1
                assert not idle or priority is SHADOW  # law 8: the door is open when nothing waits but shadows
                continue
            self.all.append(ticket)
        return ticket

    @rule(target=batches)
    def choose(self) -> Any:
        """Laws 2, 3, 6, 9 and 12: one key, nobody expired, each execution once; something if anything waits.

        Shadows only by themselves, only when nothing else is left, and never in a batch that blocks for too long.
        """
        running = list(self.core._running)
        batch = self.core.choose(self.now)
        if batch is None:
            assert not self.core.queued
            return None
        members = list(batch.members())
        assert members
        assert all(t.state is TicketState.RUNNING and t.deadline > self.now for t in members)
        assert {t.request.batch_key for t in members} == {batch.batch_key}
        assert len(set(batch.payloads)) == len(batch)
        shadows = {t.priority is SHADOW for t in members}
        assert len(shadows) == 1
        for other in running:
            if {t.request.priority is SHADOW for t in other.tickets} == shadows:
                assert {p for p in other.payloads if p[2] in "st"}.isdisjoint(batch.payloads)
        if shadows == {True}:
            assert not self.core._queue.awaited
            curve = self.core._costs.curve(batch.batch_key)
            adaptive = self.core.config.adaptive and curve.known
            assert len(batch) == 1 or adaptive
            if adaptive:
                longest = MAX_BATCH_DURATION * (1 if len(batch) == 1 else SHADOW_PART)
                assert curve.median(len(batch)) <= longest * (1 + 1e-9)
        for entry in batch.tickets:
            assert all(t.request.payload == entry.request.payload for t in entry.members())
        return batch

    @rule(batch=consumes(batches), fails=st.sampled_from([0, 0, 0, 1, 2]))
    def end(self, batch: Batch[str, str] | None, fails: int) -> None:
        """Laws 1 and 11: a result reaches every member that is in time; a failure its own batch only."""
        if batch is None:
            return
        if fails == 1:
            self.core.fail(batch, RuntimeError("boom"), self.now)
        else:
            self.core.complete(batch, batch.payloads[fails // 2 :], self.now)
        assert all(t.state is TicketState.ENDED for entry in batch.tickets for t in entry.members())
        self.core.complete(batch, batch.payloads, self.now)  # late: ignored

    @rule(ticket=tickets)
    def cancel(self, ticket: Ticket[str, str] | None) -> None:
        """Laws 11 and 12: one member goes, its execution stays for the others."""
        if ticket is not None:
            was_live = ticket.state is not TicketState.ENDED
            assert self.core.cancel(ticket, self.now) == was_live

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 4.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, or stands."""
        self.now += seconds
        self.core.expire(self.now)

    @rule(size=st.integers(1, 4), adaptive=st.booleans(), admission=st.booleans())
    def reconfigure(self, size: int, adaptive: bool, admission: bool) -> None:
        """Settings change while it runs."""
        self.core.reconfigure(self.config(size, adaptive=adaptive, admission=admission))

    @rule(size=st.integers(1, 8), seconds=st.floats(0.01, 5.0), key=st.sampled_from("xy"))
    def warm_up(self, size: int, seconds: float, key: str) -> None:
        """Somebody tells what a batch takes."""
        self.core.observe_warm_up(key, size, seconds)

    @invariant()
    def every_request_ends_once(self) -> None:
        """Law 1: delivered once, with its own result, and nobody is lost."""
        for ticket in self.core.take_ended():
            assert ticket.sequence not in self.ended
            self.ended[ticket.sequence] = ticket
            if isinstance(ticket.outcome, Completion):
                assert ticket.outcome.result == ticket.request.payload
                assert ticket.outcome.queue_duration >= 0
            if isinstance(ticket.outcome, DisplacedError):
                assert ticket.priority > PriorityClass.REAL_TIME
        found = self.core.statistics(self.now)
        waiting = sum(found.queue_size.values())
        shadows = found.shadow_outcomes or {"submitted": 0, "refused_queue_full": 0, "refused_predicted_miss": 0}
        assert self.refused == sum(
            (
                found.refused_queue_full,
                found.refused_predicted_miss,
                shadows["refused_queue_full"],
                shadows["refused_predicted_miss"],
            )
        )
        assert self.submitted == self.refused + len(self.ended) + waiting + found.in_flight
        assert self.submitted == found.submitted + shadows["submitted"]
        assert not any(t.promoted for t in self.all if t.priority is SHADOW)  # law 5
        live = [t for t in self.all if t.state is not TicketState.ENDED]
        assert waiting == sum(t.state is TicketState.QUEUED for t in live)
        assert found.in_flight == sum(t.state is TicketState.RUNNING for t in live)
        assert all((t.state is TicketState.ENDED) == (t.outcome is not None) for t in self.all)

    @invariant()
    def all_is_bounded(self) -> None:
        """Laws 5 and 10: limits hold, and no structure keeps more than twice what lives."""
        found = self.core.statistics(self.now)
        assert all(count <= LIMITS[priority] for priority, count in found.queue_size.items())
        assert sum(found.queue_size.values()) <= TOTAL_LIMIT
        assert found.promoted_waiting <= ROOM
        live = sum(found.queue_size.values()) + found.in_flight
        assert self.core.entries <= 2 * 8 * live + 8 * SLACK + len(self.core._running) + 64

    @invariant()
    def shared_executions_stand_for_their_members(self) -> None:
        """Law 12: the highest class and the earliest deadline of the live members, and none without members."""
        for entry in self.core._queue:
            members = entry.members()
            assert members
            assert entry.priority == min(t.priority for t in members)
            assert entry.deadline == min(t.deadline for t in members)
            assert all(t.state is TicketState.QUEUED for t in members)

    @invariant()
    def index_holds_what_waits(self) -> None:
        """Law 8: admission sees exactly what waits."""
        for priority in PriorityClass:
            queue = self.core._queue.of_class(priority)
            waiting = [t for t in self.core._queue if t.priority is priority]
            assert queue.size == len(waiting)
            assert queue.arrivals.live == sum(not t.promoted for t in waiting)
            if queue.index is not None:
                kept = sorted(key for block in queue.index._blocks for key in block)
                assert kept == sorted((t.round, t.deadline, t.sequence) for t in waiting)

    def teardown(self) -> None:
        """Law 1: closing and finishing leaves nobody."""
        for batch in list(self.core._running):
            self.core.complete(batch, batch.payloads, self.now)
        self.core.close_queue(self.now)
        for ticket in self.core.take_ended():
            self.ended[ticket.sequence] = ticket
        assert len(self.ended) == len(self.all)
        assert (self.core.queued, self.core.in_flight, len(self.core._shared)) == (0, 0, 0)


EverythingOn.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestEverythingOn = EverythingOn.TestCase
