"""What the scheduler is for shows in the simulation: small runs of the report's claims, with room for chance."""

import math

import pytest

from batching import SchedulerConfig
from benchmarks.scheduling.catalog import WORKLOADS
from benchmarks.scheduling.experiment import Setup, policies, simulate
from planning.cost_table import QUIET, SHARED_CORE, CostTable
from planning.summary import Summary

OTHERS = [name for name in policies(SchedulerConfig()) if name != "tickserve"]


def run(workload: str, policy: str = "tickserve", *, table: CostTable = SHARED_CORE, requests: int = 8000) -> Summary:
    """Simulate a workload of the report."""
    entry = next(item for item in WORKLOADS if item.name == workload)
    return simulate(entry, policy, Setup(table=table, requests=requests)).summary


@pytest.mark.parametrize("workload", ["steady", "diurnal", "open bursts", "overload", "slow engine", "flooding caller"])
def test_real_time_requests_are_in_time_whatever_comes(workload: str) -> None:
    """As long as the urgent class itself fits the engine, at least 98 % of what it sends is answered in time."""
    assert run(workload).streams["real-time"].goodput >= 0.98


@pytest.mark.parametrize("table", [SHARED_CORE, QUIET])
def test_probes_pass_a_saturated_queue(table: CostTable) -> None:
    """The live overload's probes are in time, and background keeps at least 85 % of its throughput without them."""
    beside, alone = run("live overload", table=table), run("background alone", table=table)
    assert beside.streams["probe"].goodput >= 0.98
    share = beside.streams["background"].in_time_per_second / alone.streams["background"].in_time_per_second
    assert share >= 0.85


@pytest.mark.parametrize("policy", OTHERS)
def test_no_other_policy_lets_them_pass(policy: str) -> None:
    """The comparison is not won by an easy task."""
    assert run("live overload", policy).streams["probe"].goodput < 0.1


def test_a_flood_does_not_cut_its_neighbours_share() -> None:
    """The other callers of the flooded class are answered in time, and nobody else's policy manages that."""
    assert run("flooding caller").streams["standard"].goodput >= 0.98
    for policy in OTHERS:
        assert run("flooding caller", policy).streams["standard"].goodput < 0.5


def test_nobody_waits_beyond_the_bound() -> None:
    """Background behind an endless queue of standard requests waits no longer than the closed form of law 5 says."""
    summary = run("starved background", requests=16_000)
    config = SchedulerConfig()
    batches = config.max_promoted * math.ceil(1 / config.promotion_share) + 1
    bound = max(config.max_wait.values()) + batches * summary.longest_batch
    assert summary.streams["background"].outcomes == {"answered": summary.streams["background"].sent}
    assert 1.0 < summary.worst_background_wait <= bound
    assert run("starved background", "strict priority", requests=16_000).worst_background_wait > 10.0


@pytest.mark.parametrize("workload", ["overload", "flooding caller", "starved background"])
def test_hardly_any_engine_time_is_wasted(workload: str) -> None:
    """What is run is in time: at most 3 % of the engine's time goes to answers nobody can use."""
    assert run(workload).wasted <= 0.03
