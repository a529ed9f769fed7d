"""One version's golden set and engines in a cache. Owns what each depends on; builds neither."""

import logging
import platform

import torch

from model.build_identity import build_identity
from model.compiled_cache import ArtifactKey, CompiledCache
from model.engine import Engine, StorableEngine, restore_engine
from model.engine_plan import STORED_KINDS, EnginePlan
from model.errors import EngineError
from model.golden_set import GoldenSet
from model.verified_version import VerifiedVersion

logger = logging.getLogger("tickserve")


class VersionArtifacts:
    """What a cache holds of one version.

    Args:
        cache: None keeps and finds nothing.
        verified: The version.
    """

    def __init__(self, cache: CompiledCache | None, verified: VerifiedVersion) -> None:
        self._cache = cache
        self._verified = verified

    def golden(self) -> GoldenSet | None:
        """The golden set, if it is there and sound."""
        key = self._golden_key()
        if self._cache is None or (files := self._cache.read(key)) is None:
            return None
        try:
            return GoldenSet.from_files(files)
        except EngineError as error:
            self._discard(key, error)
            return None

    def engine(self, plan: EnginePlan) -> StorableEngine | None:
        """The engine that `plan` describes, if it is there and sound."""
        if self._cache is None or plan.kind not in STORED_KINDS:
            return None
        key = self._engine_key(plan)
        if (files := self._cache.read(key)) is None:
            return None
        try:
            return restore_engine(plan, self._verified.shape, files)
        except EngineError as error:
            self._discard(key, error)
            return None

    def keep_golden(self, golden: GoldenSet) -> None:
        """Keeps a golden set."""
        if self._cache is not None:
            self._cache.write(self._golden_key(), golden.to_files())

    def keep_engine(self, plan: EnginePlan, engine: Engine) -> None:
        """Keeps an engine, if it is of a kind that can be."""
        if self._cache is not None and plan.kind in STORED_KINDS and isinstance(engine, StorableEngine):
            self._cache.write(self._engine_key(plan), engine.to_files())

    def keep_all_of(self, cache: CompiledCache, plan: EnginePlan) -> None:
        """Keeps what another cache has of this version for `plan`."""
        if self._cache is None:
            return
        keys = [self._golden_key()] + ([self._engine_key(plan)] if plan.kind in STORED_KINDS else [])
        for key in keys:
            if (files := cache.read(key)) is not None:
                self._cache.write(key, files)

    def _golden_key(self) -> ArtifactKey:
        windows = f"windows {self._verified.golden_sha256 or 'bundled'}"
        return self._key("golden", windows)

    def _engine_key(self, plan: EnginePlan) -> ArtifactKey:
        if plan.kind == "openvino":
            from model.openvino_engine import cpu_identity

            # OpenVINO's own cache, too, takes the threads for a part of what it compiled.
            return self._key(f"openvino-{plan.precision}", f"{plan.threads} threads", cpu_identity())
        capability = torch.backends.cpu.get_cpu_capability()
        return self._key(f"{plan.kind}-{plan.precision}", platform.machine(), capability)

    def _key(self, kind: str, *details: str) -> ArtifactKey:
        # The config as well as the weights: their sum was verified before anything was kept of it.
        config = f"config {self._verified.config_sha256}"
        return ArtifactKey(self._verified.sha256, kind, (build_identity(), config, *details))

    def _discard(self, key: ArtifactKey, error: EngineError) -> None:
        logger.warning("compiled %s of %s is of no use and is made again: %s", key.kind, self._verified.folder, error)
        if self._cache is not None:
            self._cache.discard(key)
