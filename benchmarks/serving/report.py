"""Figures, goals and the Markdown report of the serving comparison. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.figures import Spread, ratio, spread
from benchmarks.markdown import number, percent, table
from benchmarks.markdown import spread as words
from benchmarks.peers import catalogue

_TITLES = {
    "unary_1": "unary, 1 in flight",
    "unary_64": "unary, 64 in flight",
    "streams_64": "64 streams, 1 in flight each",
    "streams_64_by_4": "64 streams, 4 in flight each",
}
_SERVING = ("replica", "haproxy", "proxy")

Round = Mapping[str, Any]


def summarise(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures of every scenario, and the goals."""
    rounds: Sequence[Round] = raw["rounds"]
    scenarios = {
        server: {name: _scenario(rounds, server, name) for name in rounds[0][server]}
        for server in (catalogue.STOCK, catalogue.AS_SHIPPED)
    }
    gains = {
        "unary_1": _over(rounds, lambda each: ratio(_p50(each, catalogue.STOCK), _p50(each, catalogue.AS_SHIPPED))),
        "unary_64": _over(
            rounds,
            lambda each: ratio(
                each[catalogue.AS_SHIPPED]["unary_64"]["answered_per_second"],
                each[catalogue.STOCK]["unary_64"]["answered_per_second"],
            ),
        ),
    }
    shipped = scenarios[catalogue.AS_SHIPPED]
    return {
        "settings": raw["settings"],
        "engine": rounds[0]["floor"]["engine"],
        "floor": {
            size: {key: spread(each["floor"]["sizes"][size][key] for each in rounds) for key in figures}
            for size, figures in rounds[0]["floor"]["sizes"].items()
        },
        "scenarios": scenarios,
        "gains_over_stock": gains,
        "goals": [
            _goal("unary, 1 in flight: stock's p50 over ours", ">= 6", gains["unary_1"], 6.0),
            _goal("unary, 64 in flight: share of the bare engine", ">= 60 %", shipped["unary_64"]["floor_share"], 0.6),
            _goal("64 streams: share of the bare engine", ">= 80 %", shipped["streams_64"]["floor_share"], 0.8),
            _goal("unary: engine's share of server CPU", ">= 75 %", shipped["unary_64"]["engine_cpu_share"], 0.75),
            _goal("streams: engine's share of server CPU", ">= 90 %", shipped["streams_64"]["engine_cpu_share"], 0.9),
        ],
    }


def write(document: Mapping[str, Any]) -> str:
    """Returns the report of what `summarise` returned, with `machine` and `command` added."""
    return "\n".join(_lines(document)) + "\n"


def _scenario(rounds: Sequence[Round], server: str, name: str) -> dict[str, Any]:
    def share(each: Round) -> float | None:
        return ratio(each[server][name]["answered_per_second"], _best(each)["per_second"])

    def engine_share(each: Round) -> float | None:
        figures = each[server][name]
        cpu = sum(figures["server_cpu"].get(role, 0.0) for role in _SERVING)
        return ratio(figures["answered"] * _best(each)["cpu_seconds_per_window"], cpu)

    outcomes: dict[str, int] = {}
    for each in rounds:
        for outcome, count in each[server][name]["outcomes"].items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
    return {
        "per_second": _over(rounds, lambda each: each[server][name]["answered_per_second"]),
        "latency_ms": {
            key: spread(each[server][name]["latency_ms"][key] for each in rounds)
            for key in ("p50", "p99", "p99.9", "max")
        },
        "floor_share": _over(rounds, share),
        "engine_cpu_share": _over(rounds, engine_share),
        "outcomes": outcomes,
        "server_cpu": [each[server][name]["server_cpu"] for each in rounds],
        "client_cpu": _over(rounds, lambda each: each[server][name]["client_cpu"]),
        "foreign_cpu": _over(rounds, lambda each: each[server][name]["foreign_cpu"]),
    }


def _best(each: Round) -> Mapping[str, float]:
    """Returns the bare engine's figures at its best batch size in a round."""
    best: Mapping[str, float] = max(each["floor"]["sizes"].values(), key=lambda figures: figures["per_second"])
    return best


def _p50(each: Round, server: str) -> float | None:
    value: float | None = each[server]["unary_1"]["latency_ms"]["p50"]
    return value


def _over(rounds: Sequence[Round], figure: Callable[[Round], float | None]) -> Spread:
    return spread(map(figure, rounds))


def _goal(name: str, wanted: str, value: Spread, least: float) -> dict[str, Any]:
    median = value["median"]
    return {"name": name, "wanted": wanted, "value": value, "met": median is not None and median >= least}


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    settings = document["settings"]
    yield "# Serving: latency and throughput against the bare engine"
    yield ""
    yield (
        f"tickserve as shipped ({document['engine']}), stock Ray Serve and the bare engine, {settings['rounds']} "
        f"interleaved rounds in one run, {settings['duration']:g} s a scenario; the load generator shares the cores. "
        "Median (least to greatest) over rounds; ratios are taken within a round."
    )
    yield ""
    yield f"Made by `{document['command']}`; the figures are in `results.json`."
    yield ""
    yield "## Goals"
    yield ""
    rows = []
    for goal in document["goals"]:
        value = goal["value"]
        ends = f"{percent(value['median'])} ({percent(value['min'])} to {percent(value['max'])})"
        told = ends if "%" in goal["wanted"] else words(value)
        rows.append([goal["name"], goal["wanted"], told, "met" if goal["met"] else "**not met**"])
    yield table(["", "goal", "measured", ""], rows)
    yield ""
    yield (
        "The engine's share of the processor time is what the bare engine spends a window at its best batch size, "
        "times the windows answered, over the time of replica and HAProxy: an estimate, since both run in one process."
    )
    yield ""
    yield "## Scenarios"
    yield ""
    rows = []
    for server, scenarios in document["scenarios"].items():
        for name, figures in scenarios.items():
            latency = figures["latency_ms"]
            rows.append(
                [
                    f"{server}: {_TITLES[name]}",
                    words(latency["p50"], unit="ms"),
                    words(latency["p99"], unit="ms"),
                    number(latency["max"]["max"], unit="ms"),
                    words(figures["per_second"]),
                    percent(figures["floor_share"]["median"]),
                    percent(figures["engine_cpu_share"]["median"]),
                    ", ".join(f"{key} {count}" for key, count in figures["outcomes"].items()),
                ]
            )
    yield table(
        ["", "p50", "p99", "max", "answers /s", "share of the bare engine", "engine's CPU share", "outcomes"], rows
    )
    yield ""
    yield "## The bare engine"
    yield ""
    rows = [
        [size, words(figures["p50_ms"], unit="ms"), words(figures["per_second"])]
        for size, figures in document["floor"].items()
    ]
    yield table(["batch size", "p50", "windows /s"], rows)
    yield ""
    yield "## Machine"
    yield ""
    yield table(["", ""], [[name, value] for name, value in document["machine"].items()])
    yield ""
    yield "Processor seconds of others within each scenario, median (least to greatest) over rounds:"
    yield ""
    for server, scenarios in document["scenarios"].items():
        for name, figures in scenarios.items():
            others, own = words(figures["foreign_cpu"]), words(figures["client_cpu"])
            yield f"- {server}, {_TITLES[name]}: {others}; the generator {own}"
