"""What is there once fills up at the rate that its figures say, and the first to do so is told."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.budgets import Budgets
from planning.component import (
    components,
    first_bottleneck,
    loop_rate,
    memory_rate,
    replica_memory,
    replicas_per_node,
)
from planning.planning_error import InvalidBudgetsError
from planning.price import price_of
from tests.unit.planning.demands import ENGINE, budgets, demand

FIGURES = budgets(
    haproxy_unary_seconds=1e-4,
    haproxy_tick_seconds=5e-5,
    haproxy_cores=2.0,
    haproxy_share=0.5,
    unary_bytes=10_000.0,
    tick_bytes=1_000.0,
    node_network_bytes=1e9,
    redis_tick_seconds=1e-4,
    redis_share=0.5,
    controller_replica_seconds=0.01,
    controller_share=0.5,
    loop_unary_seconds=1e-3,
    loop_tick_seconds=5e-4,
    loop_share=0.5,
)
UNARY = demand()
TICKS = demand(rate=0.0, mix={}, streams=100, ticks_per_stream=10.0)


#: 10 kB of each stream, on nodes with room for 12 replicas that hold none.
HELD = budgets(
    node_bytes=12e9,
    replica_bytes=1e9,
    stream_bytes=4_000.0,
    window_bytes=3_000.0,
    haproxy_stream_bytes=3_000.0,
    node_cpus=100.0,
)


def fitting(known: Budgets, *, gpus: float = 0.0, streams: float = 0.0) -> int:
    """Returns how many replicas fit a node of the budgets at 500/s each."""
    return replicas_per_node(replace(ENGINE, gpus=gpus), known, UNARY, replica_rate=500.0, streams=streams)


def carried(asked: object, *, redis: bool = True) -> dict[str, float]:
    """Returns what each part carries, by name."""
    assert asked in (UNARY, TICKS)
    parts = components(UNARY if asked is UNARY else TICKS, FIGURES, rate=1000.0, replica_rate=400.0, redis=redis)
    assert [part.carries for part in parts] == sorted(part.carries for part in parts)
    return {part.name: part.carries for part in parts}


def test_the_arithmetic_of_unary_calls() -> None:
    """Capacity over cost; no Redis where no tick is sent."""
    assert carried(UNARY) == pytest.approx(
        {
            "HAProxy of one entry node": 2 * 0.5 / 1e-4,
            "network of one entry node": 1e9 / 10_000,
            "Ray Serve's controller": 0.5 / 0.01 * 400,
        }
    )


def test_the_arithmetic_of_ticks() -> None:
    """Ticks cost the proxy and the network less, and the Redis something."""
    assert carried(TICKS) == pytest.approx(
        {
            "HAProxy of one entry node": 2 * 0.5 / 5e-5,
            "network of one entry node": 1e9 / 1_000,
            "Ray Serve's controller": 0.5 / 0.01 * 400,
            "Redis of the windows": 0.5 / 1e-4,
        }
    )
    assert "Redis of the windows" not in carried(TICKS, redis=False)


@given(rate=st.floats(1.0, 1e7), more=st.floats(1.0, 100.0))
def test_more_load_never_needs_less(rate: float, more: float) -> None:
    """Each part's utilisation grows in proportion, and a bottleneck stays one."""
    few = components(UNARY, FIGURES, rate=rate, replica_rate=400.0, redis=False)
    many = components(UNARY, FIGURES, rate=rate * more, replica_rate=400.0, redis=False)
    for one, other in zip(few, many, strict=True):
        assert (one.name, one.carries) == (other.name, other.carries)
        assert other.utilisation == pytest.approx(one.utilisation * more)
        assert other.needed >= one.needed
    if first_bottleneck(few) is not None:
        assert first_bottleneck(many) is not None


@given(rate=st.floats(1.0, 1e7))
def test_the_first_bottleneck_is_the_one_that_carries_least(rate: float) -> None:
    """There is none as long as one of each does."""
    parts = components(TICKS, FIGURES, rate=rate, replica_rate=400.0, redis=True)
    first = first_bottleneck(parts)
    if first is None:
        assert all(part.utilisation <= 1.0 and part.needed == 1 for part in parts)
    else:
        assert first.utilisation == max(part.utilisation for part in parts)
        assert first.needed >= 2 or first.utilisation == pytest.approx(1.0)


