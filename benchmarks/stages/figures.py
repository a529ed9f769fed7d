"""Figures and goals from the raw results. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.figures import spread
from benchmarks.stages.spots import ENGINE_STAGES, LOOP_STAGES, WAITS
from tickserve.bench.percentile import percentile

_LEAST_CALLS_FOR_P99 = 100
# Of the issue: milliseconds of the event loop's processor time for one answer.
_LOOP_GOALS = {"unary": 0.6, "item": 0.3}
# Of the original design: milliseconds within which features are extracted.
_FEATURES_GOAL = 100.0

Round = Mapping[str, Any]


def summarise(inside: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the document that is written.

    Args:
        inside: What `inside.measure` returned.
        live: What `live.measure` returned.
    """
    served = {name: _served(live["rounds"], name) for name in _LOOP_GOALS} if live["rounds"] else {}
    features = {
        in_flight: {kind: _latency(values) for kind, values in kinds.items()}
        for in_flight, kinds in live["features"].items()
    }
    return {
        "settings": {"inside": inside["settings"], "live": live["settings"]},
        "engine": inside["engine"],
        "empty_stretch_us": inside["empty_stretch_us"],
        "scenarios": {name: _scenario(rounds) for name, rounds in inside["scenarios"].items()},
        "served": served,
        "profiles": live["profiles"],
        "missing": live["missing"],
        "features": features,
        "goals": [*_loop_goals(served), *_feature_goals(features)],
    }


def _scenario(rounds: Sequence[Round]) -> dict[str, Any]:
    def median(figure: Callable[[Round], float]) -> float:
        return statistics.median(map(figure, rounds))

    stages = {
        stage: {
            key: median(lambda each, stage=stage, key=key: each["stages"].get(stage, {}).get(key, 0.0))  # type: ignore[misc]
            for key in ("cpu_us", "wall_us")
        }
        for stage in (*LOOP_STAGES, *ENGINE_STAGES, *WAITS)
    }
    return {
        "stages": stages,
        "loop_cpu_us": spread(each["loop_cpu_us"] for each in rounds),
        # In each round, for the stages and the whole were measured within the same second.
        "beside_us": median(lambda each: each["loop_cpu_us"] - loop_stages(each)),
        "harness_cpu_us": median(lambda each: each["harness_cpu_us"]),
        "wall_us": median(lambda each: each["wall_us"]),
        "timing_overhead": median(lambda each: each["timing_overhead"]),
    }


def loop_stages(each: Round) -> float:
    """Returns the microseconds of processor time a call that a round's stages took on the event loop."""
    return float(sum(figures["cpu_us"] for stage, figures in each["stages"].items() if stage in LOOP_STAGES))


def _served(rounds: Sequence[Round], name: str) -> dict[str, Any]:
    own = [each[name] for each in rounds]
    outcomes: dict[str, int] = {}
    for each in own:
        for outcome, count in each["outcomes"].items():
            outcomes[outcome] = outcomes.get(outcome, 0) + count
    return {
        "answered": sum(each["answered"] for each in own),
        "outcomes": outcomes,
        "loop_ms": spread(1e3 * each["loop_seconds"] / each["answered"] for each in own),
        "engine_ms": spread(1e3 * each["engine_seconds"] / each["answered"] for each in own),
        "replica_ms": spread(1e3 * each["replica_seconds"] / each["answered"] for each in own),
        "p50_ms": spread(each["p50_ms"] for each in own),
        "foreign_share": statistics.median(each["foreign_share"] for each in own),
    }


def _latency(values: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    return {
        "calls": len(ordered),
        "p50_ms": percentile(ordered, 0.5),
        "p99_ms": percentile(ordered, 0.99) if len(ordered) >= _LEAST_CALLS_FOR_P99 else None,
    }


def _loop_goals(served: Mapping[str, Any]) -> list[dict[str, Any]]:
    titles = {"unary": "event loop, a unary call", "item": "event loop, a streamed item"}
    return [
        _goal(titles[name], goal, served[name]["loop_ms"]["median"] if name in served else None)
        for name, goal in _LOOP_GOALS.items()
    ]


def _feature_goals(features: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        _goal(f"p99 of calls with features, {in_flight} in flight", _FEATURES_GOAL, kinds["with"]["p99_ms"])
        for in_flight, kinds in features.items()
    ]


def _goal(name: str, most: float, value: float | None) -> dict[str, Any]:
    return {"name": name, "wanted": f"< {most:g} ms", "value": value, "met": value is not None and value < most}
