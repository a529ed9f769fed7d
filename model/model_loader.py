"""From a version on disk to an engine that may serve it. Owns the order of the steps; each step is somebody else's.

Verify the weights' hash; find or make engine and golden set; hold the engine to the golden set; warm it up.
"""

import logging
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model.compiled_cache import CompiledCache
from model.engine import Engine, build_engine, time_warm_up
from model.engine_plan import STORED_KINDS, EngineChoice, EnginePlan, plan_engines
from model.errors import ModelLoadError, QualityGateError
from model.golden_set import GoldenSet
from model.memory_estimate import estimate_memory
from model.model_config import ModelConfig
from model.pace import FULL_PACE, Pace, run_beside
from model.preparation import prepare
from model.preparation_process import PreparationProcess
from model.quality_gate import GateReport, check_engine
from model.registry import Registry
from model.verified_version import VerifiedVersion
from model.version_artifacts import VersionArtifacts

logger = logging.getLogger("tickserve")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PreparedModel:
    """A version that may serve.

    Attributes:
        name: Name in the registry.
        version: Number, >= 1.
        sha256: Of the weights.
        config: The version's configuration.
        engine: Warm, and held to the eager network's answers.
        warm_up: Seconds that a batch takes, by batch size; of CPU, where it ran beside the service at low priority.
        gate: How close the engine's answers are.
        memory_bytes: About what the version holds in memory.
        load_seconds: What loading took.
    """

    name: str
    version: int
    sha256: str
    config: ModelConfig
    engine: Engine
    warm_up: Mapping[int, float]
    gate: GateReport
    memory_bytes: int
    load_seconds: float


class ModelLoader:
    """Loads versions of one registry. Safe between threads; holds no version.

    Args:
        registry: Where versions lie.
        cache: Where what is compiled is kept; None compiles each time.
        preparation: How to prepare beside the service.
    """

    def __init__(
        self, registry: Registry, cache: CompiledCache | None, *, preparation: PreparationProcess | None = None
    ) -> None:
        self._registry = registry
        self._cache = cache
        self._preparation = preparation or PreparationProcess()

    def load(
        self,
        name: str,
        version: int | Literal["latest"] | None = None,
        choice: EngineChoice | None = None,
        *,
        warm_up_sizes: tuple[int, ...],
        beside_service: bool,
    ) -> PreparedModel:
        """Load one version; blocks for seconds.

        Args:
            name: Name in the registry.
            version: Number; None and "latest" stand for the highest.
            choice: The engine to load it on; None is "auto" for all.
            warm_up_sizes: Batch sizes to run before it serves, ascending.
            beside_service: Whether this process serves meanwhile: then what holds the GIL is done in a child process,
                and what computes leaves the serving version its turn.

        Raises:
            ModelNotFoundError: No such name or version.
            ModelLoadError: The version is refused; or its preparation was killed, or took too long.
            QualityGateError: Its answers on this engine are wrong, or it cannot be held to any.
            EngineError: The engine cannot be had here.
        """
        begun = time.perf_counter()
        plans = plan_engines(choice or EngineChoice())
        verified = VerifiedVersion.read(self._registry, name, version)
        engine, gate, warm_up = self._first_that_passes(verified, plans, warm_up_sizes, beside_service)
        seconds = time.perf_counter() - begun
        logger.info("loaded %s in %.1f s on %s; %s", verified.folder, seconds, engine.info, gate)
        return PreparedModel(
            name=verified.name,
            version=verified.version,
            sha256=verified.sha256,
            config=verified.config,
            engine=engine,
            warm_up=warm_up,
            gate=gate,
            memory_bytes=estimate_memory(verified, engine.info, max(warm_up_sizes, default=1)),
            load_seconds=seconds,
        )

    def _first_that_passes(
        self, verified: VerifiedVersion, plans: tuple[EnginePlan, ...], sizes: tuple[int, ...], beside_service: bool
    ) -> tuple[Engine, GateReport, Mapping[int, float]]:
        artifacts = VersionArtifacts(self._cache, verified)
        for index, plan in enumerate(plans):
            if beside_service:
                engine, golden = self._prepare_beside(verified, plan, artifacts)
            else:
                engine, golden = prepare(self._registry, verified, plan, artifacts)
            try:
                return engine, *_check_and_warm_up(engine, golden, verified, sizes, beside_service)
            except QualityGateError as error:
                # A fault that no engine can mend, or the last engine there is to try.
                if not error.engine or index + 1 == len(plans):
                    raise
                logger.warning("%s; %s %s is tried instead", error, plans[index + 1].kind, plans[index + 1].precision)
        raise AssertionError("no engine was planned")

    def _prepare_beside(
        self, verified: VerifiedVersion, plan: EnginePlan, artifacts: VersionArtifacts
    ) -> tuple[Engine, GoldenSet]:
        golden, engine = artifacts.golden(), artifacts.engine(plan)
        if golden is None or (engine is None and plan.kind in STORED_KINDS):
            # Not straight into the cache, whose disk may be full or for reading only.
            with _temporary_cache(verified.folder) as folder:
                cache = CompiledCache(folder)
                self._preparation.run(self._registry, verified, plan, cache.path)
                made = VersionArtifacts(cache, verified)
                golden, engine = made.golden(), made.engine(plan)
                artifacts.keep_all_of(cache, plan)
        if golden is None or (engine is None and plan.kind in STORED_KINDS):
            reason = "its preparation made nothing that this process can use: its code is another's"
            raise ModelLoadError(verified.folder, reason, "restart the service, whose code was replaced under it")
        return engine or build_engine(plan, verified.load(self._registry).network), golden


def _temporary_cache(folder: Path) -> "tempfile.TemporaryDirectory[str]":
    try:
        return tempfile.TemporaryDirectory(prefix="tickserve-", ignore_cleanup_errors=True)  # of mode 0700
    except OSError as error:
        reason = f"there is no folder to prepare it in: {error.strerror}"
        raise ModelLoadError(folder, reason, "set TMPDIR to a folder that can be written") from error


def _check_and_warm_up(
    engine: Engine, golden: GoldenSet, verified: VerifiedVersion, sizes: tuple[int, ...], beside_service: bool
) -> tuple[GateReport, Mapping[int, float]]:
    def work(pace: Pace) -> tuple[GateReport, Mapping[int, float]]:
        report = check_engine(engine, golden, verified.folder, pace.pause)
        if pace is FULL_PACE:
            return report, engine.warm_up(sizes)
        return report, time_warm_up(engine, verified.shape, sizes, clock=pace.clock, pause=pace.pause)

    if not beside_service:
        return work(FULL_PACE)
    info = engine.info
    return run_beside(work, single_threaded=info.device == "cpu" and info.threads == 1)
