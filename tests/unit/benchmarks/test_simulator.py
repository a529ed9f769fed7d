"""The simulator keeps its own laws, and those of queueing theory."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from batching import PriorityClass, SchedulerConfig
from benchmarks.scheduling.catalog import WORKLOADS
from benchmarks.scheduling.early_binding_policy import EarlyBindingPolicy
from benchmarks.scheduling.experiment import Setup, policies, simulate
from benchmarks.scheduling.fifo_policy import FifoPolicy
from benchmarks.scheduling.priority_policy import StrictPriorityPolicy
from planning.arrivals import poisson
from planning.core_policy import CorePolicy
from planning.cost_table import SHARED_CORE, CostTable
from planning.engine import SimulatedEngine
from planning.ledger import Ledger
from planning.policy import PolicyFactory
from planning.simulator import Simulator
from planning.summary import Summary, summarize
from planning.traffic import ClosedLoop, Stream, Traffic, open_loop

NAMES = list(policies(SchedulerConfig()))
STANDARD = Stream(name="standard", priority=PriorityClass.STANDARD, timeout=1000.0)
BACKGROUND = Stream(name="background", priority=PriorityClass.BACKGROUND, timeout=1000.0)


def fixed(seconds: dict[int, float]) -> CostTable:
    """Return the costs of an engine without noise and of a serving path that costs nothing."""
    return CostTable(
        source="test",
        seconds_by_batch_size=seconds,
        jitter=0.0,
        stall_probability=0.0,
        dispatch_seconds=0.0,
        transport_seconds=0.0,
    )


def run(traffic: Traffic, make: PolicyFactory, table: CostTable) -> tuple[Summary, Ledger]:
    """Simulate a policy on traffic made by hand."""
    ledger = Ledger(traffic, transport=table.transport_seconds, reply_margin=0.0)
    engine = SimulatedEngine(table, max_batch_size=64, seed=1)
    simulator = Simulator(traffic=traffic, ledger=ledger, policy=make(ledger), engine=engine, table=table)
    use = simulator.run()
    return summarize(ledger, use, policy="p", workload="w", transport=table.transport_seconds), ledger


def random() -> np.random.Generator:
    """Return the test's source of chance."""
    return np.random.default_rng(7)


def fifo(max_batch_size: int = 64, max_queue_size: int = 100_000) -> Callable[[Ledger], FifoPolicy]:
    """Return a factory of the policy."""
    return lambda ledger: FifoPolicy(ledger, max_batch_size=max_batch_size, max_queue_size=max_queue_size)


@pytest.mark.parametrize("policy", NAMES)
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_every_request_ends_once(workload: object, policy: str) -> None:
    """Conservation: what is sent is answered, refused, expired or given up, each exactly once, on every workload."""
    entry = next(item for item in WORKLOADS if item is workload)
    summary = simulate(entry, policy, Setup(table=SHARED_CORE, requests=3000)).summary
    assert summary.requests >= 2000
    for stream in summary.streams.values():
        assert sum(stream.outcomes.values()) == stream.sent  # ending twice, or not at all, raises on the way
        assert 0 <= stream.in_time <= stream.outcomes.get("answered", 0)
    assert 0.0 < summary.utilisation <= 1.0
    assert 0.0 <= summary.wasted <= 1.0


@pytest.mark.parametrize("policy", NAMES)
def test_a_run_is_a_function_of_its_seed(policy: str) -> None:
    """Equal seeds give equal figures; another seed gives others."""
    workload = next(item for item in WORKLOADS if item.name == "open bursts")
    setup = Setup(table=SHARED_CORE, requests=3000)
    first, again = (simulate(workload, policy, setup).summary for _ in range(2))
    other = simulate(workload, policy, replace(setup, seed=2)).summary
    assert repr(first) == repr(again)  # by text: NaN equals nothing
    assert repr(first) != repr(other)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_fifo_in_batches_of_one_is_the_m_d_1_queue(load: float) -> None:
    """The mean wait is that of Pollaczek and Khinchine for a constant service time: load * s / (2 * (1 - load))."""
    service = 0.01
    moments = poisson(random(), rate=load / service, count=200_000)
    summary, ledger = run(open_loop(random(), [(STANDARD, moments)]), fifo(1), fixed({1: service}))
    waits = np.array(ledger.chosen_at) - np.array(ledger.arrival)
    assert waits.mean() == pytest.approx(load * service / (2 * (1 - load)), rel=0.05)
    assert summary.utilisation == pytest.approx(load, rel=0.02)
    assert summary.mean_batch_size == 1.0


def test_the_core_in_batches_of_one_is_the_same_queue() -> None:
    """With one class, one caller and no deadline in sight the core serves in order of arrival, to the same moment."""
    service = 0.01
    stream = replace(STANDARD, callers=1)
    traffic = open_loop(random(), [(stream, poisson(random(), rate=60.0, count=5000))])
    config = SchedulerConfig(max_batch_size=1, max_queue_delay=0.0)
    _, ours = run(traffic, lambda ledger: CorePolicy(ledger, config=config), fixed({1: service}))
    _, theirs = run(traffic, fifo(1), fixed({1: service}))
    assert ours.chosen_at == theirs.chosen_at


