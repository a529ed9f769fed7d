"""``python -m benchmarks.threads``: print engine times by threads, beside a process that keeps one core busy.

Each row is a process of its own, since OpenMP reads its wait policy when it is loaded.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

from model.engine import EngineKind, create_engine
from model.registry import Registry

_SIZES = (1, 8, 64)
_ROWS: tuple[tuple[EngineKind, int, str], ...] = (
    ("torchscript", 1, "default"),
    ("torchscript", 2, "default"),
    ("torchscript", 2, "PASSIVE"),
    ("openvino", 1, "default"),
    ("openvino", 2, "default"),
)


def main() -> None:
    """Measure every row, or the one that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=__doc__)
    parser.add_argument("--registry", default="registry", help="folder of the model registry")
    parser.add_argument("--seconds", type=float, default=2.5, help="length of each measurement")
    parser.add_argument("--row", type=int, help="measure this row alone, in this process")
    options = parser.parse_args()
    if options.row is not None:
        engine, threads, _ = _ROWS[options.row]
        sys.stdout.write(_measure(options.registry, engine, threads, options.seconds) + "\n")
        return
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        sys.stdout.write("p50 / p99 in ms beside a busy core, for " + ", ".join(map(str, _SIZES)) + " windows\n")
        for index, (engine, threads, policy) in enumerate(_ROWS):
            sys.stdout.write(f"{engine}, {threads} threads, OMP_WAIT_POLICY {policy}: ")
            sys.stdout.flush()
            command = [sys.executable, "-m", "benchmarks.threads", "--row", str(index)]
            command += ["--registry", options.registry, "--seconds", str(options.seconds)]
            policies = {"OMP_WAIT_POLICY": policy} if policy == "PASSIVE" else {}
            subprocess.run(command, env=os.environ | policies, check=True)
    finally:
        busy.kill()
        busy.wait()


def _measure(registry: str, kind: EngineKind, threads: int, seconds: float) -> str:
    engine = create_engine(Registry(registry).load("cnn_lstm"), kind=kind, threads=threads)
    engine.warm_up(_SIZES)
    figures = []
    for size in _SIZES:
        windows = np.random.default_rng(0).standard_normal((size, 50, 60), dtype=np.float32)
        times = []
        end = time.perf_counter() + seconds
        while (begun := time.perf_counter()) < end:
            engine.run(windows)
            times.append(1e3 * (time.perf_counter() - begun))
        figures.append(f"{np.percentile(times, 50):.1f} / {np.percentile(times, 99):.1f}")
    return ", ".join(figures)


if __name__ == "__main__":
    main()
