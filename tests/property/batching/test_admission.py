"""Law 8: admission."""

import contextlib
import heapq
import math
import random
from collections.abc import Callable

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from batching import (
    AdmissionPolicy,
    Batch,
    Completion,
    PredictedDeadlineMissError,
    PriorityClass,
    Request,
    Scheduler,
    SchedulerConfig,
    Ticket,
)
from batching.admission_policy import Outlook
from batching.cost_curve import PROBE_INTERVAL, CostCurve
from batching.deadline_index import DeadlineIndex

RT, STD, BG = PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND
SHADOW = PriorityClass.SHADOW
Core = Scheduler[int, int]
Arrival = tuple[float, PriorityClass, float, str]


def request(priority: PriorityClass, deadline: float, key: str = "m", share_key: str | None = None) -> Request[int]:
    """Build a request."""
    return Request(priority=priority, deadline=deadline, batch_key=key, caller="c", payload=0, share_key=share_key)


def drive(core: Core, arrivals: list[Arrival], takes: Callable[[Batch[int, int]], float]) -> list[Ticket[int, int]]:
    """Run an engine with one slot over arrivals; return the admitted."""
    admitted: list[Ticket[int, int]] = []
    batch: Batch[int, int] | None = None
    ends = math.inf
    queue = sorted(arrivals)
    heapq.heapify(queue)
    while queue or batch is not None:
        if batch is not None and (not queue or ends <= queue[0][0]):
            now = ends
            core.complete(batch, batch.payloads, now)
            batch = None
        else:
            now, priority, left, key = heapq.heappop(queue)
            with contextlib.suppress(PredictedDeadlineMissError):
                admitted.append(core.submit(request(priority, now + left, key), now))
        core.expire(now)
        if batch is None and (batch := core.choose(now)) is not None:
            ends = now + takes(batch)
    return admitted


ARRIVALS = st.lists(
    st.tuples(st.floats(0.0, 0.02), st.floats(0.001, 0.15), st.sampled_from(PriorityClass)), min_size=1, max_size=60
)


def in_turn(gaps: list[tuple[float, float, PriorityClass]]) -> list[Arrival]:
    """Turn gaps into arrival times."""
    now, found = 0.0, []
    for gap, left, priority in gaps:
        now += gap
        found.append((now, priority, left, "m"))
    return found


@settings(max_examples=150, deadline=None)
@given(
    gaps=ARRIVALS,
    fixed=st.floats(0.0005, 0.004),
    each=st.floats(0.0005, 0.002),
    priority=st.sampled_from([STD, SHADOW]),
)
def test_with_true_estimates_nobody_admitted_of_one_class_misses(
    gaps: list[tuple[float, float, PriorityClass]], fixed: float, each: float, priority: PriorityClass
) -> None:
    """Law 8: in one class and with an engine that takes what is predicted, a promise is kept (but for probes)."""
    core: Core = Scheduler(SchedulerConfig())
    for size in (1, 64):
        core.observe_warm_up("m", size, fixed + each * size)
    arrivals = [(at, priority, left, key) for at, _, left, key in in_turn(gaps)]
    admitted = drive(core, arrivals, lambda batch: fixed + each * len(batch))
    assert all(isinstance(ticket.outcome, Completion) or ticket.probe for ticket in admitted)


@settings(max_examples=100, deadline=None)
@given(gaps=ARRIVALS, fixed=st.floats(0.0005, 0.004), each=st.floats(0.0005, 0.002))
def test_lower_classes_do_not_make_higher_ones_late(
    gaps: list[tuple[float, float, PriorityClass]], fixed: float, each: float
) -> None:
    """Law 8: whatever lower classes send, a promise to the highest is kept."""
    core: Core = Scheduler(SchedulerConfig())
    for size in (1, 64):
        core.observe_warm_up("m", size, fixed + each * size)
    admitted = drive(core, in_turn(gaps), lambda batch: fixed + each * len(batch))
    for ticket in admitted:
        assert ticket.priority is not RT or ticket.probe or isinstance(ticket.outcome, Completion)


