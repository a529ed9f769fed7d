"""What the comparison is to show: each goal with what was measured, taken within a round. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.comparison.figures import answered, floor_share, main_figure, of_possible, serving_cpu, window_cpu
from benchmarks.comparison.networks import Network
from benchmarks.comparison.scenarios import CAPACITY, SCENARIOS
from benchmarks.figures import ratio, spread
from benchmarks.peers import catalogue

Round = Mapping[str, Any]

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
_STREAMS = "streams_64"
_SHIPPED = catalogue.AS_SHIPPED


def goals(networks: Mapping[str, Sequence[Round]]) -> list[dict[str, Any]]:
    """Returns name, what is wanted, spread over rounds and whether the median meets it, for all that was measured.

    Args:
        networks: Rounds of each network, as `experiment.measure` returns them.
    """
    return list(_goals(networks.get(Network.REAL, []), networks.get(Network.NULL, [])))


def _goals(real: Sequence[Round], null: Sequence[Round]) -> Iterator[dict[str, Any]]:
    ours = [each for each in real if _SHIPPED in each]
    beside = [each for each in ours if catalogue.STOCK in each]
    if beside:
        gain = [ratio(_value(each, catalogue.STOCK, "unary_1"), _value(each, _SHIPPED, "unary_1")) for each in beside]
        yield _goal("unary, 1 in flight: stock's p50 over ours", gain, 6.0)
    for name, title, share, engine in (
        (CAPACITY, "unary, 64 in flight", 0.6, 0.75),
        (_STREAMS, "64 streams", 0.8, 0.9),
    ):
        if not ours:
            break
        scenario = _BY_NAME[name]
        yield _goal(
            f"{title}: share of the bare engine", [floor_share(scenario, each, _SHIPPED) for each in ours], share
        )
        yield _goal(
            f"{title}: the same, of what engine and gRPC leave possible",
            [of_possible(scenario, each, _SHIPPED) for each in ours],
            None,
        )
        yield _goal(
            f"{title}: the same, of what engine, gRPC and Ray Serve leave possible",
            [of_possible(scenario, each, _SHIPPED, echo=catalogue.INGRESS_ECHO) for each in ours],
            None,
        )
        yield _goal(
            f"{title}: the engine's share of the server's CPU", [_engine_share(each, name) for each in ours], engine
        )
    if ours:
        probes = [each[_SHIPPED]["saturated"]["traffic"]["probe"] for each in ours]
        sent = sum(probe["sent"] for probe in probes)
        yield _goal(f"probes under saturation: of {sent} sent, in 50 ms", [probe["goodput"] for probe in probes], 0.999)
        yield _goal(
            "background beside probes, share of our own without",
            [ratio(_background(each, "saturated"), _background(each, "background")) for each in ours],
            0.85,
        )
    shown = [each for each in null if _SHIPPED in each]
    if shown:
        yield _goal("hardly a network: p50, ms", [_value(each, _SHIPPED, "null_1") for each in shown], 0.8, less=True)
        yield _goal("hardly a network: calls a second", [_value(each, _SHIPPED, "null_64") for each in shown], 2500.0)


def _goal(name: str, values: Sequence[float | None], limit: float | None, *, less: bool = False) -> dict[str, Any]:
    """Returns one goal; without a limit it is told beside the others, and neither met nor missed."""
    value = spread(values)
    median = value["median"]
    met = None if limit is None else median is not None and (median <= limit if less else median >= limit)
    return {"name": name, "limit": limit, "less": less, "value": value, "met": met}


def _value(each: Round, server: str, scenario: str) -> float | None:
    return main_figure(_BY_NAME[scenario], each[server][scenario])


def _background(each: Round, scenario: str) -> float:
    return float(each[_SHIPPED][scenario]["traffic"]["background"]["answered_per_second"])


def _engine_share(each: Round, scenario: str) -> float | None:
    run = each[_SHIPPED][scenario]
    # What the bare engine takes for as many windows: threads do not tell their names to the system.
    return ratio(window_cpu(each) * answered(run), serving_cpu(run))
