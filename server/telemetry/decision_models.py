"""The versions that a replay derives answers with, from the registry, each verified by its hash."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from model.engine import create_engine
from model.errors import EngineError, ModelError, ModelNotFoundError
from model.registry import LoadedModel, Registry
from server.telemetry.decision_replay import CannotDeriveError, Deriver

logger = logging.getLogger("tickserve")

# Versions with their engines, each some 30 MB: a log seldom goes back and forth between more.
_MOST = 4

_Key = tuple[str, int, str, str, str]


class DecisionModels:
    """Versions by name, number and hash, on the engine that answered or, for want of it, on the eager network.

    Args:
        registry: Where they lie.
        is_eager: Whether to derive everything on the eager network, whatever answered.
    """

    def __init__(self, registry: Registry, *, is_eager: bool = False) -> None:
        self._registry = registry
        self._is_eager = is_eager
        self._known: dict[_Key, Deriver | CannotDeriveError] = {}

    def get(self, model: dict[str, Any], engine: dict[str, Any]) -> Deriver:
        """See `decision_replay.DeriverSource`.

        Raises:
            CannotDeriveError: The version is not in the registry, or is another one there.
        """
        kind = "eager" if self._is_eager else str(engine["name"])
        key = (str(model["name"]), int(model["version"]), str(model["sha256"]), kind, str(engine["precision"]))
        found = self._known.pop(key, None)
        if found is None:
            try:
                found = self._load(key)
            except CannotDeriveError as error:
                found = error  # remembered: a registry is not read again for each record
        self._known[key] = found
        while len(self._known) > _MOST:
            self._known.pop(next(iter(self._known)))
        if isinstance(found, CannotDeriveError):
            raise found
        return found

    def _load(self, key: _Key) -> Deriver:
        name, version, sha256, kind, precision = key
        try:
            loaded = self._registry.load(name, version)
        except ModelNotFoundError:
            raise CannotDeriveError(f"model {name} version {version} is not in the registry") from None
        except ModelError as error:
            raise CannotDeriveError(f"model {name} version {version} cannot be loaded: {error}") from None
        if loaded.sha256 != sha256:
            raise CannotDeriveError(
                f"model {name} version {version} has other weights in this registry than those that answered"
            )
        deviation = np.asarray(loaded.config.target_normalisation.standard_deviation, np.float32)
        if kind != "eager":
            try:
                # Its kind and precision as they came from the log: an unknown one is refused.
                built = create_engine(loaded, kind, precision)  # type: ignore[arg-type]
            except EngineError as error:
                logger.warning(
                    "%s %s cannot be had here, the eager network derives instead: %s", kind, precision, error
                )
            else:
                return Deriver(engine=built, target_deviation=deviation, is_recorded_engine=True)
        return _eager(loaded, deviation, is_recorded=kind == "eager" and not self._is_eager)


def _eager(loaded: LoadedModel, deviation: Any, *, is_recorded: bool) -> Deriver:
    return Deriver(
        engine=create_engine(loaded, "eager", "fp32"), target_deviation=deviation, is_recorded_engine=is_recorded
    )
