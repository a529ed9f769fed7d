"""Ratios are taken within a round, losses are told, and every scenario can be asked of every server that it names."""

from typing import Any

import pytest

from benchmarks.comparison import figures, goals, report
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
        "client_cpu": 0.5,
        "foreign_cpu": 0.1,
    }


def _probed(value: float) -> dict[str, Any]:
    """Makes the traffic of probes beside background work at four fifths of what it is alone."""
    made: dict[str, Any] = {}
    for name, rate in (("probe", value), ("background", 0.8 * value)):
        made |= _run(rate, name=name, goodput=min(1.0, value / 1e3))["traffic"]
    return made


def _raw(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """Makes raw results in which servers answer so many calls a second, the same in every scenario."""
    floor = {
        "engine": "e",
        "cores": 2,
        "sizes": {
            "1": {"per_second": 400.0, "p50_ms": 1.0, "cpu_seconds_per_window": 0.0025},
            "32": {"per_second": 1000.0, "p50_ms": 9.0, "cpu_seconds_per_window": 0.001},
        },
    }
    names = {each.name: each for each in SCENARIOS if each.network is Network.REAL}
    made = []
    for values in rounds:
        servers = {
            server: {
                name: _run(value, p50=1e3 / value, name=scenario.of, goodput=min(1.0, value / 1e3))
                | ({"traffic": _probed(value)} if name == "saturated" else {})
                for name, scenario in names.items()
            }
            for server, value in values.items()
        }
        made.append({"floor": floor, **servers})
    return {
        "networks": {Network.REAL: made},
        "titles": {name: name.upper() for name in rounds[0]},
        "failures": [],
        "settings": {"rounds": {"real": len(rounds)}, "warm_up": 1.0, "duration": 2.0, "threads": 1, "cores": 2}
        | {"left_out": []},
    }


def _document(rounds: list[dict[str, float]]) -> dict[str, Any]:
    raw = _raw(rounds)
    document = figures.summarise(raw) | {"goals": goals.goals(raw["networks"])}
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


def test_what_is_possible_counts_engine_and_echo() -> None:
    """A call that takes the machine 5 ms for the echo, and 1 ms for the engine, leaves it 1000 / 6 calls a second."""
    document = _document([{catalogue.AS_SHIPPED: 50.0, catalogue.ECHO: 200.0}])
    ours = document["scenarios"][CAPACITY]["servers"][catalogue.AS_SHIPPED]
    assert ours["of_possible"]["median"] == pytest.approx(50.0 * 6 / 1000)
    assert not [goal for goal in document["goals"] if "Ray Serve leave" in goal["name"] and goal["value"]["median"]]
    behind = _document([{catalogue.AS_SHIPPED: 50.0, catalogue.ECHO: 200.0, catalogue.INGRESS_ECHO: 100.0}])
    [unary, _] = [goal for goal in behind["goals"] if "gRPC and Ray Serve leave possible" in goal["name"]]
    assert unary["value"]["median"] == pytest.approx(50.0 * 11 / 1000)
    assert unary["met"] is None
    without = _document([{catalogue.AS_SHIPPED: 50.0}])["scenarios"][CAPACITY]["servers"][catalogue.AS_SHIPPED]
    assert without["of_possible"]["median"] is None


def test_goals_are_told_with_what_was_measured() -> None:
    """Met and missed by the median over rounds; what was not measured is no goal of the run."""
    rounds = [{catalogue.AS_SHIPPED: 700.0, catalogue.STOCK: 100.0, catalogue.ECHO: 900.0}] * 2
    document = _document(rounds)
    told = {each["name"].partition(":")[0]: each for each in document["goals"]}
    assert told["unary, 1 in flight"]["met"]
    assert told["unary, 1 in flight"]["value"]["median"] == pytest.approx(7.0)
    by_name = {each["name"]: each for each in document["goals"]}
    assert by_name["unary, 64 in flight: share of the bare engine"]["met"]
    assert by_name["64 streams: share of the bare engine"]["met"] is False
    assert by_name["64 streams: the engine's share of the server's CPU"]["value"]["median"] == pytest.approx(0.1)
    assert by_name["background beside probes, share of our own without"]["value"]["median"] == pytest.approx(0.8)
    assert by_name["background beside probes, share of our own without"]["met"] is False
    assert not any("hardly a network" in name for name in by_name)
    assert "**not met**" in report.write(document)
    assert _document([{catalogue.STOCK: 100.0}])["goals"] == []


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


def test_a_server_that_failed_is_told_and_left_out() -> None:
    """One round without it, and it has no figures; the report says so, and the others have theirs."""
    raw = _raw([{catalogue.AS_SHIPPED: 500.0, catalogue.STOCK: 250.0}, {catalogue.AS_SHIPPED: 500.0}])
    raw["failures"] = ["stock, real network, round 2: out of memory"]
    document = figures.summarise(raw) | {"goals": goals.goals(raw["networks"])}
    assert set(document["scenarios"][CAPACITY]["servers"]) == {catalogue.AS_SHIPPED}
    assert "round 2: out of memory" in report.write(document | {"machine": {}, "command": "c"})


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


def test_a_short_run_leaves_scenarios_out() -> None:
    """They are in no table, and what is needed for goals and capacities stays."""
    raw = _raw([{catalogue.AS_SHIPPED: 500.0}])
    raw["settings"]["left_out"] = sorted(QUICK.left_out)
    assert not QUICK.left_out & figures.summarise(raw)["scenarios"].keys()
    names = {each.name for each in SCENARIOS}
    assert QUICK.left_out < names
    assert CAPACITY not in QUICK.left_out