def test_an_event_loop_carries_more_ticks_than_calls() -> None:
    """Share over cost, mixed by what comes."""
    assert loop_rate(UNARY, FIGURES) == pytest.approx(500.0)
    assert loop_rate(TICKS, FIGURES) == pytest.approx(1000.0)
    half = demand(rate=1000.0, streams=100, ticks_per_stream=10.0)
    assert loop_rate(half, FIGURES) == pytest.approx(0.5 / 7.5e-4)
    free = budgets(loop_unary_seconds=0.0, loop_tick_seconds=0.0)
    assert loop_rate(UNARY, free) == math.inf


def test_a_node_holds_replicas_beside_its_proxy() -> None:
    """By processors, by memory, and at least one."""
    large = budgets(haproxy_unary_seconds=1e-3, node_cpus=10.0, node_bytes=1e12, replica_bytes=1e9)
    assert fitting(large) == 4
    small = budgets(haproxy_unary_seconds=1e-3, node_cpus=10.0, node_bytes=3.5e9, replica_bytes=1e9)
    assert fitting(small) == 3
    assert fitting(budgets(node_cpus=1.0)) == 1


def test_the_whole_memory_of_a_replica_counts() -> None:
    """1 GB, and 10 kB for each stream: held, with a window, and passed through the node's proxy."""
    assert fitting(HELD) == 12
    assert fitting(HELD, streams=100_000) == 6  # 2 GB each
    assert fitting(HELD, streams=200_000) == 4  # 3 GB each
    assert fitting(HELD, streams=10_000_000) == 1
    assert replica_memory(HELD, streams=100_000) == pytest.approx(1.7e9)  # the proxy's part is not the replica's


@given(streams=st.floats(0.0, 1e7), more=st.floats(0.0, 1e7))
def test_more_streams_never_fit_better(streams: float, more: float) -> None:
    """On a node with whatever else."""
    assert fitting(HELD, streams=streams + more) <= fitting(HELD, streams=streams)


@pytest.mark.parametrize(
    ("gpus", "fit"), [(0.0, 16), (0.1, 16), (0.3, 12), (0.5, 8), (0.75, 4), (1.0, 4), (2.0, 2), (3.0, 1), (4.0, 1)]
)
def test_the_gpus_of_a_node_count(gpus: float, fit: int) -> None:
    """Four of them, with processors for 16 replicas; parts of two GPUs make no third."""
    node = budgets(node_gpus=4.0, node_cpus=33.0, haproxy_unary_seconds=0.0)
    assert fitting(node, gpus=gpus) == fit


def test_a_replica_that_no_node_holds_is_refused() -> None:
    """By its GPUs, or by its memory."""
    with pytest.raises(InvalidBudgetsError, match=r"a replica takes 1 GPU, a node has 0 \(node_gpus\)"):
        fitting(budgets(node_gpus=0.0), gpus=1.0)
    assert fitting(budgets(node_gpus=0.0)) >= 1
    with pytest.raises(InvalidBudgetsError, match=r"2,000 bytes \(replica_bytes\), a node has 2,000 \(node_bytes\)"):
        memory_rate(UNARY, budgets(replica_bytes=2000.0, node_bytes=2000.0))


def test_the_memory_of_a_node_bounds_the_streams_of_a_replica() -> None:
    """11 GB beside the replica are 1.1 million streams, at ten ticks a second each; calls hold nothing."""
    assert memory_rate(TICKS, HELD) == pytest.approx(1.1e6 * 10)
    half = demand(rate=1000.0, streams=100, ticks_per_stream=10.0)
    assert memory_rate(half, HELD) == pytest.approx(1.1e6 * 20)
    assert memory_rate(UNARY, HELD) == math.inf


def test_the_price_is_arithmetic() -> None:
    """10 replicas of 2 vCPU and half a GPU, and one core of proxies, for 1,000/s."""
    prices = budgets(vcpu_hour_price=0.1, gpu_hour_price=1.0)
    price = price_of(prices, replicas=10, cpus=2.0, gpus=0.5, proxy_cores=1.0, rate=1000.0)
    assert price.per_hour == pytest.approx(21 * 0.1 + 5 * 1.0)
    assert price.per_million == pytest.approx(7.1 / 3.6)
    assert "7.1 USD an hour" in price.arithmetic
