"""Which versions are being loaded, and which could not be. Owns the thread that loads, one version after another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from server.loaded_versions import Key
from server.served_model import ServedModel
from server.version_source import VersionSource

logger = logging.getLogger("tickserve")

# Seconds until a version that could not be loaded is tried again: its files may have been mended.
_RETRY_AFTER = 30.0


class VersionLoading:
    """Loads versions beside the service.

    Args:
        source: Where versions come from.
        clock: Monotonic seconds.
        on_end: Called on the event loop when a version's loading has ended, with the version or None if it failed.
    """

    def __init__(
        self,
        source: VersionSource,
        *,
        clock: Callable[[], float],
        on_end: Callable[[Key, ServedModel | None], None],
    ) -> None:
        self._source = source
        self._clock = clock
        self._on_end = on_end
        self._futures: dict[Key, asyncio.Future[ServedModel]] = {}
        self._failed: dict[Key, float] = {}
        self._banned: set[Key] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-loader")

    def __contains__(self, key: Key) -> bool:
        return key in self._futures

    def start(self, key: Key) -> bool:
        """Begins to load a version, unless it is on its way, or has failed a short while ago, or is banned.

        Returns:
            Whether it is on its way now.
        """
        if key in self._futures:
            return True
        if not self.is_possible(key):
            return False
        self._failed.pop(key, None)
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._thread, lambda: self._source.load(key, beside_service=True))
        self._futures[key] = future
        future.add_done_callback(lambda done: self._finish(key, done))
        return True

    async def load_first(self, key: Key) -> ServedModel:
        """Loads a version while nothing serves yet.

        Raises:
            ModelError: See `VersionSource.load`.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._source.load(key, beside_service=False))

    def is_known(self, key: Key) -> bool:
        """Tells whether the version was ever tried."""
        return key in self._futures or key in self._failed or key in self._banned

    def is_possible(self, key: Key) -> bool:
        """Tells whether loading may be tried: it is not banned, and has not failed within the last half minute."""
        return key not in self._banned and self._clock() >= self._failed.get(key, 0.0)

    def ban(self, key: Key) -> None:
        """Never loads this version again."""
        self._banned.add(key)

    def is_banned(self, key: Key) -> bool:
        """Tells whether `ban` was called."""
        return key in self._banned

    async def idle(self) -> None:
        """Waits until nothing is being loaded."""
        while self._futures:
            await asyncio.wait(self._futures.values())
            await asyncio.sleep(0)  # the callbacks run after the futures' end

    def close(self) -> None:
        """Stops loading; what is being loaded is dropped when it is done."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _finish(self, key: Key, done: asyncio.Future[ServedModel]) -> None:
        self._futures.pop(key, None)
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            logger.error("model %s version %d could not be loaded: %s", *key, error)
            self._failed[key] = self._clock() + _RETRY_AFTER
        self._on_end(key, None if error is not None else done.result())
