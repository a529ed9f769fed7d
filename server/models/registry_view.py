"""What there is to tell of the registry's versions, loaded or not. Blocks: call it in a thread."""

from __future__ import annotations

from model.errors import ModelError
from model.model_config import ModelConfig
from model.registry import Registry
from server.models.loaded_versions import Key
from server.models.model_pool import ModelPool


class RegistryView:
    """Reads names and configurations, and makes do with what is loaded where the registry has gone.

    Args:
        registry: Where versions lie.
        pool: Which of them are loaded.
    """

    def __init__(self, registry: Registry, pool: ModelPool) -> None:
        self._registry = registry
        self._pool = pool

    def keys(self, name: str = "") -> list[Key]:
        """Returns the versions of a model, or of all models by name, newest first."""
        try:
            names = (name,) if name else self._registry.names()
            return [(each, version) for each in names for version in self._registry.versions(each)[::-1]]
        except ModelError:
            # The registry has gone: what is loaded still answers, and is all there is to tell of.
            return [key for key in list(self._pool.loaded()) if name in ("", key[0])]

    def config(self, key: Key) -> ModelConfig | None:
        """Returns a version's configuration; None where it cannot be read."""
        served = self._pool.loaded().get(key)
        if served is not None:
            return served.config
        try:
            return self._registry.config(*key)
        except ModelError:
            return None
