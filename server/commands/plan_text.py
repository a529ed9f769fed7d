"""How a capacity plan is shown: lines for people, a document for programs. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from planning.budgets import Budgets, Figure
from planning.capacity_plan import CapacityPlan, Outlook
from planning.component import Component
from planning.demand import name_of
from planning.trial import Trial

_BOUND = {
    "goals": "more would miss a goal",
    "engine": "more than 90 % of what the engine can do",
    "event loop": "more than its event loop may be given",
    "memory": "the streams of more do not fit a node's memory",
}


def lines(plan: CapacityPlan, budgets: Budgets) -> Iterator[str]:
    """Yields the plan, line by line."""
    demand, engine, config = plan.demand, plan.engine, plan.replica.config
    gpus = f", {_number(plan.replicas * engine.gpus)} GPU ({engine.gpus:g} each)" if engine.gpus else ""
    yield (
        f"plan: {plan.replicas} replicas ({plan.spare} spare), {_number(plan.replicas * engine.cpus)} vCPU "
        f"({engine.cpus:g} each){gpus}, engine {engine.name}"
    )
    yield (
        f"  load: {_number(demand.rate)} unary requests/s and {_number(demand.tick_rate)} ticks/s on "
        f"{demand.streams} streams"
    )
    yield (
        f"  one replica: at most {_number(plan.replica.rate)}/s ({_BOUND[plan.replica.bound]}); "
        f"{_bytes(plan.replica_bytes)} of memory with its streams and windows"
    )
    yield (
        f"  settings: scheduler.max_batch_size = {config.max_batch_size}, "
        f"scheduler.max_batch_duration = {config.max_batch_duration:g}"
    )
    yield ""
    yield f"expected with all {plan.replicas} replicas, {_number(plan.expected.rate)}/s each"
    yield from _trial(plan.expected)
    if plan.spare:
        yield f"expected with {plan.spare} gone, {_number(plan.without_spare.rate)}/s each"
        yield from _trial(plan.without_spare)
    yield f"goodput: {_number(plan.goodput)} answers in time a second"
    yield ""
    yield "first bottleneck, with the same mix and goals"
    for outlook in (plan.here, *plan.outlook):
        yield f"  {_outlook(outlook)}"
    yield "shared parts at the planned rate (of one)"
    yield from (f"  {_part(part)}" for part in plan.here.parts)
    yield ""
    yield f"price: {plan.price.per_million:.3g} USD a million predictions"
    yield f"  {plan.price.arithmetic}"
    yield ""
    yield "assumptions"
    yield from (f"  {line}" for line in assumptions(plan, budgets))


def assumptions(plan: CapacityPlan, budgets: Budgets) -> list[str]:
    """Returns what the plan takes for granted, in words."""
    engine, table = plan.engine, plan.engine.table
    costs = ", ".join(f"{size}: {1e3 * seconds:.3g}" for size, seconds in table.seconds_by_batch_size.items())
    said = [
        f"engine {engine.name}: {table.source}; ms by batch size {costs}; {_origin(engine.method, engine.date)}",
        f"way to the queue and back: {1e3 * table.transport_seconds:.3g} ms",
        "callers set the goal's time as their deadline",
        "arrivals are a Poisson process, ticks included: bars that all close at once are a burst, which is not in it",
        "one replica gets an even share (HAProxy leastconn), as if dealt out by chance",
        f"simulated: {plan.replica.requests} requests a trial, seed {plan.seed}; no result cache, no restarts",
    ]
    said += [f"{figure.title}: {_value(figure)}; {_figure_origin(figure)}" for figure in budgets.figures.values()]
    return said


def as_document(plan: CapacityPlan, budgets: Budgets) -> dict[str, Any]:
    """Returns the plan as JSON has it; what is not finite is null."""
    demand, engine, config = plan.demand, plan.engine, plan.replica.config
    document = {
        "demand": {
            "rate": demand.rate,
            "tick_rate": demand.tick_rate,
            "streams": demand.streams,
            "mix": {name_of(priority): share for priority, share in demand.shares.items()},
            "slo_seconds": {name_of(priority): demand.slo[priority] for priority in demand.shares},
            "goal": demand.goal,
        },
        "replicas": plan.replicas,
        "spare": plan.spare,
        "engine": {"name": engine.name, "cpus": engine.cpus, "gpus": engine.gpus, "costs": engine.table.as_dict()},
        "cpus": plan.replicas * engine.cpus,
        "gpus": plan.replicas * engine.gpus,
        "replica": {
            "most_per_second": plan.replica.rate,
            "bound": plan.replica.bound,
            "event_loop_per_second": plan.loop_rate,
            "bytes": plan.replica_bytes,
        },
        "settings": {"max_batch_size": config.max_batch_size, "max_batch_duration": config.max_batch_duration},
        "expected": _trial_document(plan.expected),
        "without_spare": _trial_document(plan.without_spare),
        "goodput_per_second": plan.goodput,
        "bottlenecks": [_outlook_document(outlook) for outlook in (plan.here, *plan.outlook)],
        "price": {"per_hour_usd": plan.price.per_hour, "per_million_usd": plan.price.per_million},
        "windows_in_redis": plan.redis,
        "seed": plan.seed,
        "requests": plan.replica.requests,
        "assumptions": assumptions(plan, budgets),
    }
    finite: dict[str, Any] = _finite(document)
    return finite


def _trial(trial: Trial) -> Iterator[str]:
    yield f"  {'class':<12}{'goal':>10}{'p50':>10}{'p99':>10}{'missed':>10}"
    for entry in trial.classes:
        yield (
            f"  {name_of(entry.priority):<12}{_ms(entry.slo):>10}{_ms(entry.p50):>10}{_ms(entry.p99):>10}"
            f"{entry.miss_share:>10.2%}"
        )
    yield f"  engine busy {trial.engine_busy:.0%}, {trial.mean_batch_size:.1f} requests a batch"


def _outlook(outlook: Outlook) -> str:
    head = f"{_number(outlook.rate)}/s, {outlook.replicas} replicas on {outlook.nodes} nodes: "
    if outlook.first is None:
        nearest = outlook.parts[0]
        return f"{head}none; nearest {nearest.name} ({nearest.utilisation:.0%} of one)"
    first = outlook.first
    return f"{head}{first.name}, {first.needed} needed; {first.remedy}"


def _part(part: Component) -> str:
    return f"{part.name}: {part.utilisation:.1%} ({_number(part.carries)}/s = {part.arithmetic})"


def _trial_document(trial: Trial) -> dict[str, Any]:
    return {
        "per_second_of_one_replica": trial.rate,
        "goodput": trial.goodput,
        "engine_busy": trial.engine_busy,
        "mean_batch_size": trial.mean_batch_size,
        "classes": {
            name_of(entry.priority): {
                "slo_ms": 1e3 * entry.slo,
                "p50_ms": 1e3 * entry.p50,
                "p99_ms": 1e3 * entry.p99,
                "miss_share": entry.miss_share,
                "simulated": entry.sent,
            }
            for entry in trial.classes
        },
    }


def _outlook_document(outlook: Outlook) -> dict[str, Any]:
    return {
        "rate": outlook.rate,
        "replicas": outlook.replicas,
        "nodes": outlook.nodes,
        "first": outlook.first.name if outlook.first else None,
        "parts": [
            {
                "name": part.name,
                "carries_per_second": part.carries,
                "utilisation": part.utilisation,
                "needed": part.needed,
                "arithmetic": part.arithmetic,
                "remedy": part.remedy,
            }
            for part in outlook.parts
        ],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _origin(method: str, date: str) -> str:
    return f"{method}, {date}" if date else method


def _figure_origin(figure: Figure) -> str:
    origin = _origin(figure.method, figure.date)
    if not (figure.is_assumed or figure.is_given):
        origin = f"measured by {origin}"
    return f"{origin} ({figure.note})" if figure.note else origin


def _value(figure: Figure) -> str:
    if figure.unit == "s" and figure.value < 1:
        return f"{1e3 * figure.value:.4g} ms"
    return f"{figure.value:,.4g} {figure.unit}" if figure.value < 1e4 else f"{figure.value:,.0f} {figure.unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms" if math.isfinite(seconds) else "-"


def _bytes(value: float) -> str:
    return f"{value / 2**20:,.0f} MiB"
