"""Law 6, on the pure policy; and what bounds blocking in the core."""

import math
from collections.abc import Iterator
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from batching import BatchPolicy, PriorityClass, Request, Scheduler, SchedulerConfig, Ticket
from batching.batch_policy import LOOK_AHEAD, SHADOW_PART
from batching.cost_curve import CostCurve

SLACKS = st.lists(st.floats(-0.01, 0.1), max_size=60)
COSTS = st.dictionaries(st.integers(1, 64), st.floats(0.0005, 0.1), min_size=1, max_size=5)


def curve_of(costs: dict[int, float]) -> CostCurve:
    """Build a curve from warm-up values."""
    curve = CostCurve(0.95)
    for size, seconds in costs.items():
        curve.observe_warm_up(size, seconds)
    return curve


def tickets(slacks: list[float], now: float, probes: set[int]) -> list[Ticket[Any, Any]]:
    """Build candidates with so much time left."""
    made = []
    for number, slack in enumerate(slacks):
        request = Request(
            priority=PriorityClass.STANDARD, deadline=now + slack, batch_key="m", caller="c", payload=number
        )
        ticket: Ticket[Any, Any] = Ticket(request, number, 0.0)
        ticket.probe = number in probes
        made.append(ticket)
    return made


@settings(max_examples=200, deadline=None)
@given(
    slacks=SLACKS,
    costs=COSTS,
    bound=st.floats(0.001, 0.05),
    most=st.integers(1, 64),
    probes=st.sets(st.integers(0, 60), max_size=2),
)
def test_batch_fits_its_bound_and_every_member(
    slacks: list[float], costs: dict[int, float], bound: float, most: int, probes: set[int]
) -> None:
    """Law 6: within bound and slacks, greedy in order, one at least if any is feasible, not stopped early."""
    now, margin = 50.0, 0.0005
    curve = curve_of(costs)
    policy = BatchPolicy(max_batch_size=most, max_queue_delay=0.0, max_batch_duration=bound, completion_margin=margin)
    candidates = tickets(slacks, now, probes)
    looked_at: list[Ticket[Any, Any]] = []

    def lazily() -> Iterator[Ticket[Any, Any]]:
        for ticket in candidates:
            looked_at.append(ticket)
            yield ticket

    found = policy.fill(lazily(), curve, now)
    members, size = found.members, len(found.members)

    def slack(ticket: Ticket[Any, Any]) -> float:
        return ticket.deadline - now - margin

    def feasible(ticket: Ticket[Any, Any]) -> bool:
        return ticket.probe or curve.median(1) <= slack(ticket)

    assert size <= most
    assert bool(members) == any(map(feasible, candidates))
    assert [t for t in looked_at if not feasible(t)] == found.hopeless
    if size > 1:
        assert curve.median(size) <= bound * (1 + 1e-9)
        assert all(curve.median(size) <= slack(t) for t in members)
    skipped = [t for t in looked_at if feasible(t) and t not in members]
    assert len(skipped) <= LOOK_AHEAD
    # Greedy: whoever was skipped did not fit the batch as it was when its turn came.
    for ticket in skipped:
        before = sum(t.sequence < ticket.sequence for t in members)
        assert before
        assert curve.median(before + 1) > slack(ticket)
    # Not stopped early: either all was looked at, or one more would break a bound.
    if len(looked_at) < len(candidates) and len(skipped) < LOOK_AHEAD:
        tightest = min(map(slack, members))
        assert size == most or curve.median(size + 1) > min(bound, tightest) * (1 - 1e-9)


@settings(max_examples=100, deadline=None)
@given(slacks=SLACKS, costs=COSTS, most=st.integers(1, 64), known=st.booleans())
def test_without_prediction_only_the_size_counts(
    slacks: list[float], costs: dict[int, float], most: int, known: bool
) -> None:
    """Law 6: not adaptive, or nothing known, means first come up to the size."""
    curve = curve_of(costs if known else {})
    policy = BatchPolicy(max_batch_size=most, max_queue_delay=0.0, max_batch_duration=0.001, adaptive=not known)
    candidates = tickets(slacks, 0.0, set())
    assert policy.fill(candidates, curve, 0.0).members == candidates[:most]


