"""The rounds. Every server is started for its part of a round and stopped after it: one at a time has the machine."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison.length import Length
from benchmarks.comparison.networks import Network, material
from benchmarks.comparison.scenarios import CAPACITY, SCENARIOS, Scenario, served_by
from benchmarks.load import runner
from benchmarks.load.plan import Plan
from benchmarks.peers import catalogue, floor
from benchmarks.peers.export import Material
from benchmarks.peers.target import Server, TargetError, running

_SETTLE = 1.0
# Windows of a scenario; the generators of a scenario have ranges of their own within it.
_WINDOWS = 200_000
_KEPT = (
    "sent",
    "answered",
    "in_time",
    "goodput",
    "answered_per_second",
    "outcomes",
    "reasons",
    "latency_ms",
    "sent_latency_ms",
    "histogram_ms",
)


def measure(
    length: Length,
    *,
    registry: Path,
    model: str,
    names: Sequence[str],
    source: Path = catalogue.ROOT,
) -> dict[str, Any]:
    """Runs all rounds and returns the raw results; a server that fails is left out of its network's figures.

    Args:
        length: How long.
        registry: Folder of the model registry.
        model: Name of the real model.
        names: Servers that take part.
        source: The checkout that tickserve is served from.

    Raises:
        model.errors.ModelError: There is no such model.
    """
    threads = max(1, (os.cpu_count() or 1) - 1)
    titles: dict[str, str] = {}
    networks: dict[str, list[dict[str, Any]]] = {}
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="comparison-") as folder:
        for network, rounds in length.rounds.items():
            if not rounds:
                continue
            place = Path(folder) / network
            place.mkdir()
            made = material(network, place, registry=registry, model=model)
            taking_part = [name for name in served_by(network) if name in names]
            networks[network] = []
            for index in range(rounds):
                results: dict[str, Any] = {}
                if network is Network.REAL:
                    results["floor"] = _floor(made, threads=threads, seconds=length.floor)
                # Every other round the other way round: a drift of the machine cancels out.
                for name in taking_part[:: -1 if index % 2 else 1]:
                    target = catalogue.target(name, made, threads=threads, source=source)
                    titles[name] = target.title
                    try:
                        with running(target) as server:
                            time.sleep(_SETTLE)
                            results[name] = _scenarios(server, network, made, length, seed=index)
                    except (TargetError, runner.LoadError) as error:
                        # Told in the report; the others' figures must not be lost for it.
                        failures.append(f"{name}, {network} network, round {index + 1}: {_last_line(error)}")
                        _tell(failures[-1])
                        continue
                    _tell(f"{network} network, round {index + 1} of {rounds}, {name} done")
                networks[network].append(results)
    return {
        "networks": networks,
        "titles": titles,
        "failures": failures,
        "settings": {
            "rounds": {str(network): rounds for network, rounds in length.rounds.items()},
            "warm_up": length.warm_up,
            "duration": length.duration,
            "threads": threads,
            "cores": os.cpu_count() or 1,
            "left_out": sorted(length.left_out),
        },
    }


def _floor(made: Material, *, threads: int, seconds: float) -> dict[str, Any]:
    """Returns the bare engine's figures by batch size: with the threads that servers may use, and with all cores."""
    cores = os.cpu_count() or 1
    document: dict[str, Any] = {"cores": cores, "sizes": {}}
    counts = sorted({threads, cores})
    for count in counts:
        measured = floor.measure(made, threads=count, seconds=seconds / len(counts))
        document.setdefault("engine", measured["engine"])
        words = f"{count} thread{'s' if count > 1 else ''}"
        document["sizes"] |= {f"{size}, {words}": figures for size, figures in measured["sizes"].items()}
    return document


def _scenarios(server: Server, network: Network, made: Material, length: Length, *, seed: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    mine = [
        each
        for each in SCENARIOS
        if each.network is network and server.target.name in each.servers and each.name not in length.left_out
    ]
    for place, scenario in enumerate(mine):
        capacity = results.get(CAPACITY, {}).get("traffic", {}).get("calls", {}).get("answered_per_second", 0.0)
        plans = _plans(server, scenario, made, length, capacity=capacity, place=place, seed=seed)
        results[scenario.name] = _document(runner.run(plans, watch={"server": server.pid}))
    return results


def _plans(
    server: Server, scenario: Scenario, made: Material, length: Length, *, capacity: float, place: int, seed: int
) -> list[Plan]:
    loads = scenario.loads(capacity)
    return [
        Plan(
            target=server.target.address,
            traffic=(load.traffic,),
            warm_up=length.warm_up,
            duration=scenario.stretch * length.duration,
            windows=str(made.windows),
            first_window=place * _WINDOWS + number * (_WINDOWS // len(loads)),
            feature_schema=made.feature_schema,
            model=made.model,
            speech="inference" if server.target.name == catalogue.TRITON else "tickserve",
            seed=seed,
            niceness=load.niceness,
        )
        for number, load in enumerate(loads)
    ]


def _document(run: runner.LoadRun) -> dict[str, Any]:
    figures = {name: each for result in run.results for name, each in result["traffic"].items()}
    return {
        "traffic": {name: {key: each[key] for key in _KEPT} for name, each in figures.items()},
        "server_cpu": run.server_cpu["server"],
        "client_cpu": run.client_cpu,
        "foreign_cpu": run.foreign_cpu,
        "stolen_cpu": run.stolen_cpu,
    }


def _last_line(error: Exception) -> str:
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def _tell(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
