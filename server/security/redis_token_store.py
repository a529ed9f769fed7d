"""Token buckets in a Redis that all replicas of a deployment reach.

Owns the script and the connection. The clock is the Redis's own: the replicas' need not agree. A bucket that nobody has
used until it would be full again expires, for a missing bucket is a full one; so a Redis that loses its data costs one
burst per key.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from redis.exceptions import NoScriptError, RedisError

from server.redis_client import redis_client
from server.security.token_store import Ask, Given, TokenStoreError

_PREFIX: Final = "tickserve:rate:1:"

# Numbers are stored with all their digits: Lua's own 14 are a hundredth of a millisecond of such times.
_SETTLE: Final = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local rate, burst, debt, more = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local state = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(state[1] or burst), tonumber(state[2] or now)
tokens = math.min(burst, tokens + math.max(0, now - at) * rate) - debt
local given = more
if more > 0 then
  given = math.max(0, math.min(more, math.floor(tokens)))
end
tokens = math.min(burst, tokens - given)
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.17g', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / rate * 1000) + 1000)
return {debt + math.max(0, given), string.format('%.17g', tokens)}
"""
_SHA: Final = hashlib.sha1(_SETTLE.encode(), usedforsecurity=False).hexdigest()


class RedisTokenStore:
    """Implements `TokenStore`. Nothing is connected before the first call.

    Args:
        url: As `server.redis_url` has it; may hold a password, and is never logged.
        password_file: See `redis_client`.
        timeout: Seconds that the Redis has for one round trip.
    """

    def __init__(self, url: str, *, password_file: Path | None = None, timeout: float = 0.25) -> None:
        self._client = redis_client(url, password_file=password_file, max_connections=1)
        self._timeout = timeout

    async def settle(self, asks: Mapping[str, Ask]) -> Mapping[str, Given]:
        """Does it in one round trip, each bucket by itself; see `TokenStore`."""
        names = list(asks)
        try:
            async with asyncio.timeout(self._timeout):
                answers = await self._run(asks, names)
                missing = [name for name, answer in answers.items() if isinstance(answer, NoScriptError)]
                if missing or not names:
                    # The Redis is new, or was restarted; or it is only asked whether it is there.
                    await self._client.script_load(_SETTLE)
                    answers |= await self._run(asks, missing)
        except TimeoutError:
            raise TokenStoreError(f"no answer within {self._timeout:g} s") from None
        except (RedisError, OSError) as error:
            raise TokenStoreError(f"{type(error).__name__}: {error}") from None
        failed = next((answer for answer in answers.values() if isinstance(answer, Exception)), None)
        if failed is not None and all(isinstance(answer, Exception) for answer in answers.values()):
            raise TokenStoreError(f"{type(failed).__name__}: {failed}")
        return {
            name: Given(tokens=int(answer[0]), left=float(answer[1]))
            for name, answer in answers.items()
            if not isinstance(answer, Exception)
        }

    async def close(self) -> None:
        """Ends the connection. Idempotent."""
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def _run(self, asks: Mapping[str, Ask], names: Sequence[str]) -> dict[str, Any]:
        if not names:
            return {}
        async with self._client.pipeline(transaction=False) as pipeline:
            for name in names:
                limit, debt, more = asks[name]
                arguments = (limit.rate, limit.burst, debt, more)
                pipeline.execute_command("EVALSHA", _SHA, 1, _PREFIX + name, *arguments)
            answers = await pipeline.execute(raise_on_error=False)
        return dict(zip(names, answers, strict=True))
