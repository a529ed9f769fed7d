"""Where versions come from: the registry on disk, made into what answers. Its methods block; knows no event loop."""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable
from pathlib import Path
from typing import Protocol

import numpy as np

from model.compiled_cache import CompiledCache
from model.engine_plan import EngineChoice
from model.golden_file import GOLDEN_FILE
from model.model_loader import ModelLoader
from model.registry import Registry
from model.version_folder import CONFIG_FILE, WEIGHTS_FILE
from server.config.live_settings import LiveSettings
from server.models.loaded_versions import Key
from server.models.served_model import ServedModel

logger = logging.getLogger("tickserve")

# Batch sizes run before a version answers: engines pay once more for every new shape.
_WARM_UP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class VersionSource(Protocol):
    """Where versions come from."""

    def resolve(self, name: str, version: int | None) -> int:
        """Returns a version that exists; None stands for the latest.

        Raises:
            ModelError: There is none; or it is there and not as it should be.
        """
        ...

    def versions(self, name: str) -> tuple[int, ...]:
        """Returns the versions of a model, ascending; none if it is unknown.

        Raises:
            ModelError: The model's folder cannot be read.
        """
        ...

    def identity(self, key: Key) -> Hashable:
        """Returns what changes when the version's files do; None while it is not complete. Reads none of them."""
        ...

    def load(self, key: Key, *, beside_service: bool) -> ServedModel:
        """Loads one version and warms it up; beside the service, with regard for it.

        Raises:
            ModelError: It is missing or damaged, or its answers are wrong; names the file, the reason and the remedy.
        """
        ...


class RegistrySource:
    """The registry's versions, on the engine that the settings ask for.

    Args:
        registry: Where versions lie.
        live: Engine, precision, threads, and where compiled models are kept.
    """

    def __init__(self, registry: Registry, live: LiveSettings) -> None:
        self._registry = registry
        self._live = live
        folder = live.current.models.compiled_cache
        cache = CompiledCache(folder.expanduser()) if folder is not None else None
        self._loader = ModelLoader(registry, cache)

    def resolve(self, name: str, version: int | None) -> int:
        """See `VersionSource`."""
        return self._registry.resolve(name, version)

    def versions(self, name: str) -> tuple[int, ...]:
        """See `VersionSource`."""
        return self._registry.versions(name)

    def identity(self, key: Key) -> Hashable:
        """See `VersionSource`."""
        folder = self._registry.path / key[0] / str(key[1])
        weights, config, golden = (_identity(folder / name) for name in (WEIGHTS_FILE, CONFIG_FILE, GOLDEN_FILE))
        return (weights, config, golden) if weights and config else None

    def load(self, key: Key, *, beside_service: bool) -> ServedModel:
        """See `VersionSource`."""
        settings = self._live.current
        choice = EngineChoice(
            kind=settings.engine_kind(), precision=settings.precision, threads=settings.effective_engine_threads()
        )
        sizes = tuple(size for size in _WARM_UP_SIZES if size <= settings.scheduler.max_batch_size)
        prepared = self._loader.load(*key, choice, warm_up_sizes=sizes, beside_service=beside_service)
        config = prepared.config
        if config.feature_range is not None:
            lower = np.asarray(config.feature_range.lower, np.float32)[:, None]
            upper = np.asarray(config.feature_range.upper, np.float32)[:, None]
        else:
            # A version from before the range was recorded: what its normalisation would clip is unusual.
            normalisation = config.feature_normalisation
            mean = np.asarray(normalisation.mean, np.float32)[:, None]
            clip = np.float32(normalisation.clip or np.inf)
            reach = np.asarray(normalisation.standard_deviation, np.float32)[:, None] * clip
            lower, upper = mean - reach, mean + reach
        logger.info("loaded model %s version %d in %.2f s: %s", *key, prepared.load_seconds, prepared.engine.info)
        return ServedModel(
            name=prepared.name,
            version=prepared.version,
            sha256=prepared.sha256,
            config=config,
            engine=prepared.engine,
            warm_up=prepared.warm_up,
            lower=lower,
            upper=upper,
            memory_bytes=prepared.memory_bytes,
        )


def _identity(path: Path) -> tuple[int, int, int] | None:
    """Inode, size and time of the last change; None where there is no file to look at.

    Not the device: a registry that was mounted again holds the same files.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
