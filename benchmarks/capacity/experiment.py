"""All parts, one after the other: each has its own servers, and nothing else runs beside it."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.capacity import live, redis_costs, small, wire
from benchmarks.capacity.length import Length
from benchmarks.capacity.stage import small_material
from benchmarks.peers.export import prepare


class MissingToolError(RuntimeError):
    """Something that the run needs is not installed; the message says what."""


def measure(length: Length, *, registry: Path, model: str) -> dict[str, Any]:
    """Returns the raw results.

    Args:
        length: How long.
        registry: Folder of the model registry with the real network.
        model: Its name.

    Raises:
        MissingToolError: `ss` is not installed.
        model.errors.ModelError: There is no such model.
        benchmarks.peers.target.TargetError: A server did not start.
        benchmarks.load.runner.LoadError: A generator failed.
    """
    if not wire.is_there():
        raise MissingToolError("ss is not installed; install iproute2")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="capacity-") as name:
        folder = Path(name)
        tiny = small_material(folder)
        (folder / "real").mkdir()
        real = prepare(folder / "real", registry=registry, name=model)
        raw = {
            "settings": dataclasses.asdict(length),
            "small": small.rounds(length, tiny),
            "redis": redis_costs.measure(length, tiny, folder),
            "costs": live.costs(length, real),
            "live": live.two_replicas(length, real),
        }
    return raw | {"elapsed": time.monotonic() - began}
