"""Interleaved rounds: one server in each state of telemetry, all running, one of them under load at a time.

Servers that are started once and take turns within seconds differ by their telemetry; servers started one after the
other would differ by the hour.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.load import runner
from benchmarks.load.plan import Plan, Traffic
from benchmarks.peers import catalogue
from benchmarks.peers.export import Material, prepare
from benchmarks.peers.target import Server, free_ports, running
from benchmarks.telemetry.variants import OFF, VARIANTS

_TIMEOUT = 10.0
_SETTLE = 2.0
_WINDOWS_A_TURN = 100_000
# Half of what this network answers on one core: no queue of its own making, so that latency is the path's.
_RATE = 250.0

CLOSED = "closed"
OPEN = "open"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a run takes; `warm_up` and `duration` are seconds of each turn."""

    rounds: int
    warm_up: float
    duration: float


FULL = Length(rounds=20, warm_up=0.4, duration=1.2)
QUICK = Length(rounds=3, warm_up=0.5, duration=1.0)


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
    order = random.Random(6)
    rounds = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="telemetry-")))
        material = prepare(folder, registry=registry, name=model)
        collector = stack.enter_context(_receiver())
        servers = {}
        for variant, port in zip(VARIANTS, free_ports(len(VARIANTS)), strict=True):
            target = catalogue.target(catalogue.AS_SHIPPED, material, threads=threads, source=source)
            more = variant.environment(scrape_port=port, collector=collector)
            target = dataclasses.replace(target, name=variant.name, environment={**target.environment, **more})
            servers[variant.name] = stack.enter_context(running(target))
        time.sleep(_SETTLE)
        turns = _Turns(servers, material, length)
        for name in servers:  # first calls pay for what later ones do not
            turns.take(name, CLOSED)
        for index in range(length.rounds):
            names = list(servers)
            order.shuffle(names)
            rounds.append({name: {kind: turns.take(name, kind) for kind in (CLOSED, OPEN)} for name in names})
            _tell(index, rounds[-1])
    return {"rounds": rounds, "settings": dataclasses.asdict(length) | {"threads": threads, "rate": _RATE}}


class _Turns:
    """Puts one server under load at a time."""

    def __init__(self, servers: Mapping[str, Server], material: Material, length: Length) -> None:
        self._servers = servers
        self._material = material
        self._length = length
        self._first_window = 0

    def take(self, name: str, kind: str) -> dict[str, Any]:
        """Returns the figures of one turn."""
        self._first_window += _WINDOWS_A_TURN  # every window is distinct: the cache must not answer
        server = self._servers[name]
        plan = Plan(
            target=server.target.address,
            traffic=(_traffic(kind),),
            warm_up=self._length.warm_up,
            duration=self._length.duration,
            windows=str(self._material.windows),
            first_window=self._first_window,
            feature_schema=self._material.feature_schema,
            model=self._material.model,
        )
        done = runner.run([plan], watch={name: server.pid})
        figures = done.traffic(kind)
        return {
            "answered_per_second": figures["answered_per_second"],
            "latency_ms": figures["latency_ms"],
            "outcomes": figures["outcomes"],
            "server_cpu": done.server_cpu[name],
            "answered": figures["answered"],
            "foreign_cpu": done.foreign_cpu,
        }


def _traffic(kind: str) -> Traffic:
    callers = 64 if kind == CLOSED else 0
    return Traffic(
        name=kind,
        priority="standard",
        deadline=_TIMEOUT,
        rpc_timeout=_TIMEOUT,
        callers=callers,
        rate=0.0 if callers else _RATE,
        connections=4,
    )


@contextlib.contextmanager
def _receiver() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.telemetry.receiver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        output, _ = process.communicate(timeout=10)
        sys.stderr.write(f"the receiver took exports and bytes: {output.strip()}\n")


def _tell(index: int, figures: Mapping[str, Any]) -> None:
    base = figures[OFF][CLOSED]["answered_per_second"]
    words = (f"{name} {each[CLOSED]['answered_per_second'] / base:.3f}" for name, each in figures.items())
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} round {index + 1}, throughput over off: {', '.join(words)}\n")
