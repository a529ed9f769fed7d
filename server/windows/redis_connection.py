"""The way to the Redis: scripts out, answers in, within a time limit.

Owns time limits and the loading of scripts. How connections come about is `redis_client`'s, what the scripts do
`window_scripts`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.exceptions import NoScriptError, RedisError, ResponseError

from server.redis_client import redis_client
from server.windows.store_word import StoreUnavailableError
from server.windows.window_scripts import Script

Argument = bytes | str | int


class ScriptCall:
    """One run of a script on one symbol's two keys."""

    __slots__ = ("arguments", "keys")

    def __init__(self, keys: tuple[str, str], *arguments: Argument) -> None:
        self.keys = keys
        self.arguments = arguments


class RedisConnection:
    """A bounded pool of connections to one Redis. Nothing is connected before the first call.

    Args:
        url: As `server.redis_url` has it.
        password_file: See `redis_client`.
        max_connections: Most at once; a call beyond waits for one, within its own time limit.
    """

    def __init__(self, url: str, *, password_file: Path | None, max_connections: int) -> None:
        self._client = redis_client(url, password_file=password_file, max_connections=max_connections)

    async def run(self, script: Script, calls: Sequence[ScriptCall], *, timeout: float) -> list[Any]:
        """Runs a script many times in one round trip.

        Args:
            script: Which.
            calls: On which symbols and with what. They share a round trip, not a transaction.
            timeout: Seconds for all of it.

        Returns:
            The answers in the order of `calls`; a `StoreUnavailableError` in the place of each that failed alone.

        Raises:
            StoreUnavailableError: The Redis as a whole cannot be reached, or did not answer in time. Then nobody knows
                which of the calls ran, or will run yet.
        """
        try:
            async with asyncio.timeout(timeout):
                answers = await self._pipeline(script, calls)
                missing = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
                if missing:
                    # The Redis is new, or was restarted, or another program has flushed its scripts.
                    await self._client.script_load(script.text)
                    again = await self._pipeline(script, [calls[index] for index in missing])
                    for index, answer in zip(missing, again, strict=True):
                        answers[index] = answer
        except TimeoutError:
            raise StoreUnavailableError(f"no answer within {timeout:g} s") from None
        except (RedisError, OSError) as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from None
        return [
            StoreUnavailableError(str(answer)) if isinstance(answer, ResponseError) else answer for answer in answers
        ]

    async def close(self) -> None:
        """Closes every connection. Idempotent."""
        await self._client.aclose()

    async def _pipeline(self, script: Script, calls: Sequence[ScriptCall]) -> list[Any]:
        # Connections of a cancelled call are closed by the library, so that no later call reads its answers.
        pipeline = self._client.pipeline(transaction=False)
        for call in calls:
            pipeline.execute_command("EVALSHA", script.sha, 2, *call.keys, *call.arguments)
        return await pipeline.execute(raise_on_error=False)
