"""The search finds the greatest rate that keeps the goals, and settings that fit the tightest of them."""

from dataclasses import replace

import numpy as np
import pytest

from batching import PriorityClass
from planning.cost_table import CostTable
from planning.demand import Demand
from planning.planning_error import UnreachableGoalError
from planning.replica_rate import ReplicaRate, batch_settings, find_replica_rate
from planning.trial import run_trial
from tests.unit.planning.demands import BACKGROUND, MIX, REAL_TIME, SLO, STANDARD, TABLE, demand

# Few: each costs some 50 us, and the laws are the same.
REQUESTS = 800


def found(asked: Demand, table: CostTable = TABLE, *, loop_rate: float = 1e6, seed: int = 1) -> ReplicaRate:
    """Searches with few requests."""
    return find_replica_rate(asked, table=table, loop_rate=loop_rate, seed=seed, requests=REQUESTS)


@pytest.fixture(scope="module")
def plain() -> ReplicaRate:
    """The rate of the tests' demand."""
    return found(demand())


def test_the_goals_are_kept_at_the_rate_and_not_far_above(plain: ReplicaRate) -> None:
    """At the rate every class is in time as often as asked; half as much again is too much."""
    assert plain.trial.keeps(0.99)
    assert {entry.priority for entry in plain.trial.classes} == set(MIX)
    above = run_trial(demand(), rate=1.5 * plain.rate, table=TABLE, config=plain.config, requests=REQUESTS, seed=1)
    assert not above.keeps(0.99)


def test_the_rate_does_not_depend_on_the_demands_nor_on_chance(plain: ReplicaRate) -> None:
    """The same mix at ten times the rate gives the same replica: replicas then grow with the rate by arithmetic."""
    assert found(demand(rate=10_000.0)) == plain


@pytest.mark.parametrize("priority", [REAL_TIME, STANDARD])
def test_a_tighter_goal_never_allows_more(priority: PriorityClass) -> None:
    """Seeds are fixed, so this holds or does not, whoever runs it."""
    rates = [found(demand(slo={**SLO, priority: seconds})).rate for seconds in (0.1, 0.04, 0.02)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < rates[0]


def test_a_stricter_share_never_allows_more(plain: ReplicaRate) -> None:
    """99 of 100 in time is more to ask for than 9 of 10."""
    assert found(demand(goal=0.9)).rate >= plain.rate


def test_a_faster_engine_allows_more(plain: ReplicaRate) -> None:
    """Half the time for each batch: about twice as much, and more where the goals are tight."""
    fast = replace(TABLE, seconds_by_batch_size={1: 0.0025, 64: 0.034})
    assert found(demand(), fast).rate > 1.5 * plain.rate


def test_the_event_loop_bounds_a_fast_engine() -> None:
    """However fast the engine is, one loop reads every call."""
    rate = found(demand(slo=dict.fromkeys(MIX, 1.0)), loop_rate=50.0)
    assert (rate.rate, rate.bound) == (50.0, "event loop")


def test_unhurried_requests_are_bound_by_the_engine() -> None:
    """Beyond 90 % of what it can do queues grow without bound, which a short simulation would not see."""
    rate = found(demand(mix={BACKGROUND: 1.0}, slo={BACKGROUND: 30.0}))
    assert rate.bound == "engine"
    assert rate.rate <= 0.9 * TABLE.capacity(64)


@pytest.mark.parametrize("tightest", [0.02, 0.03, 0.1, 1.0])
def test_two_batches_fit_the_tightest_goal(tightest: float) -> None:
    """One that runs already, and one's own; a batch of one is always allowed, and no size is beyond the duration."""
    for config in batch_settings(demand(slo={**SLO, REAL_TIME: tightest}), TABLE):
        assert config.max_batch_duration <= max(tightest / 2.0, TABLE.duration(1) + 1e-4)
        assert 1 <= config.max_batch_size <= 64
        assert TABLE.duration(config.max_batch_size) <= max(config.max_batch_duration, TABLE.duration(1))


@pytest.mark.parametrize(
    ("slo", "says"),
    [(0.004, "real_time within 4 ms: one request alone takes"), (0.0085, "give the tightest class more time")],
)
def test_a_goal_that_no_replica_keeps_is_refused(slo: float, says: str) -> None:
    """More replicas would not help: the message says what would."""
    with pytest.raises(UnreachableGoalError, match=says):
        found(demand(slo={**SLO, REAL_TIME: slo}, goal=0.999))


def test_a_queue_that_grows_does_not_keep_the_goals() -> None:
    """Deadlines far beyond the simulation hide an overload; what waits at its end shows it."""
    asked = demand(mix={BACKGROUND: 1.0}, slo={BACKGROUND: 1000.0})
    config = batch_settings(asked, TABLE)[0]
    trial = run_trial(asked, rate=2.0 * TABLE.capacity(64), table=TABLE, config=config, requests=REQUESTS, seed=1)
    assert trial.classes[0].miss_share == 0.0
    assert not trial.keeps(0.99)


def test_an_uneven_way_shows_in_the_tail_alone() -> None:
    """A lognormal way to the queue and back leaves the median where it is and lifts the 99th percentile."""
    even = replace(TABLE, transport_seconds=0.004)
    config = batch_settings(demand(), even)[0]
    calm, uneven = (
        run_trial(demand(), rate=20.0, table=table, config=config, requests=REQUESTS, seed=1).classes[1]
        for table in (even, replace(even, transport_jitter=0.8))
    )
    assert uneven.p50 == pytest.approx(calm.p50, rel=0.1)
    assert uneven.p99 > calm.p99 + 0.004
    assert np.isfinite(uneven.p99)
