"""Owns the sweeps: one setting of the scheduler moved, all else equal. Must not know how they are shown."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from batching import PriorityClass, SchedulerConfig
from benchmarks.scheduling.experiment import Run, Setup, simulate
from planning.summary import Summary
from planning.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One setting, its values, and the traffic that shows what it does.

    Attributes:
        field: Of ``SchedulerConfig``.
        workload: Name.
        values: As an operator would write them, with what the field is set to.
    """

    field: str
    workload: str
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class SweepPoint:
    """One value and what came of it."""

    sweep: Sweep
    value: str
    is_default: bool
    summary: Summary


def _background_wait(seconds: float) -> dict[PriorityClass, float]:
    return {**SchedulerConfig().max_wait, PriorityClass.BACKGROUND: seconds}


SWEEPS = (
    Sweep(
        field="max_batch_duration",
        workload="live overload",
        values={f"{1e3 * seconds:g} ms": seconds for seconds in (0.005, 0.010, 0.015, 0.020, 0.030, 0.060, 0.120)},
    ),
    Sweep(
        field="promotion_share",
        workload="starved background",
        values={str(part): part for part in (0.02, 0.1, 0.2, 0.4)},
    ),
    Sweep(
        field="max_wait",
        workload="starved background",
        values={f"background {seconds:g} s": _background_wait(seconds) for seconds in (0.5, 1.0, 2.0, 4.0)},
    ),
    Sweep(field="admission", workload="starved background", values={"on": True, "off": False}),
    Sweep(
        field="cost_quantile",
        workload="starved background",
        values={str(part): part for part in (0.5, 0.9, 0.95, 0.99)},
    ),
)


def run_sweeps(
    sweeps: Sequence[Sweep], workloads: Sequence[Workload], setup: Setup, *, progress: Callable[[Run], None]
) -> Iterator[SweepPoint]:
    """Run every sweep whose workload is among the given ones."""
    known = {workload.name: workload for workload in workloads}
    defaults = {field.name: getattr(setup.config, field.name) for field in fields(setup.config)}
    for sweep in sweeps:
        if sweep.workload not in known:
            continue
        for name, value in sweep.values.items():
            changed = replace(setup, config=replace(setup.config, **{sweep.field: value}))
            run = simulate(known[sweep.workload], "tickserve", changed)
            progress(run)
            yield SweepPoint(sweep=sweep, value=name, is_default=defaults[sweep.field] == value, summary=run.summary)
