"""Which versions are being loaded, and which could not be. Owns the thread that loads, one version after another.

What it knows of a version it knows of the files that it read: others in their place, mended or published under a number
that was taken back, are another version and are tried again.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Collection, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor

from model.errors import ModelError
from server.models.loaded_versions import Key
from server.models.served_model import ServedModel
from server.models.version_source import VersionSource

logger = logging.getLogger("tickserve")

# Seconds until a version that could not be loaded is tried again although its files are the same: what was in the way
# may be gone, such as a full disk. Doubled with every failure up to the longest, for trying costs processor time.
_RETRY_AFTER = 30.0
_LONGEST_RETRY = 900.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Attempt:
    """What loading came to: one of `served` and `error`, and the identity of the files that were there before."""

    identity: Hashable
    served: ServedModel | None = None
    error: Exception | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """How often a version failed, and the monotonic moment from which it may be tried again."""

    count: int
    retry_at: float


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
        self._futures: dict[Key, asyncio.Future[_Attempt]] = {}
        self._failures: dict[Key, _Failure] = {}
        self._banned: set[Key] = set()
        # By version that was tried: the identity of its files then.
        self._identities: dict[Key, Hashable] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-loader")

    def __contains__(self, key: Key) -> bool:
        return key in self._futures

    @property
    def identities(self) -> Mapping[Key, Hashable]:
        """Of every version that was tried, the identity that its files had; see `VersionSource.identity`."""
        return self._identities

    def start(self, key: Key) -> bool:
        """Begins to load a version, unless it is on its way, or has failed a short while ago, or is banned.

        Returns:
            Whether it is on its way now.
        """
        if key in self._futures:
            return True
        failure = self._failures.get(key)
        if key in self._banned or (failure is not None and self._clock() < failure.retry_at):
            return False
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._thread, lambda: self._attempt(key, beside_service=True))
        self._futures[key] = future
        future.add_done_callback(lambda done: self._finish(key, done))
        return True

    async def load_first(self, key: Key) -> ServedModel:
        """Loads a version while nothing serves yet.

        Raises:
            ModelError: See `VersionSource.load`.
        """
        loop = asyncio.get_running_loop()
        attempt = await loop.run_in_executor(self._thread, lambda: self._attempt(key, beside_service=False))
        self._remember(key, attempt)
        if attempt.served is None:
            assert attempt.error is not None, "an attempt ends with a version or an error"
            raise attempt.error
        return attempt.served

    def is_known(self, key: Key) -> bool:
        """Tells whether the version is on its way, or was tried in vain, or is banned."""
        return key in self._futures or self.is_bad(key)

    def is_bad(self, key: Key) -> bool:
        """Tells whether the version's files could not be loaded when they were last tried, or are banned."""
        return key in self._banned or key in self._failures

    def ban(self, key: Key) -> None:
        """Never loads this version again, unless other files take its place."""
        self._banned.add(key)

    def is_banned(self, key: Key) -> bool:
        """Tells whether `ban` was called."""
        return key in self._banned

    def forgive(self, key: Key) -> None:
        """Forgets what is held against a version, because its files are not those that were tried."""
        self._failures.pop(key, None)
        self._banned.discard(key)

    def forget_failures(self, name: str, *, but_of: Collection[int]) -> None:
        """Forgets the failures of a model's versions that are there no more; a ban outlives that."""
        for key in [key for key in self._failures if key[0] == name and key[1] not in but_of]:
            del self._failures[key]

    async def idle(self) -> None:
        """Waits until nothing is being loaded."""
        while self._futures:
            await asyncio.wait(self._futures.values())
            await asyncio.sleep(0)  # the callbacks run after the futures' end

    def close(self) -> None:
        """Stops loading; what is being loaded is dropped when it is done."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _attempt(self, key: Key, *, beside_service: bool) -> _Attempt:
        identity = self._source.identity(key)  # of before the reading: a change meanwhile is seen at the next look
        try:
            return _Attempt(identity=identity, served=self._source.load(key, beside_service=beside_service))
        except Exception as error:
            return _Attempt(identity=identity, error=error)

    def _remember(self, key: Key, attempt: _Attempt) -> None:
        self._identities[key] = attempt.identity
        if attempt.served is not None:
            self._failures.pop(key, None)
            return
        before = self._failures.get(key)
        count = 1 if before is None else before.count + 1
        # Two to the power of a bounded number: a version may fail for years.
        delay = min(_RETRY_AFTER * 2 ** min(count - 1, 16), _LONGEST_RETRY)
        self._failures[key] = _Failure(count=count, retry_at=self._clock() + delay)

    def _finish(self, key: Key, done: asyncio.Future[_Attempt]) -> None:
        self._futures.pop(key, None)
        if done.cancelled():
            return
        attempt = done.result()
        self._remember(key, attempt)
        if attempt.error is not None:
            # What was foreseen names file, reason and remedy; anything else is a fault of ours.
            trace = None if isinstance(attempt.error, ModelError) else attempt.error
            logger.error("model %s version %d could not be loaded: %s", *key, attempt.error, exc_info=trace)
        self._on_end(key, attempt.served)
