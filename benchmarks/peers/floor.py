"""The bare engine: batches of one size, one after another, nothing else. A process of its own, as the replica is.

`python -m benchmarks.serving.floor REGISTRY NAME THREADS WINDOWS.npy SECONDS` prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from model.engine import create_engine
from model.registry import Registry

# As large as the scheduler's batches get, and half of it: large batches leave the caches.
_SIZES = (1, 16, 32, 64)
# Ray's own for its workers, stock's and ours alike: whatever else runs on the machine must slow the floor as much.
_NICENESS = 15


def main(registry: str, name: str, threads: str, windows: str, seconds: str) -> int:
    """Measures every size for an even part of the time."""
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
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
