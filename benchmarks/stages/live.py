"""What a served call costs the replica's event loop, and where: a real `tickserve serve` under load.

The processor time of the loop's own thread over the answers of the same window, in rounds that take turns; then a run
of each kind with a sampling profiler, which would spoil the figures of the others.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.load import runner
from benchmarks.load.plan import Plan, Traffic
from benchmarks.load.processes import replica_pid
from benchmarks.peers import catalogue
from benchmarks.peers.export import Material, prepare
from benchmarks.peers.target import Server, running
from benchmarks.stages import features
from benchmarks.stages.attribution import ENGINE_THREAD, LOOP_THREAD, by_part
from benchmarks.stages.replica_threads import ProfilerError, ThreadClock, sampled, thread_ids

_TIMEOUT = 10.0
_SETTLE = 1.0
# Windows of a run, so that no two runs send the same.
_RANGE = 100_000


def _traffic(name: str, *, streams: int) -> Traffic:
    # A deadline that nothing here misses: what is asked for is what answers cost.
    return Traffic(
        name=name,
        priority="standard",
        deadline=_TIMEOUT,
        rpc_timeout=_TIMEOUT,
        callers=16,
        streams=streams,
        connections=2,
    )


TRAFFIC = (_traffic("unary", streams=0), _traffic("item", streams=16))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a run takes; seconds. `profile` is of each kind's profile, `features` of each number of callers."""

    rounds: int
    warm_up: float
    duration: float
    profile: float
    features: float


FULL = Length(rounds=4, warm_up=1.0, duration=4.0, profile=8.0, features=10.0)
QUICK = Length(rounds=1, warm_up=0.5, duration=2.0, profile=3.0, features=3.0)


def measure(length: Length, *, registry: Path, model: str, source: Path = catalogue.ROOT) -> dict[str, Any]:
    """Serves, measures and returns the raw results.

    Args:
        length: How long.
        registry: Folder of the model registry.
        model: Name of the model.
        source: The checkout that tickserve is served from.

    Raises:
        model.errors.ModelError: There is no such model.
        benchmarks.peers.target.TargetError: The server did not start.
        benchmarks.load.runner.LoadError: A generator failed.
    """
    threads = max(1, (os.cpu_count() or 1) - 1)
    with tempfile.TemporaryDirectory(prefix="stages-") as folder:
        material = prepare(Path(folder), registry=registry, name=model)
        with running(catalogue.target(catalogue.AS_SHIPPED, material, threads=threads, source=source)) as server:
            time.sleep(_SETTLE)
            return {
                "settings": dataclasses.asdict(length) | {"threads": threads},
                **_loop(server, length, material),
                "features": features.measure(server.target.address, material, seconds=length.features),
            }


def _loop(server: Server, length: Length, material: Material) -> dict[str, Any]:
    """Returns rounds and profiles; without a profiler the reason why there are none."""
    pid = replica_pid(server.pid)
    try:
        ids = thread_ids(pid)
        rounds = []
        for index in range(length.rounds):
            results = {}
            for place, traffic in enumerate(TRAFFIC):
                first = (index * len(TRAFFIC) + place) * _RANGE
                plan = _plan(server, traffic, length.warm_up, length.duration, material, first)
                results[traffic.name] = _one(server, plan, pid, ids)
            rounds.append(results)
            sys.stderr.write(f"live: round {index + 1} of {length.rounds} done\n")
        profiles = {}
        for place, traffic in enumerate(TRAFFIC):
            first = (length.rounds * len(TRAFFIC) + place) * _RANGE
            plan = _plan(server, traffic, length.warm_up, length.profile, material, first)
            with sampled(pid, length.profile) as stacks:
                runner.run([plan], watch={})
            profiles[traffic.name] = by_part(stacks)
    except ProfilerError as error:
        return {"rounds": [], "profiles": {}, "missing": str(error)}
    return {"rounds": rounds, "profiles": profiles, "missing": ""}


def _one(server: Server, plan: Plan, pid: int, ids: dict[str, int]) -> dict[str, Any]:
    loop, engine = ids[LOOP_THREAD], ids[ENGINE_THREAD]
    with ThreadClock(pid, (loop, engine)) as clock:
        run = runner.run([plan], watch={"server": server.pid})
    [result] = run.results
    figures = run.traffic(plan.traffic[0].name)
    window = (result["window_start"], result["window_start"] + plan.duration)
    return {
        "answered": figures["answered"],
        "outcomes": figures["outcomes"],
        "p50_ms": figures["latency_ms"]["p50"],
        "loop_seconds": clock.between(loop, *window),
        "engine_seconds": clock.between(engine, *window),
        "replica_seconds": run.server_cpu["server"].get("replica", 0.0),
        "foreign_share": run.foreign_cpu / (plan.duration * (os.cpu_count() or 1)),
    }


def _plan(
    server: Server, traffic: Traffic, warm_up: float, duration: float, material: Material, first_window: int
) -> Plan:
    return Plan(
        target=server.target.address,
        traffic=(traffic,),
        warm_up=warm_up,
        duration=duration,
        windows=str(material.windows),
        first_window=first_window,
        feature_schema=material.feature_schema,
        model=material.model,
    )
