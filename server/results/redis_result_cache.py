"""Answers that replicas share through Redis: an extra, whose absence costs its hits and nothing else.

Owns the connections, what may wait for them, and for how long. Two tasks, each with a connection of its own, do all the
work: one looks up what was asked since its last round trip, in one command; one writes what was put. So neither
connections nor memory grow with the load. Three rules keep Redis's troubles its own:

- A request waits for at most the timeout, and does not ask at all if that is much of the time it has left, or while a
  round trip is overdue.
- A round trip that fails, or takes longer than `_GIVE_UP`, ends the service; a PING of the reading task's own, not a
  request, finds out when it is back.
- Writes that are refused (memory full) pause the writes alone.

Which bytes are an answer is decided by who reads them (`packed_row.read`): anybody may have written under our keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from redis.exceptions import RedisError

from server.redis_client import redis_client
from server.results.known_results import SharedResultsStatistics
from server.results.result_cache import ResultKey

logger = logging.getLogger("tickserve")

T = TypeVar("T")

_PREFIX = "tickserve:result:1"
"""The number is that of the keys' form; the values have a version of their own."""
_GIVE_UP = 0.25
"""Seconds of a round trip after which Redis counts as gone."""
_PATIENCE = 10
"""A request asks only if it has so many times the timeout left."""
_MAX_ASKED, _MAX_UNWRITTEN, _MAX_TOGETHER = 1024, 1024, 64
_LINGER = 0.01
"""Seconds between two writes: a command for many answers costs the event loop a fraction of many commands."""


