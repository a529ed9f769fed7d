"""The run: a service, a ramp, and what was seen of both."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.autoscaling.caller import TIMEOUT, call_along
from benchmarks.autoscaling.controller_log import decisions
from benchmarks.autoscaling.figures import growth, seconds_table, summary
from benchmarks.autoscaling.ramp import Ramp
from benchmarks.autoscaling.stage import ENGINE_DELAY, MAX_BATCH, REPLICA_CPUS, SETTINGS, stage

RAMP = Ramp(low=5, high=45, calm=10, rise=90, hold=45, fall=25, rest=70)
# Too short for figures, long enough to see that it works.
QUICK = Ramp(low=5, high=45, calm=5, rise=40, hold=30, fall=10, rest=50)
_STREAMS = 40


def run(ramp: Ramp, *, source: Path) -> dict[str, Any]:
    """Plays the ramp on a service of its own and returns its figures.

    Raises:
        benchmarks.peers.target.TargetError: The service did not start.
    """
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder), source=source) as on:
        log = on.controller_log()
        began = time.time()
        cpu = time.process_time()
        calls = asyncio.run(call_along(on.server.target.address, on.windows, ramp, streams=_STREAMS, seed=1))
        caller_cpu = (time.process_time() - cpu) / ramp.seconds
        decided = [each for each in decisions(log.read_text(encoding="utf-8").splitlines()) if each.at >= began - 1]
        changes = [change for change in on.census.changes if change.role == "replica"]
    return {
        "ramp": dataclasses.asdict(ramp),
        "settings": {**SETTINGS, "replica_cpus": REPLICA_CPUS, "max_batch_size": MAX_BATCH},
        "engine_delay": ENGINE_DELAY,
        "timeout": TIMEOUT,
        "idle_streams": _STREAMS,
        "caller_cpu": round(caller_cpu, 3),
        "calls": summary(calls),
        "decisions": [
            {"at": round(each.at - began, 2), "before": each.before, "after": each.after} for each in decided
        ],
        "growth": growth(decided, changes, calls),
        "seconds": seconds_table(calls, decided, changes, began=began, length=ramp.seconds),
    }
