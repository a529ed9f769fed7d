"""One fault after the other, each with a Prometheus that knows nothing of those before it."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.drill import panels, traffic
from benchmarks.drill.diagnosis import Fault, diagnose
from benchmarks.drill.prometheus import prometheus
from benchmarks.drill.screen import Reading, Screen
from benchmarks.drill.stage import Stage, stage
from benchmarks.load import cpu

# Share of the machine that may be busy, the service at rest included, when a fault is injected, and that others than
# service and steady callers may take meanwhile.
QUIET = 0.4
# A drill of one fault counts for nothing on a busier machine; it is repeated so often at most.
_ATTEMPTS = 3
_LOOK = 3.0
_PATIENCE = 120.0
# The control comes first.
FAULTS = (
    Fault.NONE,
    Fault.ENGINE_SLOW,
    Fault.FLOOD,
    Fault.STORE_GONE,
    Fault.LOOP_BLOCKED,
    Fault.CANDIDATE_DISAGREES,
    Fault.REPLICA_LOST,
    Fault.COLLECTOR_GONE,
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds of each part of one fault.

    Attributes:
        settle: Of traffic alone, until rates have their whole interval.
        before: What is read as before.
        spread: From the injection until the panels show it.
        now: What is read as now.
        rest: After the fault, for the service to come to itself.
    """

    settle: float = 7.0
    before: float = 6.0
    spread: float = 8.0
    now: float = 6.0
    rest: float = 3.0

    @property
    def total(self) -> float:
        """Until the fault is taken out."""
        return self.settle + self.before + self.spread + self.now


def run(faults: Sequence[Fault] = FAULTS, *, times: Times | None = None) -> dict[str, Any]:
    """Injects each fault and reads the dashboard.

    Returns:
        For each fault what was found, by which panels, and which panels showed anything.

    Raises:
        benchmarks.peers.target.TargetError: Service or Prometheus did not start.
        OSError: Prometheus refused an expression of the dashboard.
    """
    times = times or Times()
    results = []
    with (
        tempfile.TemporaryDirectory(prefix="drill-") as name,
        stage(Path(name)) as set_stage,
        traffic.ticks(set_stage.server.target.address),
    ):
        for number, fault in enumerate(faults):
            for attempt in range(_ATTEMPTS):
                result = _one(set_stage, fault, times, Path(name) / f"prometheus-{number}-{attempt}")
                _tell(result)
                time.sleep(times.rest)
                # Judged by who used the machine, not by what was found.
                if result["foreign"] <= QUIET:
                    break
            results.append(result)
    return {
        "times": dataclasses.asdict(times),
        "quiet": QUIET,
        "faults": results,
        "panels": sorted({title for title, *_ in panels.targets()}),
    }


def _one(set_stage: Stage, fault: Fault, times: Times, folder: Path) -> dict[str, Any]:
    _await_quiet()
    with prometheus(folder, target=set_stage.scrape) as server:
        load = traffic.sent(traffic.STEADY, set_stage.material, set_stage.server, seconds=times.total + 2)
        time.sleep(times.settle + times.before)
        injected_at = time.time()
        with set_stage.injected(fault, seconds=times.spread + times.now):
            time.sleep(times.spread + times.now)
            end = time.time()
            reading = Reading(
                before=panels.screen(server, start=injected_at - times.before, end=injected_at),
                now=panels.screen(server, start=end - times.now, end=end),
            )
            alerts = server.firing()
        measured = load.result()
        foreign = measured.foreign_cpu / (times.total + 2) / (os.cpu_count() or 1)
    found = diagnose(reading)
    return {
        "injected": fault.name,
        "found": found.fault.name,
        "subject": found.subject,
        "trail": [dataclasses.asdict(step) for step in found.trail],
        "alerts": sorted(alerts),
        "shown": sorted(title for title, lines in reading.now.items() if lines),
        "levels": _levels(reading.before, reading.now),
        "right": found.fault is fault,
        "foreign": round(foreign, 2),
        # Over all of it, calm and fault: what the service cannot see of itself callers do.
        "callers_p99_ms": {each.name: measured.traffic(each.name)["latency_ms"]["p99"] for each in traffic.STEADY},
    }


def _await_quiet() -> None:
    """Waits until the machine has time for a drill, for so long at most.

    Where others take the processor, event loops are late and engines slow whatever is injected.
    """
    cores = os.cpu_count() or 1
    deadline = time.monotonic() + _PATIENCE
    while True:
        before = cpu.machine_seconds()
        time.sleep(_LOOK)
        after = cpu.machine_seconds()
        # What the host keeps from this machine is as lost as what others take.
        busy = sum(now - then for now, then in zip(after, before, strict=True)) / (_LOOK * cores)
        if busy < QUIET or time.monotonic() > deadline:
            return


def _levels(before: Screen, now: Screen) -> dict[str, dict[str, list[float | None]]]:
    """Returns the right ends of all lines before and now, for whoever reads the results."""
    return {
        title: {
            legend: [_end(before.get(title, {}).get(legend, ())), _end(now.get(title, {}).get(legend, ()))]
            for legend in sorted({*before.get(title, {}), *now.get(title, {})})
        }
        for title in now
    }


def _end(line: Sequence[float]) -> float | None:
    return None if not line or not math.isfinite(line[-1]) else float(f"{line[-1]:.4g}")


def _tell(result: dict[str, Any]) -> None:
    word = "right" if result["right"] else "WRONG"
    sys.stderr.write(
        f"{time.strftime('%H:%M:%S')} {result['injected']}: found {result['found']}, {word}; "
        f"others took {result['foreign']:.0%}\n"
    )
