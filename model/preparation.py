"""Everything that needs the Python network: its answers to the golden windows, and what engines are made of.

    python -m model.preparation --registry R --name N --cache C [--version V] [--engine K] [--precision P] [--threads T]

does it in a process of its own, and so fills a cache before a service starts, or beside one: tracing and converting
hold the GIL for up to a tenth of a second at a stretch. Prints one line of JSON (`preparation_result`) on stdout.
"""

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from model.compiled_cache import CompiledCache
from model.engine import Engine, EngineKind, PrecisionChoice, build_engine
from model.engine_plan import STORED_KINDS, EngineChoice, EnginePlan, plan_engines
from model.errors import ModelError
from model.golden_set import GoldenSet, golden_windows
from model.network import HybridNetwork
from model.preparation_result import result_line
from model.registry import Registry
from model.verified_version import VerifiedVersion
from model.version_artifacts import VersionArtifacts

_STDOUT, _STDERR = 1, 2
_ORPHAN_CHECK_INTERVAL = 1.0  # seconds


def prepare(
    registry: Registry, verified: VerifiedVersion, plan: EnginePlan, artifacts: VersionArtifacts
) -> tuple[Engine, GoldenSet]:
    """Find the version's engine and golden set among its artifacts, or make and keep them; here, in this thread.

    Raises:
        ModelLoadError: The version is refused.
        QualityGateError: There are no real windows to hold an engine to.
        EngineError: The engine cannot be built.
    """
    golden, engine = artifacts.golden(), artifacts.engine(plan)
    if golden is not None and engine is not None:
        return engine, golden
    windows = golden_windows(verified)  # first: no use in compiling what cannot be checked
    network = verified.load(registry).network
    golden = golden or _make_golden(network, windows, artifacts)
    if engine is not None:
        return engine, golden
    built = build_engine(plan, network)
    artifacts.keep_engine(plan, built)
    return built, golden


def fill(registry: Registry, verified: VerifiedVersion, plan: EnginePlan, artifacts: VersionArtifacts) -> None:
    """Make and keep what `prepare` would find: the golden set, and the engine if it is of a kind that can be kept.

    Raises:
        As `prepare`.
    """
    if plan.kind in STORED_KINDS:
        prepare(registry, verified, plan, artifacts)
    elif artifacts.golden() is None:
        windows = golden_windows(verified)
        _make_golden(verified.load(registry).network, windows, artifacts)


def _make_golden(network: HybridNetwork, windows: NDArray[np.float32], artifacts: VersionArtifacts) -> GoldenSet:
    golden = GoldenSet.from_network(network, windows)
    artifacts.keep_golden(golden)
    return golden


def main(arguments: list[str] | None = None) -> int:
    """Prepares one version for the first engine that the arguments ask for; returns the exit code."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    if options.parent:
        threading.Thread(target=_end_with, args=(options.parent,), daemon=True).start()
    registry = Registry(options.registry)
    folder = registry.path / options.name / str(options.version or "latest")
    error: Exception | None = None
    with _stdout_for_the_result_alone():
        try:
            plan = plan_engines(EngineChoice(options.engine, options.precision, options.threads))[0]
            verified = VerifiedVersion.read(registry, options.name, options.version)
            fill(registry, verified, plan, VersionArtifacts(CompiledCache(options.cache), verified))
        except ModelError as failure:
            error = failure
        except Exception as failure:  # whoever waits must hear of it, whatever it is
            logging.getLogger("tickserve").exception("%s cannot be prepared", folder)
            error = failure
    os.write(_STDOUT, (result_line(error, folder) + "\n").encode())
    return 0 if error is None else 1


@contextmanager
def _stdout_for_the_result_alone() -> Iterator[None]:
    """Sends to stderr whatever a library prints meanwhile, from Python or not."""
    kept = os.dup(_STDOUT)
    os.dup2(_STDERR, _STDOUT)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, _STDOUT)
        os.close(kept)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m model.preparation", description="Compile a version into a cache.")
    parser.add_argument("--registry", type=Path, required=True, help="folder of the model registry")
    parser.add_argument("--name", required=True, help="name of the model")
    parser.add_argument("--version", type=int, help="version; default: the latest")
    parser.add_argument("--cache", type=Path, required=True, help="folder of compiled models")
    parser.add_argument("--engine", choices=get_args(EngineKind), default="auto")
    parser.add_argument("--precision", choices=get_args(PrecisionChoice), default="auto")
    parser.add_argument("--threads", type=int, default=1, help="threads of one engine call")
    parser.add_argument("--parent", type=int, help="end when this process, which started this one, has ended")
    return parser.parse_args(arguments)


def _end_with(parent: int) -> None:
    """Ends this process soon after its parent: nobody waits for what it makes any more."""
    while os.getppid() == parent:
        time.sleep(_ORPHAN_CHECK_INTERVAL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
