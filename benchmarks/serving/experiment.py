"""Interleaved rounds: the bare engine, stock Ray Serve, tickserve as shipped, each alone on the machine at its turn."""

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
from benchmarks.peers import catalogue, floor
from benchmarks.peers.export import Material, prepare
from benchmarks.peers.target import Server, running

_TIMEOUT = 10.0
_SETTLE = 1.0


def _traffic(name: str, *, callers: int, streams: int = 0) -> Traffic:
    # A deadline that nothing here misses: throughput is asked for, not what is refused.
    return Traffic(
        name=name,
        priority="standard",
        deadline=_TIMEOUT,
        rpc_timeout=_TIMEOUT,
        callers=callers,
        streams=streams,
        connections=1 if callers == 1 else 4,
    )


UNARY = (_traffic("unary_1", callers=1), _traffic("unary_64", callers=64))
STREAMS = (
    _traffic("streams_64", callers=64, streams=64),
    _traffic("streams_64_by_4", callers=256, streams=64),
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a run takes; seconds. `duration` is of each scenario, `floor` of the bare engine's part of a round."""

    rounds: int
    warm_up: float
    duration: float
    floor: float


FULL = Length(rounds=4, warm_up=1.5, duration=5.0, floor=8.0)
QUICK = Length(rounds=1, warm_up=1.0, duration=3.0, floor=4.0)


def measure(length: Length, *, registry: Path, model: str, source: Path = catalogue.ROOT) -> dict[str, Any]:
    """Runs all rounds and returns the raw results.

    Args:
        length: How long.
        registry: Folder of the model registry.
        model: Name of the model.
        source: The checkout that tickserve is served from.

    Raises:
        model.errors.ModelError: There is no such model.
        benchmarks.peers.target.TargetError: A server did not start.
        benchmarks.load.runner.LoadError: A generator failed.
    """
    threads = max(1, (os.cpu_count() or 1) - 1)
    rounds = []
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        material = prepare(Path(folder), registry=registry, name=model)
        for index in range(length.rounds):
            results: dict[str, Any] = {"floor": floor.measure(material, threads=threads, seconds=length.floor)}
            for name, scenarios in ((catalogue.STOCK, UNARY), (catalogue.AS_SHIPPED, (*UNARY, *STREAMS))):
                with running(catalogue.target(name, material, threads=threads, source=source)) as server:
                    time.sleep(_SETTLE)
                    results[name] = {
                        traffic.name: _scenario(server, traffic, length, material, first_window=place * 500_000)
                        for place, traffic in enumerate(scenarios)
                    }
            rounds.append(results)
            sys.stderr.write(f"round {index + 1} of {length.rounds} done\n")
    return {"rounds": rounds, "settings": dataclasses.asdict(length) | {"threads": threads}}


def _scenario(
    server: Server, traffic: Traffic, length: Length, material: Material, *, first_window: int
) -> dict[str, Any]:
    plan = Plan(
        target=server.target.address,
        traffic=(traffic,),
        warm_up=length.warm_up,
        duration=length.duration,
        windows=str(material.windows),
        first_window=first_window,
        feature_schema=material.feature_schema,
        model=material.model,
    )
    run = runner.run([plan], watch={"server": server.pid})
    figures = run.traffic(traffic.name)
    return {
        **{key: figures[key] for key in ("answered_per_second", "latency_ms", "outcomes", "answered", "histogram_ms")},
        "server_cpu": run.server_cpu["server"],
        "replica_threads": run.replica_threads["server"],
        "client_cpu": run.client_cpu,
        "foreign_cpu": run.foreign_cpu,
    }
