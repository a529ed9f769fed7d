"""Owns the comparison of the simulator with the live service. Must not run either.

``read_live`` reads a JSON object whose keys, at the top or within an object called ``calibration``, are::

    {
      "background_per_second": 480.0,   answers a second to the 128 closed-loop background callers, probes running
      "probe_p50_ms": 21.3,             latency at the client of the probes that were answered, late answers included
      "probe_p99_ms": 43.8,
      "probe_goodput": 0.995,           answers within 50 ms over probes sent; refused, expired and unanswered ones miss
      "costs": {"1": {"count": 12, "p50_ms": 3.1, "p90_ms": 3.4, "p99_ms": 4.0}, "8": {...}},
                                        optional: the engine's durations in this run, see ``measured_costs``
      "dispatch_ms": 0.3,               optional: see ``cost_table``
      "transport_ms": 1.0               optional: see ``cost_table``
    }

Other keys are left alone. With ``costs`` the simulator runs on the durations of the run that it is compared with, which
is the fair question: given this engine, does the model of queue, policy and clients tell the truth?
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

from planning.cost_table import CostTable
from planning.measured_costs import table_from_costs
from planning.summary import Summary

#: Agreement that is asked for, as a part of the live figure.
TOLERANCE = 0.20


@dataclass(frozen=True, kw_only=True)
class LiveRun:
    """What the live overload run measured; see the module's docstring."""

    background_per_second: float
    probe_p50_ms: float
    probe_p99_ms: float
    probe_goodput: float
    table: CostTable | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One figure, told twice."""

    name: str
    predicted: float
    live: float

    @property
    def error(self) -> float:
        """How far the prediction is off, as a part of the live figure; 0 for equal ones, ``inf`` where that fails."""
        if self.predicted == self.live:
            return 0.0
        off = (self.predicted - self.live) / self.live if self.live else math.inf
        return off if math.isfinite(off) else math.inf

    @property
    def agrees(self) -> bool:
        """Whether both are within ``TOLERANCE``."""
        return abs(self.error) <= TOLERANCE

    def __str__(self) -> str:
        off = f"{self.error:+.0%}" if math.isfinite(self.error) else "not comparable"
        verdict = "agrees" if self.agrees else f"does not agree within {TOLERANCE:.0%}"
        return f"{self.name}: predicted {self.predicted:.4g}, live {self.live:.4g} ({off}): {verdict}"


def read_live(path: Path) -> LiveRun:
    """Read a live run's figures.

    Raises:
        ValueError: A key is missing; the message names it.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    document = document.get("calibration", document)
    keys = ("background_per_second", "probe_p50_ms", "probe_p99_ms", "probe_goodput")
    for key in keys:
        if document.get(key) is None:
            raise ValueError(f"{path}: {key} is missing; see benchmarks/scheduling/calibration.py for the schema")
    table = None
    if document.get("costs"):
        table = table_from_costs(document["costs"], source=f"measured by {path.name}")
        extras = {name: document.get(f"{name}_ms") for name in ("dispatch", "transport")}
        table = replace(table, **{f"{name}_seconds": ms / 1e3 for name, ms in extras.items() if ms is not None})
    return LiveRun(**{key: float(document[key]) for key in keys}, table=table)


def compare(predicted: Summary, live: LiveRun) -> list[Comparison]:
    """Set the simulator's figures of the workload "live overload" beside those of the live run."""
    probe, background = predicted.streams["probe"], predicted.streams["background"]
    return [
        Comparison(name="probe goodput", predicted=probe.goodput, live=live.probe_goodput),
        Comparison(name="probe p50, ms", predicted=probe.p50 * 1e3, live=live.probe_p50_ms),
        Comparison(name="probe p99, ms", predicted=probe.p99 * 1e3, live=live.probe_p99_ms),
        Comparison(
            name="background, answers/s", predicted=background.in_time_per_second, live=live.background_per_second
        ),
    ]
