"""Figures, goals and the Markdown report of what telemetry costs. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks.figures import spread
from benchmarks.markdown import number, table
from benchmarks.markdown import spread as words
from benchmarks.telemetry.interval import Interval, interval
from benchmarks.telemetry.variants import OFF, VARIANTS, Variant

Turn = Mapping[str, Any]

# What may cost: by name, what it is, and how much more of it one turn has than another (above 1: it costs).
_COSTS: Mapping[str, tuple[str, str, Callable[[Turn, Turn], float]]] = {
    "throughput": ("closed", "time an answer, 64 in flight", lambda off, on: _rate(off) / _rate(on)),
    "p99_closed": ("closed", "p99, 64 in flight", lambda off, on: _p99(on) / _p99(off)),
    "p99_open": ("open", "p99, steady rate", lambda off, on: _p99(on) / _p99(off)),
    "cpu": ("open", "server CPU an answer, steady rate", lambda off, on: _cpu(on) / _cpu(off)),
}


def summarise(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the figures of every variant, its costs against `off` of the same round, and the goals."""
    rounds: Sequence[Mapping[str, Any]] = raw["rounds"]
    costs: dict[str, dict[str, Interval]] = {}
    for variant in VARIANTS[1:]:
        costs[variant.name] = {
            name: interval([cost(each[OFF][kind], each[variant.name][kind]) for each in rounds])
            for name, (kind, _, cost) in _COSTS.items()
        }
    return {
        "settings": raw["settings"],
        "variants": {variant.name: _figures(rounds, variant.name) for variant in VARIANTS},
        "costs": {
            name: {key: dataclasses.asdict(value) for key, value in each.items()} for name, each in costs.items()
        },
        "goals": [
            _goal(variant, name, costs[variant.name][name])
            for variant in VARIANTS
            if variant.goal is not None
            for name in ("throughput", "p99_open", "p99_closed")
        ],
        "rounds": rounds,
    }


def write(document: Mapping[str, Any]) -> str:
    """Returns the report of what `summarise` returned, with `machine` and `command` added."""
    return "\n".join(_lines(document)) + "\n"


def _figures(rounds: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    return {
        "per_second": spread(_rate(each[name]["closed"]) for each in rounds),
        "p99_closed_ms": spread(_p99(each[name]["closed"]) for each in rounds),
        "p50_open_ms": spread(each[name]["open"]["latency_ms"]["p50"] for each in rounds),
        "p99_open_ms": spread(_p99(each[name]["open"]) for each in rounds),
        "cpu_ms": spread(1e3 * _cpu(each[name]["open"]) for each in rounds),
    }


def _goal(variant: Variant, name: str, cost: Interval) -> dict[str, Any]:
    assert variant.goal is not None
    return {
        "name": f"{variant.title}: {_COSTS[name][1]}",
        "wanted": f"< {100 * variant.goal:g} %",
        "cost": dataclasses.asdict(cost),
        "verdict": cost.below(1 + variant.goal),
    }


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    settings = document["settings"]
    titles = {variant.name: variant.title for variant in VARIANTS}
    yield "# What telemetry costs"
    yield ""
    yield (
        f"One server in each state, all running, one under load at a time; {settings['rounds']} interleaved rounds in "
        f"shuffled order, {settings['duration']:g} s a turn: 64 unary calls in flight, then {settings['rate']:g} calls "
        "a second. Spans go to a receiver on the same two cores. Costs are taken within a round: geometric mean, 95 % "
        "interval (bootstrap over rounds). A goal is met, or not, only if the whole interval says so."
    )
    yield ""
    yield f"Made by `{document['command']}`; the figures are in `results.json`."
    yield ""
    yield "## Goals"
    yield ""
    yield table(
        ["", "goal", "cost", "95 % interval", ""],
        [
            [goal["name"], goal["wanted"], _share(goal["cost"]["mean"]), _ends(goal["cost"]), f"**{goal['verdict']}**"]
            for goal in document["goals"]
        ],
    )
    yield ""
    yield "## Costs"
    yield ""
    yield "*Off, again* is a second server without telemetry: what a difference is that means nothing."
    yield ""
    yield table(
        ["", *(title for _, title, _ in _COSTS.values())],
        [
            [titles[name], *(f"{_share(each[key]['mean'])} ({_ends(each[key])})" for key in _COSTS)]
            for name, each in document["costs"].items()
        ],
    )
    yield ""
    yield "## Figures"
    yield ""
    yield "Median (least to greatest) over rounds."
    yield ""
    yield table(
        ["", "answers /s, 64 in flight", "p99, 64 in flight", "p50, steady", "p99, steady", "server CPU an answer"],
        [
            [
                titles[name],
                words(each["per_second"]),
                words(each["p99_closed_ms"], unit="ms"),
                words(each["p50_open_ms"], unit="ms"),
                words(each["p99_open_ms"], unit="ms"),
                words(each["cpu_ms"], unit="ms"),
            ]
            for name, each in document["variants"].items()
        ],
    )
    yield ""
    yield "## Machine"
    yield ""
    yield table(["", ""], [[name, value] for name, value in document["machine"].items()])


def _share(ratio: float) -> str:
    return f"{number(100 * (ratio - 1), digits=2)} %"


def _ends(cost: Mapping[str, float]) -> str:
    return f"{_share(cost['low'])} to {_share(cost['high'])}"


def _rate(turn: Turn) -> float:
    return float(turn["answered_per_second"])


def _p99(turn: Turn) -> float:
    return float(turn["latency_ms"]["p99"])


def _cpu(turn: Turn) -> float:
    return float(sum(turn["server_cpu"].values())) / float(turn["answered"])