@settings(max_examples=60, deadline=None)
@given(wrong=st.floats(1.0, 1e5), samples=st.integers(0, 60), truth=st.floats(0.001, 0.02), seed=st.integers(0, 99))
def test_no_estimate_locks_the_door(wrong: float, samples: int, truth: float, seed: int) -> None:
    """Law 8: however wrong an estimate is, after some tens of attempts of one caller all that is feasible gets in."""
    chance = random.Random(seed)
    core: Core = Scheduler(SchedulerConfig())
    core.observe_warm_up("m", 1, truth * wrong)
    now = 0.0
    for _ in range(samples):  # the engine was that slow
        core.submit(request(STD, math.inf), now)
        batch = core.choose(now)
        assert batch is not None
        now += truth * wrong
        core.complete(batch, batch.payloads, now)
    outcomes: list[bool] = []
    for _ in range(80):  # and is fast again: two requests at a time, so that every second one meets the test
        arrivals = [(now + at * truth / 10, STD, 5 * truth * chance.uniform(1.0, 2.0), "m") for at in (0, 1)]
        admitted = drive(core, arrivals, lambda _: truth)
        outcomes.append(len(admitted) == 2 and all(isinstance(t.outcome, Completion) for t in admitted))
        now += 3 * truth
    assert all(outcomes[60:])


@settings(max_examples=60, deadline=None)
@given(estimate=st.floats(1e-4, 1e4), left=st.floats(1e-6, 10.0), priority=st.sampled_from([RT, STD, BG]))
def test_idle_engine_takes_whatever_has_not_expired(estimate: float, left: float, priority: PriorityClass) -> None:
    """Law 8: nothing waits, a slot is idle: admitted, and it runs, whatever the model says."""
    core: Core = Scheduler(SchedulerConfig())
    core.observe_warm_up("m", 1, estimate)
    ticket = core.submit(request(priority, left), 0.0)
    batch = core.choose(0.0)
    assert batch is not None
    assert batch.tickets == (ticket,)


@settings(max_examples=60, deadline=None)
@given(estimate=st.floats(1e-4, 1e4), left=st.floats(1e-6, 1e5), waiting=st.integers(0, 3))
def test_shadow_is_tested_even_by_an_idle_engine(estimate: float, left: float, waiting: int) -> None:
    """Law 8: a shadow comes in only if it blocks nobody for longer than law 6 lets others; those who wait are no help.

    And shadows that wait leave the door as open for the others as if they were not there.
    """
    config = SchedulerConfig(completion_margin=0.0)
    core: Core = Scheduler(config)
    core.observe_warm_up("m", 1, estimate)
    for _ in range(waiting):
        core.submit(request(SHADOW, math.inf, "unknown"), 0.0)
    fits = estimate <= config.max_batch_duration
    if not fits:
        with pytest.raises(PredictedDeadlineMissError) as refused:
            core.submit(request(SHADOW, left), 0.0)
        assert refused.value.predicted_completion == pytest.approx(estimate)
        assert core.statistics(0.0).shadow_outcomes["refused_predicted_miss"] == 1
    else:
        core.submit(request(SHADOW, math.inf), 0.0)
    assert core.statistics(0.0).refused_predicted_miss == 0
    urgent = core.submit(request(RT, left), 0.0)
    batch = core.choose(0.0)
    assert batch is not None
    assert batch.tickets == (urgent,)


