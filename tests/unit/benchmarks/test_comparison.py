"""Ratios are taken within a round, losses are told, and every scenario can be asked of every server that it names."""

from typing import Any

import pytest

from benchmarks.comparison import figures, report
from benchmarks.comparison.length import FULL, QUICK
from benchmarks.comparison.losses import losses
from benchmarks.comparison.networks import Network
from benchmarks.comparison.scenarios import CAPACITY, OVERLOAD, SCENARIOS, served_by
from benchmarks.peers import catalogue


def _run(per_second: float, *, p50: float = 5.0, goodput: float = 1.0, name: str = "calls") -> dict[str, Any]:
    return {
        "traffic": {
            name: {
                "sent": 100,
                "answered": 100,
                "goodput": goodput,
                "answered_per_second": per_second,
                "outcomes": {"in_time": 100},
                "latency_ms": {"p50": p50, "p99": 2 * p50, "p99.9": 3 * p50, "max": 4 * p50},
                "histogram_ms": [[p50, 100]],
            }
        },
        "server_cpu": {"replica": 1.0, "controller": 5.0},
        "foreign_cpu": 0.1,
    }


def _raw(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Makes raw results in which servers answer so many calls a second, the same in every scenario."""
    floor = {
        "engine": "e",
        "sizes": {"1": {"per_second": 400.0, "p50_ms": 1.0}, "32": {"per_second": 1000.0, "p50_ms": 9.0}},
    }
    names = {each.name: each for each in SCENARIOS if each.network is Network.REAL}
    made = []
    for values in rounds:
        servers = {
            server: {
                name: _run(value, p50=1e3 / value, name=scenario.of, goodput=min(1.0, value / 1e3))
                for name, scenario in names.items()
            }
            for server, value in values.items()
        }
        made.append({"floor": floor, **servers})
    return {
        "networks": {Network.REAL: made},
        "titles": {name: name.upper() for name in rounds[0]},
        "settings": {"rounds": {"real": len(rounds)}, "warm_up": 1.0, "duration": 2.0, "threads": 1, "cores": 2},
    }


def _document(rounds: list[dict[str, float]]) -> dict[str, Any]:
    document = figures.summarise(_raw(rounds))
    return document | {"machine": {"processor": "p"}, "command": "c"}


def test_a_lead_is_taken_within_a_round() -> None:
    """A machine that is twice as fast in one round than in another does not change who is ahead."""
    document = _document(
        [{catalogue.AS_SHIPPED: 500.0, catalogue.STOCK: 250.0}, {catalogue.AS_SHIPPED: 1000.0, catalogue.STOCK: 500.0}]
    )
    for name in (CAPACITY, "unary_1"):  # more is better, and less is better
        stock = document["scenarios"][name]["servers"][catalogue.STOCK]
        assert stock["lead_as_shipped"] == {"median": 2.0, "min": 2.0, "max": 2.0}
        assert stock["lead_same_engine"] is None  # it did not take part


def test_the_floor_is_the_bare_engine_at_its_best() -> None:
    """Throughput with the real network is told as a share of it; processor time is the serving processes' alone."""
    document = _document([{catalogue.AS_SHIPPED: 500.0}])
    ours = document["scenarios"][CAPACITY]["servers"][catalogue.AS_SHIPPED]
    assert ours["floor_share"]["median"] == pytest.approx(0.5)
    assert ours["cpu_ms_per_answer"]["median"] == pytest.approx(10.0)


def test_what_is_lost_is_told() -> None:
    """A peer ahead by more than a tenth is named in the report, with the reason or as unexplained; within it, not."""
    values = {catalogue.AS_SHIPPED: 500.0, catalogue.STOCK: 540.0, catalogue.TRITON: 600.0}
    document = _document([values, values])
    lost = losses(document)
    assert {each["server"] for each in lost} == {catalogue.TRITON}
    assert {each["scenario"] for each in lost} == set(document["scenarios"])
    text = report.write(document)
    assert text.count("Unexplained.") == sum(not each["reason"] for each in lost)
    assert "Where we lose" in text
    ahead = report.write(_document([{catalogue.AS_SHIPPED: 500.0, catalogue.STOCK: 100.0}]))
    assert "Nowhere: no peer is ahead" in ahead


def test_scenarios_and_servers_agree() -> None:
    """Names are unique; capacity is known before it is asked for; every figure's traffic is sent."""
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert SCENARIOS[0].name == CAPACITY
    for scenario in SCENARIOS:
        loads = scenario.loads(100.0)
        sent = {load.traffic.name for load in loads}
        assert scenario.of in sent
        assert set(scenario.servers) <= set(catalogue.NAMES)
        assert set(scenario.servers) <= set(served_by(scenario.network))
    assert set(FULL.rounds) == set(QUICK.rounds) == set(Network)


def test_overload_is_a_multiple_of_the_server_s_own_capacity() -> None:
    """Its classes' rates add up to it."""
    [overload] = [scenario for scenario in SCENARIOS if scenario.name == "overload"]
    assert sum(load.traffic.rate for load in overload.loads(300.0)) == pytest.approx(OVERLOAD * 300.0)
