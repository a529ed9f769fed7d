"""Where versions come from: the registry on disk, made into what answers. Its methods block; knows no event loop."""

from __future__ import annotations

import logging
from typing import Protocol

import numpy as np

from model.engine import create_engine
from model.registry import Registry
from server.live_settings import LiveSettings
from server.loaded_versions import Key
from server.served_model import ServedModel

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
        """Returns the versions of a model, ascending; none if it is unknown."""
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

    def resolve(self, name: str, version: int | None) -> int:
        """See `VersionSource`."""
        return self._registry.resolve(name, version)

    def versions(self, name: str) -> tuple[int, ...]:
        """See `VersionSource`."""
        return self._registry.versions(name)

    def load(self, key: Key, *, beside_service: bool) -> ServedModel:
        """See `VersionSource`."""
        del beside_service
        settings = self._live.current
        loaded = self._registry.load(*key)
        engine = create_engine(
            loaded,
            kind=settings.engine_kind(),
            precision=settings.precision,
            threads=settings.effective_engine_threads(),
        )
        sizes = tuple(size for size in _WARM_UP_SIZES if size <= settings.scheduler.max_batch_size)
        config = loaded.config
        normalisation = config.feature_normalisation
        mean = np.asarray(normalisation.mean, np.float32)[:, None]
        clip = np.float32(normalisation.clip or np.inf)
        reach = np.asarray(normalisation.standard_deviation, np.float32)[:, None] * clip
        lower, upper = mean - reach, mean + reach
        warm_up = engine.warm_up(sizes)
        logger.info("loaded model %s version %d: %s", *key, engine.info)
        return ServedModel(
            name=loaded.name,
            version=loaded.version,
            sha256=loaded.sha256,
            config=config,
            engine=engine,
            warm_up=warm_up,
            lower=lower,
            upper=upper,
        )
