"""The model versions that this replica holds in memory, and the one that answers requests which name none.

Owns which versions are loaded. A version that lies in the registry and is not loaded is loaded in a thread of its own
when it is first asked for; until then callers are told MODEL_LOADING. Knows nothing of RPCs or batches.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from model.engine import create_engine
from model.errors import ModelError, ModelNotFoundError
from model.registry import Registry
from server.live_settings import LiveSettings
from server.refusal import Reason, Refusal, model_loading
from server.served_model import ServedModel

Key = tuple[str, int]

logger = logging.getLogger("tickserve")

# Seconds until a version that could not be loaded is tried again: its files may have been mended.
_RETRY_AFTER = 30.0
# Batch sizes run before a version answers: engines pay once more for every new shape.
_WARM_UP_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class ModelPool:
    """Loads versions on demand and keeps the most recently used.

    Args:
        registry: Where versions come from.
        live: Default model, engine choice and the number of versions to keep.
        on_loaded: Called on the event loop with each version that is loaded from now on.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        registry: Registry,
        live: LiveSettings,
        *,
        on_loaded: Callable[[ServedModel], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._live = live
        self._on_loaded = on_loaded
        self._clock = clock
        self._loaded: OrderedDict[Key, ServedModel] = OrderedDict()
        self._loading: dict[Key, asyncio.Future[ServedModel]] = {}
        self._failed: dict[Key, float] = {}
        self._latest: dict[str, int] = {}
        self._default: ServedModel | None = None
        self._loader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-loader")
        # Apart from the loader: who asks for a version must not wait until another one is loaded.
        self._resolver = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-resolver")

    async def start(self) -> None:
        """Loads and warms up the default model's latest version.

        Raises:
            ModelError: It is missing or damaged; the message names the file, the reason and the remedy.
        """
        loop = asyncio.get_running_loop()
        name = self._live.current.default_model
        version = await loop.run_in_executor(self._loader, self._registry.resolve, name)
        self._default = await loop.run_in_executor(self._loader, self._load, (name, version))
        self._loaded[name, version] = self._default
        self._on_loaded(self._default)

    def close(self) -> None:
        """Stops loading. Versions in use stay alive as long as a batch holds them."""
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._resolver.shutdown(wait=False, cancel_futures=True)

    async def get(self, name: str, version: int) -> ServedModel:
        """Returns a loaded version; empty name and version 0 stand for the default and the latest.

        Raises:
            Refusal: MODEL_NOT_FOUND, or MODEL_LOADING where the version exists and is being loaded from now on.
        """
        default = self._default
        if default is not None and version in (0, default.version) and name in ("", default.name):
            return default
        key = await self.find(name, version)
        served = self._loaded.get(key)
        if served is not None:
            self._loaded.move_to_end(key)
            return served
        if self._clock() < self._failed.get(key, 0.0):
            # Made anew each time: an exception that is raised again grows by a traceback.
            raise self._unusable(*key)
        self._start_loading(key)
        raise model_loading(f"Version {key[1]} of model {key[0]}")

    async def find(self, name: str, version: int) -> Key:
        """Returns the version that a reference names, loaded or not; without a look at the disk if it is loaded.

        The latest version of a model that is loaded is the one that was the latest when it was loaded.

        Raises:
            Refusal: MODEL_NOT_FOUND; MODEL_LOADING while there is no default yet.
        """
        if self._default is None:
            raise model_loading("The default model")
        if not name or name == self._default.name:
            name, version = self._default.name, version or self._default.version
        key = (name, version or self._latest.get(name, 0))
        if key in self._loaded or key in self._loading:
            return key
        key = (name, await self._resolve(name, version or None))
        if not version:
            self._latest[name] = key[1]
        return key

    def loaded(self) -> Mapping[Key, ServedModel]:
        """Returns the loaded versions."""
        return self._loaded

    def state(self, key: Key) -> str:
        """Returns "serving", "loading", "failed" or "available"."""
        if key in self._loaded:
            return "serving"
        if key in self._loading:
            return "loading"
        return "failed" if self._clock() < self._failed.get(key, 0.0) else "available"

    def is_default(self, key: Key) -> bool:
        """Tells whether a version answers requests that name no model."""
        return self._default is not None and key == (self._default.name, self._default.version)

    async def _resolve(self, name: str, version: int | None) -> int:
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._resolver, self._registry.resolve, name, version)
        except ModelNotFoundError as error:
            known = ", ".join(f"{known_name} {list(versions)}" for known_name, versions in error.available.items())
            raise Refusal(
                Reason.MODEL_NOT_FOUND,
                f"The registry has no such model version; it has: {known[:512] or 'nothing'}.",
                field="model",
                metadata={"name": name[:128], "version": str(version or "latest")},
            ) from None
        except ModelError as error:
            logger.warning("model %s version %s refused: %s", name, version, error)
            raise self._unusable(name, version) from None

    def _start_loading(self, key: Key) -> None:
        if key in self._loading or key in self._loaded:  # another call was faster
            return
        future = asyncio.get_running_loop().run_in_executor(self._loader, self._load, key)
        self._loading[key] = future
        future.add_done_callback(lambda done: self._finish_loading(key, done))

    def _finish_loading(self, key: Key, done: asyncio.Future[ServedModel]) -> None:
        self._loading.pop(key, None)
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            logger.error("model %s version %d could not be loaded: %s", *key, error)
            self._failed[key] = self._clock() + _RETRY_AFTER
            return
        self._loaded[key] = done.result()
        self._evict()
        self._on_loaded(done.result())

    def _evict(self) -> None:
        """Drops the least recently used versions beyond the limit, never the default nor the newest."""
        for key in list(self._loaded)[:-1]:
            if len(self._loaded) <= self._live.current.max_loaded_models:
                return
            if not self.is_default(key):
                del self._loaded[key]

    def _unusable(self, name: str, version: int | None) -> Refusal:
        return Refusal(
            Reason.MODEL_NOT_FOUND,
            "This model version exists but could not be loaded; the server's log names the file and the remedy.",
            field="model",
            metadata={"name": name[:128], "version": str(version or "latest")},
        )

    def _load(self, key: Key) -> ServedModel:
        """Loads and warms up one version. Runs in the loader thread."""
        settings = self._live.current
        loaded = self._registry.load(*key)
        engine = create_engine(
            loaded,
            kind=settings.engine_kind(),
            precision=settings.precision,
            threads=settings.effective_engine_threads(),
        )
        sizes = tuple(size for size in _WARM_UP_SIZES if size <= settings.scheduler.max_batch_size)
        warm_up = engine.warm_up(sizes)
        normalisation = loaded.config.feature_normalisation
        mean = np.asarray(normalisation.mean, np.float32)[:, None]
        reach = np.asarray(normalisation.standard_deviation, np.float32)[:, None] * np.float32(
            normalisation.clip or np.inf
        )
        logger.info("loaded model %s version %d: %s", *key, engine.info)
        return ServedModel(
            name=loaded.name,
            version=loaded.version,
            sha256=loaded.sha256,
            config=loaded.config,
            engine=engine,
            warm_up=warm_up,
            lower=mean - reach,
            upper=mean + reach,
        )
