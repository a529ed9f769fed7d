"""The live traffic in the simulator: what a plan would have said of it. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from batching import PriorityClass, SchedulerConfig
from benchmarks.load.summary import cost_table
from planning.cost_table import CostTable
from planning.demand import Demand, name_of
from planning.measured_costs import table_from_costs
from planning.trial import Trial, run_trial

#: How far a prediction may be off, as a part of the live figure.
TOLERANCE = 0.15
_REPLICAS = 2
REQUESTS = 40_000
#: The 90th percentile of the standard normal distribution.
_Z90 = 1.2816


def table_of(
    classes: Mapping[str, Mapping[str, Any]], *, source: str, way: Mapping[str, Mapping[str, Any]] | None = None
) -> CostTable:
    """Returns the costs that a run's answers told: batches by size, and the way to the queue and back.

    Args:
        classes: Figures of each kind of traffic in the run.
        source: Where they come from.
        way: Figures of the traffic that tells the way, if it is not all of it.
    """
    batches = sorted({(int(size), float(ms)) for figures in classes.values() for size, ms in figures["batches"]})
    table = table_from_costs(cost_table(batches), source=source)
    # What the client sees beside queue and engine: being sent late by its own loop, the way there and the way back.
    p50, p90 = (_mean(way or classes, key) for key in ("p50", "p90"))
    jitter = math.log(max(p90 / p50, 1.0)) / _Z90
    return replace(table, transport_seconds=p50 / 1e3, transport_jitter=jitter)


def predict(raw: Mapping[str, Any], table: CostTable, *, requests: int = REQUESTS, seed: int = 1) -> Trial:
    """Returns what one of two replicas is expected to do under a live run's traffic.

    Args:
        raw: As `live.two_replicas` returns it.
        table: Costs of a replica's engine.
        requests: How many are simulated.
        seed: Of the simulation.
    """
    classes = {priority: name_of(priority) for priority in PriorityClass if name_of(priority) in raw["mix"]}
    demand = Demand(
        rate=raw["rate"],
        mix={priority: raw["mix"][name] for priority, name in classes.items()},
        slo={priority: raw["slo"][name] for priority, name in classes.items()},
    )
    return run_trial(
        demand,
        rate=raw["rate"] / _REPLICAS,
        table=table,
        config=SchedulerConfig(),
        requests=requests,
        seed=seed,
    )


def compare(raw: Mapping[str, Any], trial: Trial) -> list[dict[str, Any]]:
    """Returns a row for each class's p50 and p99, and the throughput: predicted, live in each run, how far off.

    The live figure is the median over the runs.
    """
    rows = []
    for outcome in trial.classes:
        name = name_of(outcome.priority)
        for key, seconds in (("p50", outcome.p50), ("p99", outcome.p99)):
            live = [run["classes"][name]["latency_ms"][key] for run in raw["runs"]]
            rows.append(_row(f"{name} {key}, ms", 1e3 * seconds, live))
    live = [sum(figures["in_time"] for figures in run["classes"].values()) / run["seconds"] for run in raw["runs"]]
    rows.append(_row("answers in time, /s", _REPLICAS * sum(entry.good_per_second for entry in trial.classes), live))
    return rows


def _row(name: str, predicted: float, live: Sequence[float | None]) -> dict[str, Any]:
    known = sorted(value for value in live if value is not None)
    middle = known[len(known) // 2] if known else math.nan
    error = (predicted - middle) / middle if known and middle else math.nan
    return {
        "name": name,
        "predicted": predicted,
        "live": middle if known else None,
        "least": known[0] if known else None,
        "greatest": known[-1] if known else None,
        "error": error if math.isfinite(error) else None,
        "agrees": math.isfinite(error) and abs(error) <= TOLERANCE,
    }


def _mean(classes: Mapping[str, Mapping[str, Any]], key: str) -> float:
    """Returns the milliseconds of sending late and of the way, by answers, at a percentile."""
    known = [figures for figures in classes.values() if figures["transport_ms"].get(key) is not None]
    answers = sum(figures["answered"] for figures in known)
    total = sum(
        figures["answered"] * (figures["transport_ms"][key] + (figures.get("send_lag_ms", {}).get(key) or 0.0))
        for figures in known
    )
    return float(total / answers)
