"""Shadows take nothing from anybody: laws 3 to 6, 8, 10 and 12 for the others are as if there were none."""

import heapq
import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from batching import (
    Batch,
    DisplacedError,
    ExpiredInQueueError,
    PriorityClass,
    RefusedError,
    Request,
    Scheduler,
    SchedulerConfig,
    Ticket,
)
from batching.batch_policy import SHADOW_PART

RT, STD, BG, SHADOW = PriorityClass
Core = Scheduler[int, int]


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One request of a trace, with the shadows that come right after it.

    Attributes:
        gap: Seconds since the one before.
        left: Seconds until its deadline.
        cancelled: Whether the request that came three before it is given up.
        shadows: Key, seconds until the deadline and share key of each.
        before: Whether they come just before it instead.
    """

    gap: float
    priority: PriorityClass
    left: float
    key: str
    caller: str
    share: str | None
    cancelled: bool
    before: bool = False
    shadows: list[tuple[str, float, str | None]] = field(default_factory=list)


LEFT = st.sampled_from([0.0, 0.004, 0.02, 0.1, 1.0, math.inf])
SHARE = st.sampled_from([None, None, "s", "t"])
ARRIVALS = st.lists(
    st.builds(
        Arrival,
        gap=st.sampled_from([0.0, 0.0005, 0.002, 0.01, 0.2]),
        priority=st.sampled_from([RT, STD, BG]),
        left=LEFT,
        key=st.sampled_from("xxy"),
        caller=st.sampled_from("ffab"),
        share=SHARE,
        cancelled=st.booleans(),
        before=st.booleans(),
        shadows=st.lists(st.tuples(st.sampled_from("xz"), LEFT, SHARE), max_size=4),
    ),
    min_size=1,
    max_size=60,
)


class Trace:
    """An engine that takes what is predicted for a batch that somebody awaits, and no time at all for shadows.

    Attributes:
        seen: All that can be seen of the requests that somebody awaits.
        shadows: How many shadows were run.
    """

    def __init__(self, config: SchedulerConfig, slots: int) -> None:
        self.core: Core = Scheduler(config, slots=slots)
        for key, size in itertools.product("xyz", (1, 8)):
            self.core.observe_warm_up(key, size, self._takes(size))
        self.seen: list[Any] = []
        self.shadows = 0
        self._idle = slots
        self._events: list[tuple[float, int, Any]] = []
        self._order = itertools.count()

    def run(self, arrivals: list[Arrival], *, with_shadows: bool) -> None:
        """Play all arrivals, and what follows of them."""
        now = 0.0
        for number, arrival in enumerate(arrivals):
            now += arrival.gap
            self._push(now, (number, arrival))
        tickets: list[Ticket[int, int] | None] = []
        while self._events:
            now, _, event = heapq.heappop(self._events)
            self.core.expire(now)
            if isinstance(event, Batch):
                self._idle += 1
                self.core.complete(event, event.payloads, now)
            elif event is not None:
                number, arrival = event
                if with_shadows and arrival.before:
                    self._submit_shadows(arrival, now)
                tickets.append(self._submit(number, arrival, now))
                gone = tickets[-4] if arrival.cancelled and len(tickets) > 3 else None
                if gone is not None:
                    self.core.cancel(gone, now)
                if with_shadows and not arrival.before:
                    self._submit_shadows(arrival, now)
            self._pump(now)
            self._take_ended(now)
        found = self.core.statistics(now)
        self.seen.append(
            [
                *(found.submitted, found.completed, found.displaced, found.refused_queue_full, found.promoted),
                *(found.refused_predicted_miss, found.expired_in_queue, found.cancelled, found.shared),
                *((found.in_time[priority], found.late[priority]) for priority in (RT, STD, BG)),
            ]
        )

    def _submit_shadows(self, arrival: Arrival, now: float) -> None:
        for key, left, share in arrival.shadows:
            copy = Arrival(gap=0.0, priority=SHADOW, left=left, key=key, caller="f", share=share, cancelled=False)
            self._submit(-1, copy, now)

    def _submit(self, payload: int, arrival: Arrival, now: float) -> Ticket[int, int] | None:
        request = Request(
            priority=arrival.priority,
            deadline=now + arrival.left,
            batch_key=arrival.key,
            caller=arrival.caller,
            payload=payload,
            share_key=arrival.share,
        )
        try:
            return self.core.submit(request, now)
        except RefusedError as error:
            if arrival.priority is not SHADOW:
                self.seen.append((now, payload, type(error), error.args))
            return None

    def _pump(self, now: float) -> None:
        """Do what the shell does whenever something has happened."""
        while self._idle and (batch := self.core.choose(now)) is not None:
            if batch.tickets[0].priority is SHADOW:
                self.shadows += len(batch)
                self.core.complete(batch, batch.payloads, now)
                continue
            self._idle -= 1
            self.seen.append((now, batch.batch_key, batch.payloads))
            self._push(now + self._takes(len(batch)), batch)
        if self._idle and self.core.queued:
            wakeup = self.core.next_wakeup(now)
            self.seen.append((now, wakeup))
            if wakeup is not None and wakeup > now:
                self._push(wakeup, None)

    def _take_ended(self, now: float) -> None:
        for ticket in self.core.take_ended():
            if ticket.priority is not SHADOW:
                outcome = ticket.outcome
                self.seen.append((now, ticket.request.payload, type(outcome), getattr(outcome, "args", None)))

    def _push(self, at: float, event: Any) -> None:
        heapq.heappush(self._events, (at, next(self._order), event))

    @staticmethod
    def _takes(size: int) -> float:
        return 0.002 + 0.001 * size


@settings(max_examples=300, deadline=None)
@given(
    arrivals=ARRIVALS,
    slots=st.integers(1, 2),
    delay=st.sampled_from([0.0, 0.003]),
    size=st.integers(1, 8),
    total=st.integers(2, 14),
    adaptive=st.booleans(),
    admission=st.booleans(),
)
def test_nobody_else_can_tell_whether_there_are_shadows(
    arrivals: list[Arrival], slots: int, delay: float, size: int, total: int, adaptive: bool, admission: bool
) -> None:
    """But for the time that their batches take, shadows change no decision about others, to the last digit.

    Not who comes in, who is displaced, promoted or shared, what goes together, when, or what callers are told.
    """
    config = SchedulerConfig(
        max_batch_size=size,
        max_queue_delay=delay,
        max_queue_size={RT: 2, STD: 3, BG: 4, SHADOW: 5},
        max_total_queue_size=total,
        fairness_quantum=2,
        max_wait={RT: 0.01, STD: 0.01, BG: 0.02},
        promotion_share=0.3,
        max_promoted=2,
        adaptive=adaptive,
        admission=admission,
    )
    alone, beside = Trace(config, slots), Trace(config, slots)
    alone.run(arrivals, with_shadows=False)
    beside.run(arrivals, with_shadows=True)
    assert alone.seen == beside.seen


@settings(max_examples=60, deadline=None)
@given(
    fixed=st.floats(0.0002, 0.02),
    each=st.floats(0.0001, 0.003),
    bound=st.floats(0.003, 0.03),
    gaps=st.lists(st.floats(0.0, 0.1), min_size=1, max_size=15),
)
def test_arrival_on_an_engine_with_shadows_only_waits_for_one_short_batch(
    fixed: float, each: float, bound: float, gaps: list[float]
) -> None:
    """Law 6: whatever shadows cost, they block nobody for longer than the bound, and a part of it if they are several.

    A version that is too slow for that is not run at all, however often it is asked for.
    """
    core: Core = Scheduler(SchedulerConfig(max_batch_duration=bound))
    for size in (1, 64):
        core.observe_warm_up("shadow", size, fixed + each * size)
        core.observe_warm_up("stable", size, 0.001 + 0.0001 * size)
    now = 0.0
    shadows: list[Ticket[int, int]] = []

    def submit(priority: PriorityClass, key: str) -> Ticket[int, int]:
        return core.submit(Request(priority=priority, deadline=math.inf, batch_key=key, caller="c", payload=0), now)

    def refill() -> None:
        for _ in range(20 - core.queued):
            try:
                shadows.append(submit(SHADOW, "shadow"))
            except RefusedError:
                assert fixed + each > bound

    for gap in gaps:
        arrives = now + gap
        probe: Ticket[int, int] | None = None
        while probe is None or probe.outcome is None:
            refill()
            batch = core.choose(now)
            if batch is None:
                now = arrives
                probe = submit(RT, "stable")
                continue
            if probe in batch.tickets:
                core.complete(batch, batch.payloads, now + 0.0011)
                now += 0.0011
                break
            takes = fixed + each * len(batch)
            assert takes <= bound * (SHADOW_PART if len(batch) > 1 else 1.0) * (1 + 1e-6)
            if probe is None and now + takes > arrives:
                now, ends = max(now, arrives), now + takes
                probe = submit(RT, "stable")
                now = ends
            else:
                now += takes
            core.complete(batch, batch.payloads, now)
        assert probe.chosen_at - probe.enqueued_at <= bound * (1 + 1e-6)
    if fixed + each > bound:
        assert not shadows


@settings(max_examples=100, deadline=None)
@given(
    shadows=st.lists(st.sampled_from(["x", "y"]), max_size=8),
    others=st.lists(st.sampled_from([RT, STD, BG]), max_size=12),
    total=st.integers(1, 10),
)
def test_shadows_make_room_first_and_for_nobody_less(
    shadows: list[str], others: list[PriorityClass], total: int
) -> None:
    """Law 10: nobody is refused or displaced while a shadow waits; a shadow displaces nobody."""
    core: Core = Scheduler(SchedulerConfig(max_total_queue_size=total, max_queue_size=dict.fromkeys((RT, STD, BG), 20)))
    taken = 0
    for key in shadows:
        try:
            core.submit(Request(priority=SHADOW, deadline=math.inf, batch_key=key, caller="c", payload=0), 0.0)
            taken += 1
        except RefusedError:
            assert taken == total
    for number, priority in enumerate(others):
        try:
            core.submit(Request(priority=priority, deadline=math.inf, batch_key="m", caller="c", payload=0), 0.0)
        except RefusedError:
            assert number >= total
        if number < total:
            assert core.statistics(0.0).displaced == 0
    ended = [ticket for ticket in core.take_ended() if ticket.priority is SHADOW]
    assert all(isinstance(ticket.outcome, DisplacedError) for ticket in ended)
    assert len(ended) == max(0, taken + min(len(others), total) - total)
    assert [t.sequence for t in ended] == sorted((t.sequence for t in ended), reverse=True)  # the newest first


@settings(max_examples=60, deadline=None)
@given(slower=st.floats(1.01, 50.0), waiting=st.integers(1, 40), share=st.booleans())
def test_shadows_end_at_once_when_their_version_has_become_too_slow(slower: float, waiting: int, share: bool) -> None:
    """Laws 3 and 6: what may not run does not wait for ever either, and the engine does not wait for it."""
    core: Core = Scheduler(SchedulerConfig(admission=False))
    tickets = [
        core.submit(
            Request(
                priority=SHADOW,
                deadline=math.inf,
                batch_key="m",
                caller="c",
                payload=n,
                share_key=str(n % 3) if share else None,
            ),
            0.0,
        )
        for n in range(waiting)
    ]
    core.observe_warm_up("m", 1, core.config.max_batch_duration * slower)
    assert core.choose(1.0) is None
    assert (core.queued, core.next_wakeup(1.0)) == (0, None)
    assert all(isinstance(ticket.outcome, ExpiredInQueueError) for ticket in tickets)
    assert core.statistics(1.0).late[SHADOW] == waiting
