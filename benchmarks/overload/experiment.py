"""Runs the comparison: interleaved rounds (A B C A B C ...) of every server, with and without real-time probes.

Each server is started anew for its part of each round, and stopped after it: one server at a time has the machine, as
it would have its own in production. The alternatives were tried and lose:

- Started once and left idle, each costs 8.5 % of a core (measured): raylet, controller and agents poll.
- Started once and paused between rounds (SIGSTOP), they cost nothing, and stock and a lone tickserve go on as before
  after minutes. But a tickserve paused soon after its start has answered UNAVAILABLE for rounds on end: HAProxy's and
  Ray's health checks are not made for a standing clock.

A start and a stop take 15 to 25 s a server and round, and the spread over rounds includes what differs from start to
start. That is the price.

Background callers and probes come from generators in two processes, on connections of their own: a burst of background
answers must not delay the moment at which a probe's answer is seen. All servers get the same bytes: the deadline
travels in the message (stock cannot read it), and the RPC's own deadline is far behind it, so that late answers are
seen as late.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load import runner
from benchmarks.load.plan import Plan, Traffic
from benchmarks.peers import catalogue
from benchmarks.peers.export import Material, prepare
from benchmarks.peers.target import Server, running

NAMES = (catalogue.STOCK, catalogue.SAME_ENGINE, catalogue.AS_SHIPPED)
DEADLINE = 0.05
CALLERS = 128
PROBE_RATE = 20.0

_BACKGROUND_TIMEOUT = 30.0
_PROBE_TIMEOUT = 10.0
_SETTLE = 1.0
# Where windows are numbered from, so that the two generators never send the same.
_PROBE_WINDOWS = 4_000_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a run takes; seconds.

    Attributes:
        rounds: Rounds of all servers.
        warm_up: Traffic before each measured window.
        duration: Each measured window; two a server and round.
    """

    rounds: int
    warm_up: float
    duration: float


FULL = Length(rounds=5, warm_up=2.0, duration=8.0)
QUICK = Length(rounds=1, warm_up=1.5, duration=5.0)


def measure(
    length: Length,
    *,
    registry: Path,
    model: str,
    names: Sequence[str] = NAMES,
    source: Path = catalogue.ROOT,
) -> dict[str, Any]:
    """Runs all rounds and returns the raw results.

    Args:
        length: How long.
        registry: Folder of the model registry.
        model: Name of the model.
        names: Servers, in the order of a round.
        source: The checkout that tickserve is served from.

    Raises:
        model.errors.ModelError: There is no such model.
        benchmarks.peers.target.TargetError: A server did not start.
        benchmarks.load.runner.LoadError: A generator failed.
    """
    # What tickserve ships with, for all alike; stock fares better with it, too (docs/adr/0008).
    threads = max(1, (os.cpu_count() or 1) - 1)
    titles = {}
    rounds = []
    with tempfile.TemporaryDirectory(prefix="overload-") as folder:
        material = prepare(Path(folder), registry=registry, name=model)
        for index in range(length.rounds):
            results = {}
            for name in names:
                target = catalogue.target(name, material, threads=threads, source=source)
                titles[name] = target.title
                with running(target) as server:
                    time.sleep(_SETTLE)
                    results[name] = _measure_server(index, server, length, material)
                _tell(f"round {index + 1} of {length.rounds}, {name}: {_brief(results[name])}")
            rounds.append(results)
    return {
        "rounds": rounds,
        "titles": titles,
        "settings": dataclasses.asdict(length)
        | {
            "callers": CALLERS,
            "probe_rate": PROBE_RATE,
            "deadline": DEADLINE,
            "threads": threads,
            "cores": os.cpu_count() or 1,
        },
    }


def _measure_server(index: int, server: Server, length: Length, material: Material) -> dict[str, Any]:
    background = Traffic(
        name="background",
        priority="background",
        deadline=_BACKGROUND_TIMEOUT,
        rpc_timeout=_BACKGROUND_TIMEOUT,
        callers=CALLERS,
        connections=4,
    )
    probe = Traffic(name="probe", priority="real_time", deadline=DEADLINE, rpc_timeout=_PROBE_TIMEOUT, rate=PROBE_RATE)
    # No server has seen these windows: it is new in each round, and within a round none comes twice.
    first = index * 500_000

    def plan(traffic: Traffic, first_window: int, niceness: int = 0) -> Plan:
        return Plan(
            target=server.target.address,
            traffic=(traffic,),
            warm_up=length.warm_up,
            duration=length.duration,
            windows=str(material.windows),
            first_window=first_window,
            feature_schema=material.feature_schema,
            model=material.model,
            seed=index,
            niceness=niceness,
        )

    watch = {server.target.name: server.pid}
    results: dict[str, Any] = {}
    phases = {
        "alone": [plan(background, first)],
        "with_probes": [plan(background, first + 250_000), plan(probe, _PROBE_WINDOWS + first, niceness=-10)],
    }
    # Every other round the other way round: a drift of the machine cancels out.
    for phase in sorted(phases, reverse=index % 2 == 1):
        results[phase] = _document(runner.run(phases[phase], watch=watch), server.target.name)
    return results


def _document(run: runner.LoadRun, name: str) -> dict[str, Any]:
    return {
        "traffic": {key: value for result in run.results for key, value in result["traffic"].items()},
        "server_cpu": run.server_cpu[name],
        "replica_threads": run.replica_threads[name],
        "client_cpu": run.client_cpu,
        "foreign_cpu": run.foreign_cpu,
        "stolen_cpu": run.stolen_cpu,
        "niceness": [result["niceness"] for result in run.results],
    }


def _brief(result: dict[str, Any]) -> str:
    traffic = result["with_probes"]["traffic"]
    alone = result["alone"]["traffic"]["background"]["answered_per_second"]
    slowest = traffic["probe"]["latency_ms"]["p99"]
    return (
        f"{traffic['probe']['goodput']:.1%} of the probes in time, p99 of the answered "
        f"{'-' if slowest is None else f'{slowest:.0f} ms'}; background "
        f"{traffic['background']['answered_per_second']:.0f}/s, alone {alone:.0f}/s"
    )


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
