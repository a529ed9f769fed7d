"""Halts in a Redis that all replicas of a deployment reach.

Owns the script, the connection and the layout: one hash, a field for each scope and one for the generation. One script
for every change, so that changes never mix. A Redis that has lost its data shows a lower generation than was seen, and
is given the halts back by whichever replica notices first.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Final

from redis.exceptions import RedisError

from server.redis_client import redis_client
from server.security.halt import Halt, HaltScope
from server.security.halt_document import parse_halt, render_halt
from server.security.halt_set import HaltSet
from server.security.halt_store import HaltStoreError

KEY: Final = "tickserve:halts:1"
_GENERATION: Final = b"generation"

# Writes fields if nobody else has changed the halts since they were read: what is written depends on what was there,
# such as the first time of a scope. An empty value takes a field out.
_PUT: Final = """
local now = tonumber(redis.call('HGET', KEYS[1], 'generation') or '0')
if now == tonumber(ARGV[1]) then
  for i = 3, #ARGV, 2 do
    redis.call('HDEL', KEYS[1], ARGV[i])
    if ARGV[i + 1] ~= '' then redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
  end
  redis.call('HSET', KEYS[1], 'generation', ARGV[2])
  return 1
end
return 0
"""
_TRIES: Final = 8


class HaltRedis:
    """Implements `HaltStore`. Nothing is connected before the first call.

    Args:
        url: As `server.redis_url` has it; may hold a password, and is never logged.
        password_file: See `redis_client`.
        timeout: Seconds that the Redis has for one operation.
    """

    def __init__(self, url: str, *, password_file: Path | None = None, timeout: float = 0.5) -> None:
        self._client = redis_client(url, password_file=password_file, max_connections=4)
        self._timeout = timeout

    async def read(self) -> HaltSet:
        """Reads the hash; see `HaltStore`."""
        return await self._limited(self._read())

    async def halt(self, halt: Halt) -> HaltSet:
        """Adds one; see `HaltStore`."""
        return await self._limited(self._halt(halt))

    async def resume(self, scope: HaltScope) -> HaltSet:
        """Takes one out; see `HaltStore`."""
        return await self._limited(self._resume(scope))

    async def restore(self, known: HaltSet) -> HaltSet:
        """Brings back what was lost; see `HaltStore`."""
        return await self._limited(self._restore(known))

    async def close(self) -> None:
        """Ends the connections. Idempotent."""
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def _limited(self, work: Any) -> HaltSet:
        try:
            async with asyncio.timeout(self._timeout):
                halts: HaltSet = await work
                return halts
        except TimeoutError:
            raise HaltStoreError(f"the Redis gave no answer within {self._timeout:g} s") from None
        except (RedisError, OSError) as error:
            raise HaltStoreError(f"the Redis: {type(error).__name__}: {error}") from None

    async def _read(self) -> HaltSet:
        fields: Any = self._client.hgetall(KEY)
        found: dict[bytes, bytes] = dict(await fields)
        generation = found.pop(_GENERATION, b"0")
        if not generation.isdigit():
            raise HaltStoreError("the generation of the halts is no number")
        halts = [parse_halt(value) for value in found.values()]
        return HaltSet({halt.scope: halt for halt in halts}, int(generation))

    async def _halt(self, halt: Halt) -> HaltSet:
        for _ in range(_TRIES):
            former = await self._read()
            halts = former.halted(halt)
            if await self._put(former, halts, str(halt.scope), render_halt(halts.halts[halt.scope])):
                return halts
        raise HaltStoreError("others change the halts at the same time; try again")

    async def _resume(self, scope: HaltScope) -> HaltSet:
        for _ in range(_TRIES):
            former = await self._read()
            halts = former.resumed(scope)
            if halts is former or await self._put(former, halts, str(scope), ""):
                return halts
        raise HaltStoreError("others change the halts at the same time; try again")

    async def _restore(self, known: HaltSet) -> HaltSet:
        for _ in range(_TRIES):
            former = await self._read()
            if former.generation >= known.generation:
                return former
            halts = former.joined(known)
            fields = [part for halt in halts for part in (str(halt.scope), render_halt(halt))]
            if await self._put(former, halts, *fields):
                return halts
        raise HaltStoreError("others change the halts at the same time; try again")

    async def _put(self, former: HaltSet, halts: HaltSet, *fields: str) -> bool:
        done: Any = self._client.eval(_PUT, 1, KEY, str(former.generation), str(halts.generation), *fields)
        return bool(await done)
