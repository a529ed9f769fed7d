"""A server with so many replicas, as shipped, for the time of a context."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.load.plan import Plan, Traffic
from benchmarks.peers import catalogue
from benchmarks.peers.export import Material, prepare
from benchmarks.peers.target import Server, TargetError, running
from tests.support.registry import NAME, make_registry

# The cluster settles after its start: what Ray does then must not be taken for a cost of serving.
_SETTLE = 3.0
_THREADS = 1
# A deadline that nothing misses: what is asked for is what answers cost.
PATIENCE = 10.0


def small_material(folder: Path) -> Material:
    """Makes a registry with the tests' narrow network, whose batches take a fraction of a millisecond."""
    inside = folder / "small"
    inside.mkdir()
    return prepare(inside, registry=make_registry(inside / "registry", versions=1), name=NAME)


@contextlib.contextmanager
def serving(material: Material, *, replicas: int, **variables: str) -> Iterator[Server]:
    """Runs tickserve with so many replicas of one engine thread each while the context is entered.

    Args:
        material: What it serves.
        replicas: How many; they share the machine.
        **variables: More of its environment.

    Raises:
        benchmarks.peers.target.TargetError: It did not start, twice.
    """
    target = catalogue.target(catalogue.AS_SHIPPED, material, threads=_THREADS)
    ours = {"TICKSERVE_REPLICAS": str(replicas)}
    if replicas > 1 and "TICKSERVE_WINDOWS__STORE" not in variables:
        ours["TICKSERVE_WINDOWS__ALLOW_SPLIT"] = "true"  # streams are not moved, nobody predicts by symbol
    target = dataclasses.replace(target, environment={**target.environment, **ours, **variables})
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running(target))
        except TargetError:
            # Ray gives up after a time of its own where the machine is busy, and the run has taken minutes so far.
            tell("the server did not start; once more")
            server = stack.enter_context(running(target))
        time.sleep(_SETTLE)
        yield server


def plan(
    server: Server,
    material: Material,
    traffic: tuple[Traffic, ...],
    *,
    warm_up: float,
    duration: float,
    first_window: int,
    seed: int = 0,
) -> Plan:
    """Returns the plan of one generator."""
    return Plan(
        target=server.target.address,
        traffic=traffic,
        warm_up=warm_up,
        duration=duration,
        windows=str(material.windows),
        first_window=first_window,
        feature_schema=material.feature_schema,
        model=material.model,
        seed=seed,
    )


def tell(line: str) -> None:
    """Says on standard error how far the run is."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