class RedisResultCache:
    """Looks up and writes answers in Redis; implements `known_results.SharedResults`.

    Args:
        url: As `server.redis_url` has it; may hold a password, and is never logged.
        password_file: See `redis_client`.
        ttl: Seconds for which Redis keeps an answer.
        timeout: Seconds that a request waits.
        retry_interval: Seconds between two attempts to reach a Redis that is gone, or to write to one that refused.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        password_file: Path | None = None,
        ttl: float,
        timeout: float,
        retry_interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = redis_client(url, password_file=password_file, max_connections=2)
        self._ttl_milliseconds = max(1, round(ttl * 1000))
        self._timeout = timeout
        self._retry_interval = retry_interval
        self._clock = clock
        # Until a first PING says otherwise: nobody shall wait for a host that is not there.
        self._available = False
        self._overdue = False
        self._writes_resume_at = 0.0
        self._asked: dict[str, list[asyncio.Future[bytes | None]]] = {}
        self._unwritten: dict[str, bytes] = {}
        self._wake_reader, self._wake_writer = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._hits = self._misses = self._timeouts = self._skipped = 0
        self._failures = self._writes = self._dropped = 0

    def start(self) -> None:
        """Begins to connect; needs a running event loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read_forever()), loop.create_task(self._write_forever())]

    async def close(self) -> None:
        """Ends the tasks and the connections; what is not yet written is lost. Idempotent."""
        self._available = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        _answer(self._asked, itertools.repeat(None))
        self._asked = {}
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def get(self, key: ResultKey, *, remaining: float) -> bytes | None:
        """Returns the bytes under a key within the timeout, or None.

        Args:
            key: What would be computed.
            remaining: Seconds that the request has left.
        """
        hurried = remaining < _PATIENCE * self._timeout
        if not self._available or self._overdue or hurried or len(self._asked) >= _MAX_ASKED:
            self._skipped += 1
            return None
        loop = asyncio.get_running_loop()
        found: asyncio.Future[bytes | None] = loop.create_future()
        self._asked.setdefault(_name(key), []).append(found)
        self._wake_reader.set()
        limit = loop.call_later(self._timeout, self._stop_waiting, found)
        try:
            value = await found
        finally:
            limit.cancel()
        if value is None:
            self._misses += 1
        else:
            self._hits += 1
        return value

    def put(self, key: ResultKey, value: bytes) -> None:
        """Has an answer written soon, unless Redis is gone, refuses, or cannot keep up."""
        refuses = not self._available or self._clock() < self._writes_resume_at
        if refuses or len(self._unwritten) >= _MAX_UNWRITTEN:
            self._dropped += 1
            return
        self._unwritten[_name(key)] = value
        self._wake_writer.set()

    def statistics(self) -> SharedResultsStatistics:
        """Returns the figures now; a look-up that timed out counts as a miss, too."""
        return SharedResultsStatistics(
            available=self._available,
            hits=self._hits,
            misses=self._misses,
            timeouts=self._timeouts,
            skipped=self._skipped,
            failures=self._failures,
            writes=self._writes,
            dropped=self._dropped,
        )

    def _stop_waiting(self, found: asyncio.Future[bytes | None]) -> None:
        if not found.done():
            self._timeouts += 1
            self._overdue = True  # the round trip that it waited for is, and until that has ended nobody else asks
            found.set_result(None)

    async def _read_forever(self) -> None:
        while True:
            if not self._available:
                await self._reconnect()
            await self._wake_reader.wait()
            self._wake_reader.clear()
            while self._available and self._asked:
                names = list(itertools.islice(self._asked, _MAX_TOGETHER))
                waiting = {name: self._asked.pop(name) for name in names}
                values: Iterable[object] | None = None
                try:
                    # MGET gives nothing, and no error, for what is not a string.
                    values = await self._attempt(self._client.mget, names)
                finally:
                    self._overdue = False
                    _answer(waiting, values or itertools.repeat(None))
            _answer(self._asked, itertools.repeat(None))
            self._asked = {}

    async def _write_forever(self) -> None:
        while True:
            await self._wake_writer.wait()
            self._wake_writer.clear()
            while self._unwritten:
                names = list(itertools.islice(self._unwritten, _MAX_TOGETHER))
                values = {name: self._unwritten.pop(name) for name in names}
                if self._available and self._clock() >= self._writes_resume_at:
                    await self._write(values)
                    await asyncio.sleep(_LINGER)
                else:
                    self._dropped += len(values)

    async def _write(self, values: dict[str, bytes]) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for name, value in values.items():
                pipeline.set(name, value, px=self._ttl_milliseconds)
            outcomes = await self._attempt(pipeline.execute, False)  # raise_on_error
        refused = [outcome for outcome in outcomes or () if isinstance(outcome, Exception)]
        written = len(outcomes or ()) - len(refused)
        self._writes += written
        self._dropped += len(values) - written
        if refused:
            self._failures += 1
            self._writes_resume_at = self._clock() + self._retry_interval
            logger.warning("Redis refuses answers, which are not shared meanwhile: %s", refused[0])

    async def _reconnect(self) -> None:
        """Returns when Redis answers a PING."""
        while await self._attempt(self._client.ping) is None:  # noqa: ASYNC110  # nothing tells when it is back
            await asyncio.sleep(self._retry_interval)
        self._available = True
        logger.info("answers are shared through Redis")

    async def _attempt(self, command: Callable[..., Awaitable[T]], *arguments: object) -> T | None:
        """Makes one round trip; None if it failed, which is told once."""
        try:
            async with asyncio.timeout(_GIVE_UP):
                return await command(*arguments)
        except Exception as error:  # any: whatever redis raises, no request and neither task may end by it
            if self._available or not self._failures:
                logger.warning("Redis does not answer, answers are not shared meanwhile: %r", error)
            self._failures += 1
            self._available = False
            self._wake_reader.set()  # to reconnect, if it was the writing task that noticed
            return None


def _answer(waiting: Mapping[str, Sequence[asyncio.Future[bytes | None]]], values: Iterable[object]) -> None:
    """Tells all who wait for a key its value, in the keys' order."""
    for futures, value in zip(waiting.values(), values, strict=False):
        for found in futures:
            if not found.done():
                found.set_result(value if isinstance(value, bytes) else None)


def _name(key: ResultKey) -> str:
    shape = "x".join(map(str, key.shape))
    return f"{_PREFIX}:{key.model}:{key.engine}:{key.precision}:{shape}:{key.digest}"
