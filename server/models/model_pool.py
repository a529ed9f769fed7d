"""The model versions that this replica holds in memory, and which of them answers for a model's name.

Owns when versions are loaded and swapped. A version that lies in the registry and is not loaded is loaded in a thread
of its own when it is first asked for; until then callers are told MODEL_LOADING. A model's latest version is looked for
from time to time, loaded beside the one that serves, and takes its place when it can answer. Knows nothing of RPCs,
batches or engines.

Which version answers requests that name none: the highest one that could be loaded. A newer one that fails, or that is
quarantined for wrong answers, leaves the one before it in place. Other files under a number are a new version: one that
was taken back and published anew has the number of the one before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from model.errors import ModelError
from server.config.live_settings import LiveSettings
from server.models.loaded_versions import Key, LoadedVersions
from server.models.served_model import ServedModel
from server.models.version_catalog import VersionCatalog, unusable
from server.models.version_loading import VersionLoading
from server.models.version_source import VersionSource
from server.refusal import model_loading

logger = logging.getLogger("tickserve")


class ModelPool:
    """Loads versions on demand and keeps those in use.

    Args:
        source: Where versions come from.
        live: Default model, and how much is kept.
        on_loaded: Called on the event loop with each version that is loaded from now on.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        source: VersionSource,
        live: LiveSettings,
        *,
        on_loaded: Callable[[ServedModel], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = live
        self._on_loaded = on_loaded
        self._clock = clock
        self._loaded = LoadedVersions()
        self._catalog = VersionCatalog(source)
        self._loading = VersionLoading(source, clock=clock, on_end=self._finish_loading)
        # By name: the version that answers requests which name none, and the one that is to.
        self._serving: dict[str, int] = {}
        self._awaited: dict[str, int] = {}
        self._protected: frozenset[Key] = frozenset()
        self._default_name = live.current.default_model

    async def start(self) -> None:
        """Loads and warms up the default model's latest version, and begins to load those that are pinned.

        Where the latest cannot be served, the one before it is: a replica that is replaced at night must not stay away
        because of a version that was published damaged.

        Raises:
            ModelError: None can be served; the message names the latest one's file, the reason and the remedy.
        """
        name = self._default_name
        failure: ModelError | None = None
        for version in await self._catalog.versions(name):
            try:
                served = await self._loading.load_first((name, version))
            except ModelError as error:
                logger.error("model %s version %d cannot be served: %s", name, version, error)
                failure = failure or error
                continue
            self._serving[name] = version
            self._loaded.add((name, version), served, self._clock())
            self._on_loaded(served)
            self._load_kept()
            return
        assert failure is not None, "every version of a model that was resolved has been tried"
        raise failure

    def close(self) -> None:
        """Stops loading. Versions in use stay alive as long as a batch holds them."""
        self._loading.close()
        self._catalog.close()

    async def get(self, name: str, version: int) -> ServedModel:
        """Returns a loaded version; empty name and version 0 stand for the default and the one that serves.

        Raises:
            Refusal: MODEL_NOT_FOUND, or MODEL_LOADING where the version exists and is being loaded from now on.
        """
        key = (name or self._default_name, version or self._serving.get(name or self._default_name, 0))
        served = self._loaded.use(key, self._clock())
        if served is not None:
            return served
        key = await self.find(name, version)
        served = self._loaded.use(key, self._clock())
        if served is not None:
            return served
        if not self._loading.start(key) and (version or not await self._fall_back(key[0])):
            # Made anew each time: an exception that is raised again grows by a traceback.
            raise unusable(*key)
        raise model_loading(f"Version {key[1]} of model {key[0]}")

    def request(self, name: str, version: int) -> ServedModel | None:
        """Returns a version if it is loaded, and begins to load it if it is not; 0 is the one that serves."""
        key = (name or self._default_name, version or self._serving.get(name or self._default_name, 0))
        served = self._loaded.use(key, self._clock())
        if served is None and key[1]:
            self._loading.start(key)
        return served

    async def find(self, name: str, version: int) -> Key:
        """Returns the version that a reference names, loaded or not; without a look at the disk if it is loaded.

        Raises:
            Refusal: MODEL_NOT_FOUND; MODEL_LOADING while there is no default yet.
        """
        if self._default_name not in self._serving:
            raise model_loading("The default model")
        name = name or self._default_name
        key = (name, version or self._serving.get(name, 0) or self._awaited.get(name, 0))
        if key in self._loaded or self._loading.is_known(key):
            return key
        key = (name, await self._catalog.resolve(name, version or None))
        if not version:
            self._awaited[name] = key[1]
        return key

    async def refresh(self) -> None:
        """Looks for new versions of the models in use, begins to load them, and forgets versions that nobody uses."""
        for key, identity in (await self._catalog.identities(self._loading.identities)).items():
            # What is gone has not been replaced: the registry may be gone, and come back as it was.
            if identity not in (None, self._loading.identities[key]):
                self._loading.forgive(key)
                if key in self._loaded:
                    self._loading.start(key)  # what was read before answers until then
        for name in sorted(self._serving):
            with suppress(ModelError):  # it has been told, and what is loaded still answers
                versions = await self._catalog.versions(name)
                self._loading.forget_failures(name, but_of=versions)
                self._follow(name, versions)
        self._load_kept()
        self._evict()

    async def run(self) -> None:
        """Lets new versions appear without a restart; a registry that is gone costs them, and this replica nothing."""
        while True:
            await asyncio.sleep(self._live.current.models.poll_interval)
            try:
                await self.refresh()
            except Exception:
                logger.exception("the registry could not be looked at")

    def protect(self, keys: frozenset[Key]) -> None:
        """Keeps these versions in memory from now on, and loads those that are not there yet."""
        self._protected = keys
        if self._default_name in self._serving:
            self._load_kept()

    def quarantine(self, key: Key, why: str) -> None:
        """Takes a version that gave a wrong answer out of service; the last one that serves stays.

        Its items fail one by one anyway; this keeps the next ones from it.
        """
        if self._loading.is_banned(key):
            return
        self._loading.ban(key)
        logger.critical("model %s version %d is quarantined: %s", *key, why)
        name, version = key
        if self._serving.get(name) == version:
            others = [other for other_name, other in self._loaded if other_name == name and other != version]
            usable = [other for other in others if not self._loading.is_banned((name, other))]
            if not usable:
                logger.critical("no other version of %s is loaded: it goes on serving until one is", name)
                return
            # The next one below it: one above it was not chosen to serve before.
            self._serving[name] = max(usable, key=lambda other: (other < version, other))
        self._loaded.forget(key)

    def loaded(self) -> Mapping[Key, ServedModel]:
        """Returns the loaded versions."""
        return self._loaded

    def default(self) -> ServedModel | None:
        """Returns the version that answers requests which name no model, None while there is none; counts as no use."""
        return self._loaded.get((self._default_name, self._serving.get(self._default_name, 0)))

    def state(self, key: Key) -> str:
        """Returns "serving", "loading", "failed" or "available"."""
        if key in self._loading:
            return "loading"
        if self._loading.is_bad(key):
            return "failed"
        return "serving" if key in self._loaded else "available"

    def is_default(self, key: Key) -> bool:
        """Tells whether a version answers requests that name no model."""
        return key == (self._default_name, self._serving.get(self._default_name, 0))

    def _kept(self) -> frozenset[Key]:
        """Versions that stay in memory: what serves the default name, what is pinned, what routes need."""
        pinned = (pin.rsplit(":", 1) for pin in self._live.current.models.pinned)
        return (
            self._protected
            | {(name, int(version)) for name, version in pinned}
            | {(self._default_name, self._serving.get(self._default_name, 0))}
        )

    def _load_kept(self) -> None:
        for key in self._kept():
            if key[1] and key not in self._loaded:
                self._loading.start(key)

    def _follow(self, name: str, versions: tuple[int, ...]) -> None:
        """Lets a model's highest version that can answer take over, and begins to load one that may be it."""
        serving = self._serving.get(name)
        for version in versions:
            key = (name, version)
            if version == serving and not self._loading.is_banned(key):
                return
            # One that is loaded and on its way again has been replaced.
            if key in self._loaded and not self._loading.is_known(key):
                self._awaited[name] = version
                self._take_over(key)
                return
            if self._loading.start(key):
                self._awaited[name] = version
                return

    async def _fall_back(self, name: str) -> bool:
        """Begins to load what serves in the place of a latest version that cannot; tells whether there is any."""
        self._awaited.pop(name, None)  # the latest, which is not on its way
        try:
            self._follow(name, await self._catalog.versions(name))
        except ModelError:
            return False
        return name in self._awaited or name in self._serving

    def _take_over(self, key: Key) -> None:
        name, version = key
        if self._awaited.get(name) != version:
            return
        del self._awaited[name]
        before = self._serving.get(name)
        self._serving[name] = version
        if before is not None:
            if self._loading.is_banned((name, before)):
                self._loaded.forget((name, before))
            logger.info("model %s: version %d takes over from version %d", name, version, before)

    def _finish_loading(self, key: Key, served: ServedModel | None) -> None:
        if served is None:
            if self._awaited.get(key[0]) == key[1]:
                del self._awaited[key[0]]
            return
        self._loaded.add(key, served, self._clock())
        self._on_loaded(served)
        self._take_over(key)
        self._evict()

    def _evict(self) -> None:
        settings = self._live.current.models
        used_since = self._clock() - settings.idle_timeout
        evicted = self._loaded.evict(kept=self._kept(), budget=settings.memory_bytes, used_since=used_since)
        for name, version in evicted:
            logger.info("model %s version %d leaves memory", name, version)
            if self._serving.get(name) == version:
                del self._serving[name]