def test_key_that_never_finds_the_engine_idle_is_probed() -> None:
    """Law 8: under saturation by another key a wrong estimate is measured anew, once in a while."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=4))
    core.observe_warm_up("busy", 1, 0.001)
    core.observe_warm_up("shut", 1, 1000.0)
    now, let_in = 0.0, 0
    while now < 20 * PROBE_INTERVAL:
        for _ in range(8):
            core.submit(request(BG, math.inf, "busy"), now)
        try:
            core.submit(request(STD, now + 0.1, "shut"), now)
            let_in += 1
        except PredictedDeadlineMissError:
            pass
        batch = core.choose(now)
        assert batch is not None
        now += 0.02
        core.complete(batch, batch.payloads, now)
        core.close_queue(now)
    assert let_in > 500  # of 1000: after a few probes the door stands open


def test_refusal_protects_whoever_was_admitted() -> None:
    """Law 8: an arrival that would be in time itself, but make one admitted before late, is refused."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=1, completion_margin=0.0))
    core.observe_warm_up("m", 1, 1.0)
    core.submit(request(STD, math.inf), 0.0)
    assert core.choose(0.0) is not None
    core.submit(request(STD, 3.5), 0.0)  # would end at 2.2, and with one before it at 3.2
    core.submit(request(STD, 3.2), 0.0)
    with pytest.raises(PredictedDeadlineMissError) as refused:
        core.submit(request(STD, 3.1), 0.0)
    assert refused.value.predicted_completion < 3.1
    assert refused.value.retry_after > 0
    core.submit(request(RT, 3.1), 0.0)  # a higher class is not held up by promises to a lower one
    assert core.statistics(0.0).refused_predicted_miss == 1


def test_newcomer_is_not_counted_into_a_batch_that_must_shrink() -> None:
    """Laws 6 and 8: behind one whose slack allows no full batch, a newcomer is predicted into the next one."""
    curve = CostCurve(0.95)
    curve.observe_warm_up(1, 1.0)
    policy = AdmissionPolicy()

    def predicted(earliest: float) -> float:
        outlook = Outlook(now=0.0, free_in=1.0, batch=2, higher=0, own=DeadlineIndex(), earliest=earliest)
        return policy.completion(1, 2, curve, outlook)

    assert predicted(3.5) == pytest.approx(1.0 + 2.4)
    assert predicted(2.5) == pytest.approx(2.5 + 2.4)


def test_surplus_of_a_flood_is_not_protected_from_others() -> None:
    """Laws 4 and 8: what a caller sent beyond its share does not keep another's first request out."""

    def admitted(quantum: int) -> bool:
        core: Core = Scheduler(SchedulerConfig(max_batch_size=1, fairness_quantum=quantum))
        core.observe_warm_up("m", 1, 1.0)
        for _ in range(50):
            try:
                core.submit(request(STD, 10.0), 0.0)
            except PredictedDeadlineMissError:
                break
        polite = Request(priority=STD, deadline=10.0, batch_key="m", caller="polite", payload=0)
        try:
            core.submit(polite, 0.0)
        except PredictedDeadlineMissError:
            return False
        return True

    assert admitted(2)
    assert not admitted(64)


def test_unknown_key_is_let_in() -> None:
    """Law 8: nothing measured, nothing refused."""
    core: Core = Scheduler(SchedulerConfig())
    for _ in range(100):
        core.submit(request(STD, 1e-3), 0.0)
    batch = core.choose(0.0)
    assert batch is not None
    assert len(batch) == 64


def test_stalled_engine_closes_the_door_and_opens_it_again() -> None:
    """Law 8: while a batch is long overdue, those with little time are refused; with its answer they are let in."""
    core: Core = Scheduler(SchedulerConfig())
    core.observe_warm_up("m", 1, 0.01)
    core.submit(request(STD, math.inf), 0.0)
    batch = core.choose(0.0)
    assert batch is not None
    core.submit(request(STD, 0.05), 0.0)
    stalled = 2.0
    with pytest.raises(PredictedDeadlineMissError):
        core.submit(request(STD, stalled + 0.5), stalled)
    core.complete(batch, batch.payloads, stalled)
    core.submit(request(STD, stalled + 0.5), stalled)
