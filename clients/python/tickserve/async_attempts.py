"""Makes a unary call as often as its policy allows, and twice at once where it is hedged; for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tickserve.call_attempts import CallAttempts
from tickserve.errors import TickserveError, typed_errors
from tickserve.request import Call
from tickserve.retry import Retries

__all__ = ("make_call",)


async def make_call(
    method: Any, call: Call[Any], retries: Retries, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Any:
    """Returns the response of the first attempt that is answered.

    Args:
        method: A stub's unary method.
        call: What is sent; further attempts have what is left of its time.
        retries: The client's.
        sleep: Waits for so many seconds.

    Raises:
        TickserveError: What the last attempt ended with.
    """
    attempts = CallAttempts(call, retries)
    while True:
        current = attempts.current
        try:
            with typed_errors():
                if attempts.hedge_delay is not None:
                    return await _hedged(method, attempts, attempts.hedge_delay)
                return await method(current.message, timeout=current.timeout, metadata=current.metadata)
        except TickserveError as error:
            delay = attempts.delay_after(error)
            if delay is None:
                raise
            await sleep(delay)
            attempts.renew()


async def _hedged(method: Any, attempts: CallAttempts[Any], delay: float) -> Any:
    """Returns the first answer of one or two copies, and cancels the other.

    Raises:
        grpc.RpcError: Both failed; what the first copy ended with.
    """

    async def start(each: Call[Any]) -> Any:
        return await method(each.message, timeout=each.timeout, metadata=each.metadata)

    copies = [asyncio.ensure_future(start(attempts.current))]
    try:
        await asyncio.wait(copies, timeout=delay)
        if not copies[0].done() and (second := attempts.second_copy()) is not None:
            copies.append(asyncio.ensure_future(start(second)))
        pending = set(copies)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            # In the order of sending, should both have ended at once.
            for copy in (each for each in copies if each in done):
                if copy.exception() is None:
                    if copy is not copies[0]:
                        attempts.second_copy_won()
                    return copy.result()
        return copies[0].result()
    finally:
        for copy in copies:
            copy.cancel()
        # Their exceptions are taken, and the losers are over before the caller goes on.
        await asyncio.gather(*copies, return_exceptions=True)