def test_early_binding_freezes_small_batches_where_late_binding_fills_them() -> None:
    """A saturated engine gets what came in one 10 ms interval, although many times as much waits."""
    table = fixed({1: 0.010, 64: 0.020})
    moments = poisson(random(), rate=400.0, count=20_000)
    traffic = open_loop(random(), [(STANDARD, moments)])
    early, _ = run(traffic, lambda ledger: EarlyBindingPolicy(ledger, max_batch_size=64, wait=0.01), table)
    late, _ = run(traffic, fifo(), table)
    assert early.mean_batch_size == pytest.approx(1 + 400.0 * 0.01, rel=0.05)  # the first, and those of its interval
    assert late.mean_batch_size < early.mean_batch_size  # it need not wait, so it lags less
    saturating = open_loop(random(), [(STANDARD, poisson(random(), rate=2000.0, count=20_000))])
    early, frozen = run(saturating, lambda ledger: EarlyBindingPolicy(ledger, max_batch_size=64, wait=0.01), table)
    late, _ = run(saturating, fifo(), table)
    assert early.mean_batch_size == pytest.approx(1 + 2000.0 * 0.01, rel=0.05)
    assert late.mean_batch_size > 1.3 * early.mean_batch_size  # all it needs to keep up, which the other cannot
    assert frozen.chosen_at == sorted(frozen.chosen_at)
    assert early.streams["standard"].p99 > 10 * late.streams["standard"].p99


def test_strict_priority_lets_the_lower_class_starve() -> None:
    """While the higher class fills the engine, the lower one waits."""
    table = fixed({1: 0.01})
    parts = [(STANDARD, np.linspace(0.0, 2.0, 210)), (BACKGROUND, np.array([0.001]))]
    _, ledger = run(
        open_loop(random(), parts), lambda it: StrictPriorityPolicy(it, max_batch_size=1, max_queue_size=999), table
    )
    assert ledger.chosen_at[ledger.stream.index(1)] >= 1.9


def test_requests_beyond_the_queue_limit_are_refused() -> None:
    """A full queue refuses, and says so in the outcomes."""
    traffic = open_loop(random(), [(STANDARD, np.linspace(0.001, 0.002, 10))])
    summary, _ = run(traffic, fifo(max_batch_size=1, max_queue_size=3), fixed({1: 1.0}))
    assert summary.streams["standard"].outcomes == {"QueueFullError": 6, "answered": 4}


def test_late_answers_are_wasted_and_not_counted() -> None:
    """An answer after the deadline costs engine time and gives no goodput; a patient client's is timed."""
    stream = replace(STANDARD, timeout=1.5, patient=True)
    traffic = open_loop(random(), [(stream, np.array([0.0, 0.1]))])
    summary, _ = run(traffic, fifo(1), fixed({1: 1.0}))
    assert summary.streams["standard"].goodput == 0.5
    assert summary.wasted == 0.5
    assert summary.streams["standard"].p999 == pytest.approx(1.9, abs=0.01)


def test_those_who_hang_up_do_not_reach_the_engine() -> None:
    """A request whose client has hung up while it waited is dropped, and counts against goodput."""
    stream = replace(STANDARD, timeout=0.5)
    traffic = open_loop(random(), [(stream, np.array([0.0, 0.1, 0.2]))])
    for name in ("fifo", "strict priority", "early binding"):
        summary, _ = run(traffic, policies(SchedulerConfig(max_batch_size=1))[name], fixed({1: 0.8}))
        assert summary.streams["standard"].outcomes == {"abandoned": 2, "answered": 1}


@pytest.mark.parametrize("policy", NAMES)
def test_cancelled_requests_count_for_nobody(policy: str) -> None:
    """Goodput is over the requests whose callers meant to wait."""
    stream = replace(STANDARD, timeout=2.0, cancelled=0.5)
    traffic = open_loop(random(), [(stream, poisson(random(), rate=50.0, count=1000))])
    summary, ledger = run(traffic, policies(SchedulerConfig())[policy], fixed({1: 0.001, 64: 0.002}))
    assert summary.streams["standard"].sent == 1000 - sum(ledger.cancelled)
    assert 400 < sum(ledger.cancelled) < 600
    assert summary.goodput == 1.0


@pytest.mark.parametrize("policy", NAMES)
def test_a_closed_loop_keeps_its_number_of_requests_in_flight(policy: str) -> None:
    """Little's law: callers = throughput * (latency + think time)."""
    stream = replace(STANDARD, callers=8)
    loop = ClosedLoop(stream=0, callers=8, think=0.02)
    traffic = open_loop(random(), [], closed=[(stream, loop)], duration=20.0)
    table = replace(fixed({1: 0.004, 8: 0.012}), transport_seconds=0.001)
    summary, ledger = run(traffic, policies(SchedulerConfig())[policy], table)
    latency = np.nanmean(np.array(ledger.ended_at) - np.array(ledger.arrival)) + 0.001
    assert summary.requests / 20.0 * (latency + 0.02) == pytest.approx(8, rel=0.02)
    assert summary.goodput == 1.0


def test_a_refused_closed_loop_caller_waits_as_told() -> None:
    """Callers that are refused come back later and not at once, so a run with a full queue ends."""
    stream = replace(STANDARD, callers=8)
    loop = ClosedLoop(stream=0, callers=8, least_backoff=0.5)
    traffic = open_loop(random(), [], closed=[(stream, loop)], duration=10.0)
    summary, _ = run(traffic, fifo(max_batch_size=1, max_queue_size=1), fixed({1: 1.0}))
    refused = summary.streams["standard"].outcomes["QueueFullError"]
    assert 0 < refused <= 8 * 10.0 / 0.5


def test_a_closed_loop_caller_that_hangs_up_sends_its_next_request() -> None:
    """A caller does not wait for an answer that no longer counts."""
    stream = replace(STANDARD, callers=2, timeout=0.3)
    traffic = open_loop(random(), [], closed=[(stream, ClosedLoop(stream=0, callers=2))], duration=3.0)
    summary, ledger = run(traffic, fifo(1), fixed({1: 1.0}))
    assert summary.requests > 2 * 3.0 / 1.0
    assert summary.goodput == 0.0
    assert not math.isnan(sum(ledger.ended_at))
