"""Figures of the comparison: spreads over rounds, and ratios taken within a round. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.comparison.networks import Network
from benchmarks.comparison.scenarios import SCENARIOS, Scenario
from benchmarks.figures import Spread, ratio, spread
from benchmarks.peers import catalogue

Round = Mapping[str, Any]
Figure = Callable[[Round], float | None]

_SERVING = ("replica", "haproxy", "proxy", "ray and launcher")


def summarise(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures of every scenario and server, from what `experiment.measure` returned."""
    networks = raw["networks"]
    real = networks.get(Network.REAL, [])
    return {
        "titles": raw["titles"],
        "failures": raw["failures"],
        "settings": raw["settings"],
        "engine": real[0]["floor"]["engine"] if real else None,
        "floor": {
            size: {key: spread(each["floor"]["sizes"][size][key] for each in real) for key in figures}
            for size, figures in (real[0]["floor"]["sizes"].items() if real else ())
        },
        "scenarios": {
            scenario.name: _scenario(scenario, networks[scenario.network])
            for scenario in SCENARIOS
            if networks.get(scenario.network) and scenario.name not in raw["settings"]["left_out"]
        },
    }


def better(figure: str) -> int:
    """Returns 1 if more of a figure is better, -1 if less is."""
    return -1 if figure.endswith("_ms") else 1


def lead(ours: float | None, theirs: float | None, figure: str) -> float | None:
    """Returns how many times better ours is than theirs: above 1, it is."""
    return ratio(ours, theirs) if better(figure) > 0 else ratio(theirs, ours)


def _scenario(scenario: Scenario, rounds: Sequence[Round]) -> dict[str, Any]:
    asked = [name for name in scenario.servers if all(name in each for each in rounds)]

    def value(server: str) -> Figure:
        return lambda each: main_figure(scenario, each[server][scenario.name])

    def leads(ours: str, theirs: str) -> Spread:
        return spread(lead(value(ours)(each), value(theirs)(each), scenario.figure) for each in rounds)

    return {
        "title": scenario.title,
        "figure": scenario.figure,
        "of": scenario.of,
        "servers": {
            server: _server(scenario, rounds, server)
            | {
                "value": spread(value(server)(each) for each in rounds),
                # How many times better tickserve is than this server, same engine and as shipped.
                "lead_same_engine": leads(catalogue.SAME_ENGINE, server) if catalogue.SAME_ENGINE in asked else None,
                "lead_as_shipped": leads(catalogue.AS_SHIPPED, server) if catalogue.AS_SHIPPED in asked else None,
                "floor_share": spread(floor_share(scenario, each, server) for each in rounds),
                "of_possible": spread(of_possible(scenario, each, server) for each in rounds),
            }
            for server in asked
        },
    }


def main_figure(scenario: Scenario, run: Mapping[str, Any]) -> float | None:
    """Returns what a server's run is compared by."""
    traffic = run["traffic"]
    if scenario.figure == "per_second":
        return float(sum(each["answered_per_second"] for each in traffic.values()))
    chosen = traffic[scenario.of]
    value: float | None = chosen["goodput"] if scenario.figure == "goodput" else chosen["latency_ms"]["p50"]
    return value


def _server(scenario: Scenario, rounds: Sequence[Round], server: str) -> dict[str, Any]:
    runs = [each[server][scenario.name] for each in rounds]
    return {
        "traffic": {
            name: {
                "per_second": spread(run["traffic"][name]["answered_per_second"] for run in runs),
                "goodput": spread(run["traffic"][name]["goodput"] for run in runs),
                "latency_ms": {
                    key: spread(run["traffic"][name]["latency_ms"][key] for run in runs)
                    for key in ("p50", "p99", "p99.9", "max")
                },
                "sent": sum(run["traffic"][name]["sent"] for run in runs),
                "outcomes": _added(run["traffic"][name]["outcomes"] for run in runs),
                "histogram_ms": _histogram(run["traffic"][name]["histogram_ms"] for run in runs),
            }
            for name in runs[0]["traffic"]
        },
        "cpu_ms_per_answer": spread(_cpu_per_answer(run) for run in runs),
        "foreign_cpu": spread(run["foreign_cpu"] for run in runs),
    }


def _cpu_per_answer(run: Mapping[str, Any]) -> float | None:
    return ratio(1e3 * serving_cpu(run), float(answered(run)))


def serving_cpu(run: Mapping[str, Any]) -> float:
    """Returns the processor seconds of the processes that serve: not of Ray's own machinery, not of the generator."""
    return float(sum(run["server_cpu"].get(role, 0.0) for role in _SERVING))


def floor_share(scenario: Scenario, each: Round, server: str) -> float | None:
    """Returns the share of the bare engine's throughput, or, with hardly a network, of the bare echo's."""
    if scenario.figure != "per_second":
        return None
    value = main_figure(scenario, each[server][scenario.name])
    if scenario.network is Network.REAL:
        return ratio(value, _engine_rate(each))
    if catalogue.ECHO in scenario.servers and catalogue.ECHO in each:
        return ratio(value, main_figure(scenario, each[catalogue.ECHO][scenario.name]))
    return None


def of_possible(scenario: Scenario, each: Round, server: str, *, echo: str = catalogue.ECHO) -> float | None:
    """Returns the share of what the machine would answer if a call took it the engine's time and the echo's alone.

    The engine's: of a window in its best batch, with all cores. The echo's: of a call, server and generator together,
    for they share the cores. No queue and no check are in it, and with the bare echo no proxy: nothing that serves over
    Python's gRPC on these cores can reach 1. With the ingress echo, what is missing to 1 is tickserve's own.

    Args:
        scenario: With a throughput to compare by.
        each: The round.
        server: Whose share it is.
        echo: Which echo's time counts.
    """
    if scenario.figure != "per_second" or scenario.network is not Network.REAL:
        return None
    if echo not in scenario.servers or echo not in each:
        return None
    echoed = main_figure(scenario, each[echo][scenario.name])
    value = main_figure(scenario, each[server][scenario.name])
    if not echoed or value is None:
        return None
    return value * (1 / echoed + 1 / _engine_rate(each))


def _engine_rate(each: Round) -> float:
    """Returns the bare engine's windows a second in its best batch."""
    return float(max(size["per_second"] for size in each["floor"]["sizes"].values()))


def window_cpu(each: Round) -> float:
    """Returns the processor seconds that a window costs the bare engine at best."""
    return float(min(size["cpu_seconds_per_window"] for size in each["floor"]["sizes"].values()))


def answered(run: Mapping[str, Any]) -> int:
    """Returns how many calls of a run were answered, of all its traffic."""
    return sum(each["answered"] for each in run["traffic"].values())


def _added(counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total


def _histogram(histograms: Any) -> list[list[float]]:
    total: dict[float, float] = {}
    for each in histograms:
        for bound, count in each:
            total[bound] = total.get(bound, 0) + count
    return [[bound, total[bound]] for bound in sorted(total)]
