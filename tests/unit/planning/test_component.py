"""What is there once fills up at the rate that its figures say, and the first to do so is told."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.component import components, first_bottleneck, loop_rate, replicas_per_node
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
    assert replicas_per_node(ENGINE, large, UNARY, replica_rate=500.0) == 4
    small = budgets(haproxy_unary_seconds=1e-3, node_cpus=10.0, node_bytes=3.5e9, replica_bytes=1e9)
    assert replicas_per_node(ENGINE, small, UNARY, replica_rate=500.0) == 3
    tiny = budgets(node_cpus=1.0)
    assert replicas_per_node(ENGINE, tiny, UNARY, replica_rate=500.0) == 1


def test_the_price_is_arithmetic() -> None:
    """10 replicas of 2 vCPU and half a GPU, and one core of proxies, for 1,000/s."""
    prices = budgets(vcpu_hour_price=0.1, gpu_hour_price=1.0)
    price = price_of(prices, replicas=10, cpus=2.0, gpus=0.5, proxy_cores=1.0, rate=1000.0)
    assert price.per_hour == pytest.approx(21 * 0.1 + 5 * 1.0)
    assert price.per_million == pytest.approx(7.1 / 3.6)
    assert "7.1 USD an hour" in price.arithmetic
