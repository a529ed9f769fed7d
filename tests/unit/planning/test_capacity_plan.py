"""A plan keeps the laws of planning: more load never takes fewer replicas, and equal seeds give equal plans."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.capacity_plan import OUTLOOK_RATES, CapacityPlan, make_plan, replicas_for
from planning.planning_error import InvalidBudgetsError, InvalidDemandError
from tests.unit.planning.demands import BACKGROUND, ENGINE, REAL_TIME, SLO, STANDARD, budgets, demand

REQUESTS = 500


def plan(asked: Any = None, **options: Any) -> CapacityPlan:
    """Makes a plan with few requests."""
    return make_plan(asked or demand(), budgets(), engine=ENGINE, requests=REQUESTS, **options)


@pytest.fixture(scope="module")
def made() -> CapacityPlan:
    """The plan of the tests' demand."""
    return plan()


@given(rate=st.floats(0.01, 1e7), more=st.floats(1.0, 1000.0), each=st.floats(0.1, 1e5))
def test_more_load_never_takes_fewer_replicas(rate: float, more: float, each: float) -> None:
    """And none gets more than its share; one fewer would not do."""
    few, many = replicas_for(rate, each), replicas_for(rate * more, each)
    assert 1 <= few <= many
    assert rate / few <= each * (1 + 1e-6)
    assert few == 1 or rate / (few - 1) > each * (1 - 1e-6)


def test_plans_grow_with_the_load() -> None:
    """The same law, through all of a plan."""
    plans = [plan(demand(rate=rate)) for rate in (10.0, 1000.0, 3000.0)]
    assert [each.replicas for each in plans] == sorted(each.replicas for each in plans)
    assert plans[0].replicas == 2  # one, and the spare one
    assert plans[-1].replicas > plans[1].replicas
    assert len({each.replica.rate for each in plans}) == 1


def test_tighter_goals_never_take_fewer() -> None:
    """Over a range in which the goal is what bounds a replica; seeds are fixed."""
    counts = [plan(demand(slo={**SLO, REAL_TIME: seconds})).replicas for seconds in (0.08, 0.03, 0.015)]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_equal_seeds_give_equal_plans(made: CapacityPlan) -> None:
    """Nothing but the seed decides."""
    assert plan() == made


def test_the_spare_replica_may_be_gone(made: CapacityPlan) -> None:
    """Goals are kept without it; with it each gets less."""
    alone = plan(spare=0)
    assert made.replicas == alone.replicas + 1
    assert made.without_spare.keeps(0.98)  # a little above or below the rate that was searched: chance moves a few
    assert made.expected.rate < made.without_spare.rate <= made.replica.rate
    assert alone.expected == alone.without_spare == made.without_spare


def test_goodput_is_what_is_answered_in_time(made: CapacityPlan) -> None:
    """Of all that is sent, over all replicas."""
    assert 0.97 * made.demand.total_rate < made.goodput <= made.demand.total_rate
    missed = sum(made.demand.shares[entry.priority] * entry.miss_share for entry in made.expected.classes)
    assert made.goodput == pytest.approx((1 - missed) * made.demand.total_rate, rel=0.01)


def test_one_class_alone_can_be_planned() -> None:
    """The others have no share, and no row."""
    made = plan(demand(mix={BACKGROUND: 1.0}, slo={BACKGROUND: 10.0}))
    assert [entry.priority for entry in made.expected.classes] == [BACKGROUND]


def test_a_class_too_rare_to_be_simulated_has_no_figures() -> None:
    """Nothing is made up for it: no latency, and no miss that would change the plan."""
    made = plan(demand(mix={REAL_TIME: 1e-9, STANDARD: 1.0 - 1e-9}))
    rare, common = made.expected.classes
    assert (rare.sent, rare.miss_share) == (0, 0.0)
    assert math.isnan(rare.p50)
    assert common.sent == REQUESTS


def test_streams_alone_can_be_planned() -> None:
    """Their windows take memory in the replicas that hold them."""
    made = plan(demand(rate=0.0, mix={}, slo={STANDARD: 1.0}, streams=1000, ticks_per_stream=1.0), redis=True)
    figures = budgets()
    held = 1000 / (made.replicas - 1) * (figures.value("stream_bytes") + figures.value("window_bytes"))
    assert made.replica_bytes == pytest.approx(figures.value("replica_bytes") + held)
    assert any("Redis" in part.name for part in made.here.parts)


def test_a_node_of_little_memory_bounds_a_replica() -> None:
    """Streams that hardly tick: what they hold decides, not the rate; with memory enough it is as before."""
    asked = demand(rate=0.0, mix={}, slo={STANDARD: 1.0}, streams=10_000, ticks_per_stream=0.01)
    held = {"stream_bytes": 5_000.0, "window_bytes": 3_000.0, "haproxy_stream_bytes": 2_000.0}
    tight = budgets(node_bytes=11e6, replica_bytes=1e6, **held)
    made = make_plan(asked, tight, engine=ENGINE, requests=REQUESTS, spare=1)
    assert made.replica.bound == "memory"
    assert made.replica.rate == made.replica.trial.rate == pytest.approx(10.0)  # 1,000 streams
    assert made.replicas == 10 + 1
    assert made.replica_bytes == pytest.approx(1e6 + 1000 * 8_000)
    assert made.here.nodes == made.replicas  # each fills one, with the proxy's part
    wide = make_plan(asked, budgets(node_bytes=1e12, **held), engine=ENGINE, requests=REQUESTS, spare=1)
    assert wide.replica.bound != "memory"
    assert (wide.replicas, wide.here.nodes) == (2, 1)


def test_gpus_take_more_nodes(made: CapacityPlan) -> None:
    """A node has room for more replicas than GPUs for them."""
    engine = replace(ENGINE, gpus=1.0)
    known = budgets(node_gpus=2.0, node_cpus=64.0)
    with_gpus = make_plan(demand(), known, engine=engine, requests=REQUESTS)
    assert with_gpus.replicas == made.replicas
    for each in with_gpus.outlook:
        assert each.nodes >= math.ceil(each.replicas / 2)
    with pytest.raises(InvalidBudgetsError, match="node_gpus"):
        make_plan(demand(), budgets(node_gpus=0.0), engine=engine, requests=REQUESTS)


def test_the_outlook_is_at_the_stated_rates(made: CapacityPlan) -> None:
    """With as many replicas and nodes as they take."""
    assert tuple(each.rate for each in made.outlook) == OUTLOOK_RATES
    assert [each.nodes for each in made.outlook] == sorted(each.nodes for each in made.outlook)
    for each in made.outlook:
        assert each.replicas == replicas_for(each.rate, made.replica.rate) + 1
        assert each.nodes >= max(part.needed for part in each.parts if "entry node" in part.name)


def test_spare_replicas_cannot_be_owed() -> None:
    """The message names the option."""
    with pytest.raises(InvalidDemandError, match="--spare: -1 replicas cannot be"):
        plan(spare=-1)
