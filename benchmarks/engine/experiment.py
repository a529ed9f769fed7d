"""Runs the measurement: interleaved rounds over every engine, batch size and thread count, in one process.

Within a round the engines of one batch size and thread count follow each other within a second, in another order each
round: what drifts on the machine drifts for all of them, and a ratio is taken between neighbours. A bare matrix
product in each precision runs among them: what this core can do at its best, under the same disturbances.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.engine import operations
from benchmarks.engine.subjects import BASE, PRECISIONS, SIZES, SUBJECTS, THREADS, Subject, cell, product
from benchmarks.load.cpu import machine_seconds
from model.engine import Engine, Precision, create_engine
from model.errors import EngineError
from model.registry import LoadedModel, Registry
from model.torchscript_engine import example_windows

# Large enough to be bound by arithmetic, small enough to be done in a few milliseconds.
_PRODUCT_WIDTH = 768
_PRODUCT_OPERATIONS = 2 * _PRODUCT_WIDTH**3
_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}

Call = Callable[[], object]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a run takes.

    Attributes:
        rounds: Over everything.
        seconds: Of each measurement within a round, at least.
        calls: Of each measurement, at least.
    """

    rounds: int
    seconds: float
    calls: int


# 20 x 5 calls: so many that a p99 is more than the maximum's other name, even of the largest batches.
FULL = Length(rounds=20, seconds=0.1, calls=5)
QUICK = Length(rounds=3, seconds=0.04, calls=1)


def measure(
    length: Length,
    *,
    registry: Path,
    model: str,
    subjects: Sequence[Subject] = SUBJECTS,
    sizes: Sequence[int] = SIZES,
    threads: Sequence[int] = THREADS,
) -> dict[str, Any]:
    """Builds every engine, warms it up, runs all rounds and returns the raw results.

    Args:
        length: How long.
        registry: Folder of the model registry.
        model: Name of the model, its latest version.
        subjects: Engines; one that cannot compute here is left out, and the results say why. The base must be there.
        sizes: Of batches.
        threads: Thread counts.

    Raises:
        model.errors.ModelError: There is no such model, or the base cannot compute.
    """
    loaded = Registry(registry).load(model)
    engines, missing = _build(loaded, subjects, sizes, threads)
    names = list(dict.fromkeys(name for name, _ in engines))
    windows = example_windows(loaded.network, max(sizes))
    started, busy, own = time.monotonic(), machine_seconds()[0], time.process_time()
    rounds = []
    for index in range(length.rounds):
        durations: dict[str, list[float]] = {}
        for count in threads:
            for precision in PRECISIONS:
                call = _product_call(precision, count)
                durations[cell(product(precision), 1, count)] = _time(call, length)
            for size in sizes:
                batch = windows[:size]  # of the first axis: contiguous as it is
                for name in _rotated(names, index):
                    durations[cell(name, size, count)] = _time(partial(engines[name, count].run, batch), length)
        rounds.append(durations)
        _tell(f"round {index + 1} of {length.rounds}: {time.monotonic() - started:.0f} s")
    elapsed = time.monotonic() - started
    foreign = machine_seconds()[0] - busy - (time.process_time() - own)
    return {
        "rounds": rounds,
        "engines": {
            name: next(engine.info.reason for (key, _), engine in engines.items() if key == name) for name in names
        },
        "missing": missing,
        "settings": dataclasses.asdict(length) | {"sizes": list(sizes), "threads": list(threads), "model": model},
        "operations": {
            "as_written": operations.as_written(loaded.config.network),
            "as_folded": operations.as_folded(loaded.config.network),
            "product": _PRODUCT_OPERATIONS,
        },
        "elapsed": elapsed,
        "foreign_share": max(0.0, foreign) / (elapsed * (os.cpu_count() or 1)),
    }


def _build(
    loaded: LoadedModel, subjects: Sequence[Subject], sizes: Sequence[int], threads: Sequence[int]
) -> tuple[dict[tuple[str, int], Engine], dict[str, str]]:
    """Returns the warm engines by name and threads, and why others are missing."""
    engines: dict[tuple[str, int], Engine] = {}
    missing = {}
    for subject in subjects:
        try:
            for count in threads:
                engine = create_engine(loaded, subject.kind, subject.precision, count)
                engine.warm_up(tuple(sizes))
                engines[subject.name, count] = engine
        except EngineError as error:
            if subject == BASE:
                raise
            missing[subject.name] = str(error)
        _tell(f"{subject.name}: {missing.get(subject.name, 'built')}")
    return engines, missing


def _product_call(precision: Precision, threads: int) -> Call:
    matrix = torch.ones(_PRODUCT_WIDTH, _PRODUCT_WIDTH, dtype=_DTYPES[precision])

    def call() -> object:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            return matrix @ matrix

    return call


def _time(call: Call, length: Length) -> list[float]:
    """Returns the seconds of each of enough calls, after one that is not counted: others used the caches before."""
    call()
    durations: list[float] = []
    end = time.perf_counter() + length.seconds
    while (began := time.perf_counter()) < end or len(durations) < length.calls:
        call()
        durations.append(time.perf_counter() - began)
    return durations


def _rotated(names: Sequence[str], index: int) -> list[str]:
    first = index % len(names)
    return [*names[first:], *names[:first]]


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
