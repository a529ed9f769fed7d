"""The windows as the Redis has them: each script of `window_scripts` as one method, in the domain's terms.

Owns what goes into a script and what its answer means, chunks and time limits. Decides nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from server.config.window_settings import WindowSettings
from server.windows.redis_connection import RedisConnection, ScriptCall
from server.windows.store_word import StoreUnavailableError, StoreWord
from server.windows.window_change import WindowChange
from server.windows.window_key import WindowKey
from server.windows.window_scripts import HOLD, READ, TOUCH, UNDO, WRITE, Script, keys_of

_HOLD_CHUNK = 16  # symbols of a round trip; a full one brings some 35 KB
_SMALL_CHUNK = 256  # symbols of a round trip that carries no entries

T = TypeVar("T")
Words = list[StoreWord | StoreUnavailableError]


class TakenWindow(NamedTuple):
    """What the Redis had of a symbol when its epoch was raised.

    Attributes:
        key: Names it.
        epoch: The new one.
        before: The one before; 0 where nobody had the symbol.
        head: As stored; empty where nothing is.
        entries: All that are stored, oldest first.
    """

    key: WindowKey
    epoch: int
    before: int
    head: bytes
    entries: Sequence[bytes]


class RedisWindows:
    """The Redis that the replicas share.

    Args:
        settings: Where it is, and how long it may take.
        password_file: See `redis_client`.
    """

    def __init__(self, settings: WindowSettings, *, password_file: Path | None = None) -> None:
        self._time_to_live = round(settings.time_to_live * 1000)
        self._read_timeout = settings.read_timeout
        self._write_timeout = settings.write_timeout
        self._redis = RedisConnection(
            settings.redis_url, password_file=password_file, max_connections=settings.redis_connections
        )

    async def close(self) -> None:
        """Closes every connection. Idempotent."""
        await self._redis.close()

    async def take_over(self, keys: Sequence[WindowKey], token: str) -> AsyncGenerator[TakenWindow, None]:
        """Raises the epochs of symbols and yields what is stored of each, in order.

        Args:
            keys: Distinct.
            token: Names this takeover, for `give_back`.

        Raises:
            StoreUnavailableError: Some may have been raised nevertheless.
        """
        for chunk in _chunks(keys, _HOLD_CHUNK):
            calls = [ScriptCall(keys_of(key), self._time_to_live, token) for key in chunk]
            answers = await self._redis.run(HOLD, calls, timeout=self._write_timeout)
            for key, answer in zip(chunk, answers, strict=True):
                if isinstance(answer, StoreUnavailableError):
                    raise answer
                epoch, before, head, *entries = answer
                yield TakenWindow(key, int(epoch), int(before), head or b"", entries)

    async def give_back(self, keys: Sequence[WindowKey], token: str) -> None:
        """Undoes a takeover, where nobody has taken the symbol over since.

        Raises:
            StoreUnavailableError: Some may have been given back nevertheless.
        """
        for chunk in _chunks(keys, _SMALL_CHUNK):
            await self._run(UNDO, [ScriptCall(keys_of(key), token) for key in chunk])

    async def read(self, key: WindowKey) -> tuple[bytes, Sequence[bytes]] | None:
        """Returns head and newest entries, enough for a window, in one round trip; None if nobody opened the symbol.

        The head is empty where nothing has been applied yet.

        Raises:
            StoreUnavailableError: It did not answer in time.
        """
        [answer] = await self._redis.run(READ, [ScriptCall(keys_of(key), key.time_steps)], timeout=self._read_timeout)
        if isinstance(answer, StoreUnavailableError):
            raise answer
        return (answer[0], answer[1:]) if answer else None

    async def write(self, changes: Sequence[tuple[WindowKey, WindowChange]]) -> Words:
        """Writes changes in one round trip, each of them entirely or not at all.

        Returns:
            The word on each, in order; an error in the place of one that failed alone.

        Raises:
            StoreUnavailableError: None was answered; some may be written nevertheless.
        """
        calls = [
            ScriptCall(
                keys_of(key),
                change.epoch,
                change.previous_revision,
                change.revision,
                change.previous_sequence,
                change.sequence,
                int(change.replace),
                change.most_entries,
                self._time_to_live,
                change.head,
                *change.entries,
            )
            for key, change in changes
        ]
        return _words(await self._run(WRITE, calls))

    async def touch(self, held: Sequence[tuple[WindowKey, int, int]]) -> Words:
        """Renews the time to live of symbols, by key, epoch and the revision that was confirmed; answers as `write`."""
        words: Words = []
        for chunk in _chunks(held, _SMALL_CHUNK):
            calls = [ScriptCall(keys_of(key), epoch, self._time_to_live, revision) for key, epoch, revision in chunk]
            words += _words(await self._run(TOUCH, calls))
        return words

    async def _run(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        return await self._redis.run(script, calls, timeout=self._write_timeout)


def _chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _words(answers: Sequence[Any]) -> Words:
    return [answer if isinstance(answer, StoreUnavailableError) else StoreWord(answer) for answer in answers]