@settings(max_examples=200, deadline=None)
@given(
    slacks=SLACKS,
    costs=COSTS,
    bound=st.floats(0.001, 0.05),
    most=st.integers(1, 64),
    adaptive=st.booleans(),
    known=st.booleans(),
)
def test_shadows_block_nobody_for_long(
    slacks: list[float], costs: dict[int, float], bound: float, most: int, adaptive: bool, known: bool
) -> None:
    """Law 6: several shadows fit a part of the bound, one alone the bound; where it does not, none is feasible."""
    now, margin = 50.0, 0.0005
    curve = curve_of(costs if known else {})
    policy = BatchPolicy(
        max_batch_size=most,
        max_queue_delay=0.0,
        max_batch_duration=bound,
        completion_margin=margin,
        adaptive=adaptive,
    )
    candidates = tickets(slacks, now, set())
    found = policy.fill(candidates, curve, now, shadows=True)
    size = len(found.members)
    assert policy.shadow_limit(curve) <= policy.limit(curve)
    if not (adaptive and known):
        assert found.members == candidates[:1]
        return
    in_time = [t for t in candidates if curve.median(1) <= t.deadline - now - margin]
    if curve.median(1) > bound:
        assert (found.members, found.hopeless) == ([], candidates)
    else:
        assert bool(size) == bool(in_time)
        assert set(found.hopeless).isdisjoint(in_time)
    assert size <= most
    if size > 1:
        assert curve.median(size) <= SHADOW_PART * bound * (1 + 1e-9)
    # Greedy: the others did not fit the limit, or the slack of a member.
    if size and size < len(in_time):
        tightest = min(t.deadline - now - margin for t in in_time)
        assert size == policy.shadow_limit(curve) or curve.median(size + 1) > tightest * (1 - 1e-9)


@settings(max_examples=30, deadline=None)
@given(
    fixed=st.floats(0.0005, 0.005),
    each=st.floats(0.0002, 0.002),
    bound=st.floats(0.003, 0.03),
    gaps=st.lists(st.floats(0.001, 0.2), min_size=1, max_size=15),
)
def test_urgent_arrivals_never_wait_behind_a_long_background_batch(
    fixed: float, each: float, bound: float, gaps: list[float]
) -> None:
    """Law 6: beside saturating background work an urgent request is chosen within one bounded batch, and is in time."""
    core: Scheduler[int, int] = Scheduler(SchedulerConfig(max_batch_duration=bound))
    for size in (1, 64):
        core.observe_warm_up("m", size, fixed + each * size)
    now = 0.0

    def submit(priority: PriorityClass, deadline: float) -> Ticket[int, int]:
        return core.submit(Request(priority=priority, deadline=deadline, batch_key="m", caller="c", payload=0), now)

    for _ in range(128):
        submit(PriorityClass.BACKGROUND, math.inf)
    longest = max(bound, fixed + each)
    for gap in gaps:
        arrives, probe = now + gap, None
        while probe is None or probe.outcome is None:
            batch = core.choose(now)
            assert batch is not None
            ends = now + fixed + each * len(batch)
            if probe is None and ends > arrives:
                now = arrives
                probe = submit(PriorityClass.REAL_TIME, now + 2.5 * longest + 0.001)
            now = ends
            core.complete(batch, batch.payloads, now)
            for ticket in core.take_ended():
                if ticket is not probe:
                    submit(PriorityClass.BACKGROUND, math.inf)
        assert probe.chosen_at - probe.enqueued_at <= longest * (1 + 1e-6)
        assert core.statistics(now).in_time[PriorityClass.REAL_TIME] > 0
        assert core.statistics(now).late[PriorityClass.REAL_TIME] == 0
