"""Answers that need not be computed: those that this process keeps, and behind them those that replicas share.

Owns the order of the two levels and what is written to which. Knows neither requests nor what the second level is.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Protocol

from model.model_config import NetworkConfig
from model.outputs import OutputRow
from server.config.cache_settings import CacheSettings
from server.config.live_settings import LiveSettings
from server.results.packed_row import pack, read, unpack
from server.results.result_cache import ResultCache, ResultCacheStatistics, ResultKey


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SharedResultsStatistics:
    """How the second level fares; counts since it was connected to.

    Attributes:
        available: Whether it answers now.
        hits: Look-ups that found an answer in time.
        misses: Look-ups that found none, or a value that is no answer.
        timeouts: Look-ups that were not waited for any longer.
        skipped: Look-ups that were not made: it is down or behind, or the request has no time for it.
        failures: Times that it stopped answering, or refused to be written to.
        writes: Answers written.
        dropped: Answers not written: it is down, full or behind.
    """

    available: bool
    hits: int
    misses: int
    timeouts: int
    skipped: int
    failures: int
    writes: int
    dropped: int


class SharedResults(Protocol):
    """A second level: it may lose anything at any time, and never fails."""

    def start(self) -> None:
        """Begins to connect; needs a running event loop."""

    async def close(self) -> None:
        """Lets go of everything; what is not yet written is lost."""

    async def get(self, key: ResultKey, *, remaining: float) -> bytes | None:
        """Returns what lies under a key, or None; does not look if that would cost too much of the `remaining` s."""

    def put(self, key: ResultKey, value: bytes) -> None:
        """Has an answer written, some time soon or never."""

    def statistics(self) -> SharedResultsStatistics:
        """Returns the figures now."""


class KnownResults:
    """Finds and keeps answers, as the settings in force say.

    Args:
        live: Whether and how much is kept.
        connect: Makes the second level, where there is to be one.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        live: LiveSettings,
        *,
        connect: Callable[[CacheSettings], SharedResults],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._live = live
        self._connect = connect
        self._clock = clock
        settings = live.current.cache
        self._local = ResultCache(max_bytes=settings.max_bytes, ttl=settings.ttl, clock=clock)
        self._shared: SharedResults | None = None
        self._connected = CacheSettings()
        self._closing: set[asyncio.Task[None]] = set()

    def apply_settings(self) -> None:
        """Puts the live settings in force; call it in the event loop at the start and whenever they change."""
        settings = self._live.current.cache
        self._local.max_bytes, self._local.ttl = settings.max_bytes, settings.ttl
        if not settings.enabled:
            self._local.clear()
        if _redis_settings(settings) == _redis_settings(self._connected):
            return
        self._connected = settings
        if self._shared is not None:
            task = asyncio.get_running_loop().create_task(self._shared.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._shared = None
        if settings.redis_url:
            self._shared = self._connect(settings)
            self._shared.start()

    async def close(self) -> None:
        """Lets go of the second level. Idempotent."""
        shared, self._shared = self._shared, None
        if shared is not None:
            await shared.close()
        await asyncio.gather(*self._closing)

    async def find(self, key: ResultKey, *, network: NetworkConfig, deadline: float) -> OutputRow | None:
        """Returns a known answer, or None.

        Args:
            key: The execution that would give it.
            network: The model's, which says how many classes and quantities an answer has.
            deadline: Of the request, monotonic seconds.
        """
        if not self._live.current.cache.enabled:
            return None
        kept = self._local.get(key)
        if kept is not None:
            return unpack(kept)
        if self._shared is None:
            return None
        value = await self._shared.get(key, remaining=deadline - self._clock())
        if value is None:
            return None
        row = read(value, classes=len(network.class_labels), regressions=len(network.regression_names))
        if row is not None:
            self._local.put(key, value)
        return row

    def keep(self, key: ResultKey, row: OutputRow) -> None:
        """Keeps a valid answer in both levels."""
        if not self._live.current.cache.enabled or key in self._local:
            return  # requests that shared one execution each bring its answer
        value = pack(row)
        self._local.put(key, value)
        if self._shared is not None:
            self._shared.put(key, value)

    def statistics(self) -> tuple[ResultCacheStatistics, SharedResultsStatistics | None]:
        """Returns the figures of both levels; None for a second one that is not there."""
        return self._local.statistics(), None if self._shared is None else self._shared.statistics()


def _redis_settings(settings: CacheSettings) -> tuple[str, float, float]:
    return settings.redis_url, settings.redis_ttl, settings.redis_timeout
