"""Answers by what was computed: which window, by which weights, on which engine, in which precision.

Owns which of them are kept and for how long: the most recently used ones within a budget of bytes, none older than a
time to live. The same execution always gives the same answer, so age makes none wrong; the time to live bounds how long
memory is held for windows that nobody asks for again. Knows no request, no class and no deadline.
"""

from __future__ import annotations

import dataclasses
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

_ENTRY_BYTES = 480
"""What an entry takes beside its answer's bytes: key, digest, table; measured, and held to by a test."""
_MAX_SWEPT = 2


class ResultKey(NamedTuple):
    """Names one execution.

    Attributes:
        digest: SHA-256 of the window's values, hexadecimal.
        shape: Of the window, `(features, steps)`.
        model: SHA-256 of the weights file, hexadecimal.
        engine: Name of the engine.
        precision: Of its products.
    """

    digest: str
    shape: tuple[int, ...]
    model: str
    engine: str
    precision: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResultCacheStatistics:
    """What is kept now, and what happened since the start.

    Attributes:
        entries: Answers kept now.
        size_bytes: What they take.
        hits: Look-ups that found an answer.
        misses: Look-ups that found none.
        expirations: Answers that were dropped because of their age.
        evictions: Answers that made room for others.
    """

    entries: int
    size_bytes: int
    hits: int
    misses: int
    expirations: int
    evictions: int


class _Entry(NamedTuple):
    kept_at: float
    value: bytes


class ResultCache:
    """Keeps answers in this process. Its limits may be changed at any time and hold from the next use.

    Args:
        max_bytes: Memory for all entries.
        ttl: Seconds for which an entry is kept.
        clock: Monotonic seconds.
    """

    def __init__(self, *, max_bytes: int, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_bytes = max_bytes
        self.ttl = ttl
        self._clock = clock
        self._entries: OrderedDict[ResultKey, _Entry] = OrderedDict()
        self._size = self._hits = self._misses = self._expirations = self._evictions = 0

    def get(self, key: ResultKey) -> bytes | None:
        """Returns an answer's bytes, which counts as a use of it; None if it is not there, or too old."""
        entry = self._entries.get(key)
        if entry is not None:
            if self._clock() - entry.kept_at < self.ttl:
                self._entries.move_to_end(key)
                self._hits += 1
                return entry.value
            self._expire(key)
        self._misses += 1
        return None

    def __contains__(self, key: ResultKey) -> bool:
        """Tells whether an answer would be found; no use of it."""
        entry = self._entries.get(key)
        return entry is not None and self._clock() - entry.kept_at < self.ttl

    def put(self, key: ResultKey, value: bytes) -> None:
        """Keeps an answer from now on; those that it has no room beside are dropped."""
        self._drop(key)
        self._sweep()
        size = len(value) + _ENTRY_BYTES
        if size > self.max_bytes:
            return
        while self._size + size > self.max_bytes:
            self._drop(next(iter(self._entries)))
            self._evictions += 1
        self._entries[key] = _Entry(self._clock(), value)
        self._size += size

    def clear(self) -> None:
        """Drops everything."""
        self._entries.clear()
        self._size = 0

    def statistics(self) -> ResultCacheStatistics:
        """Returns the figures now."""
        return ResultCacheStatistics(
            entries=len(self._entries),
            size_bytes=self._size,
            hits=self._hits,
            misses=self._misses,
            expirations=self._expirations,
            evictions=self._evictions,
        )

    def _sweep(self) -> None:
        """Drops a few of the entries that are too old, if the least recently used are; the work of a put is bounded.

        An entry that is too old may lie behind a younger one that was used less recently: it goes when that one does.
        """
        oldest = self._clock() - self.ttl
        for _ in range(_MAX_SWEPT):
            key = next(iter(self._entries), None)
            if key is None or self._entries[key].kept_at > oldest:
                return
            self._expire(key)

    def _expire(self, key: ResultKey) -> None:
        self._drop(key)
        self._expirations += 1

    def _drop(self, key: ResultKey) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size -= len(entry.value) + _ENTRY_BYTES
