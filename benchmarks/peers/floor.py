"""The bare engine: batches of one size, one after another, nothing else. A process of its own, as the replica is.

`python -m benchmarks.peers.floor REGISTRY NAME THREADS WINDOWS.npy SECONDS` prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.export import Material
from model.engine import create_engine
from model.registry import Registry

# As large as the scheduler's batches get, and half of it: large batches leave the caches.
_SIZES = (1, 16, 32, 64)
# Beyond the measuring itself: import, load, compile.
_PREPARATION = 120


def measure(material: Material, *, threads: int, seconds: float) -> dict[str, Any]:
    """Returns the figures of every batch size, measured in a process of its own.

    Args:
        material: What is computed.
        threads: Of one engine call.
        seconds: For all sizes together.
    """
    command = [sys.executable, "-m", "benchmarks.peers.floor", str(material.registry), material.model.name]
    command += [str(threads), str(material.windows), str(seconds)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + _PREPARATION)
    document: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return document


def main(registry: str, name: str, threads: str, windows: str, seconds: str) -> int:
    """Measures every size for an even part of the time."""
    engine = create_engine(Registry(registry).load(name), threads=int(threads))
    engine.warm_up(_SIZES)
    material = np.load(Path(windows))
    figures = {}
    for size in _SIZES:
        batches = [
            np.ascontiguousarray(material[first : first + size]) for first in range(0, len(material) - size, size)
        ]
        durations: list[float] = []
        began, used = time.monotonic(), time.process_time()
        while (now := time.monotonic()) < began + float(seconds) / len(_SIZES):
            engine.run(batches[len(durations) % len(batches)])
            durations.append(time.monotonic() - now)
        count = size * len(durations)
        figures[str(size)] = {
            "per_second": count / (time.monotonic() - began),
            "p50_ms": 1e3 * sorted(durations)[len(durations) // 2],
            "cpu_seconds_per_window": (time.process_time() - used) / count,
        }
    info = engine.info
    document = {"engine": f"{info.name} {info.precision}, {info.threads} threads", "sizes": figures}
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
