"""Makes a unary call as often as its policy allows, and twice at once where it is hedged; for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tickserve.errors import TickserveError, typed_errors
from tickserve.request import Call, is_real_time
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
    attempts = retries.begin(call.timeout)
    is_hedged = retries.hedge is not None and is_real_time(call.message)

    def left() -> Call[Any]:
        return call.after(attempts.elapsed)

    current = call
    while True:
        try:
            with typed_errors():
                if is_hedged:
                    return await _hedged(method, current, left, retries)
                return await method(current.message, timeout=current.timeout, metadata=current.metadata)
        except TickserveError as error:
            delay = attempts.next_delay(error)
            if delay is None:
                raise
            await sleep(delay)
            current = left()


async def _hedged(method: Any, call: Call[Any], left: Callable[[], Call[Any]], retries: Retries) -> Any:
    """Returns the first answer of one or two copies, and cancels the other.

    Raises:
        grpc.RpcError: Both failed; what the first copy ended with.
    """
    assert retries.hedge is not None

    async def start(each: Call[Any]) -> Any:
        return await method(each.message, timeout=each.timeout, metadata=each.metadata)

    copies = [asyncio.ensure_future(start(call))]
    try:
        await asyncio.wait(copies, timeout=retries.hedge.delay)
        if not copies[0].done() and retries.spend_hedge():
            copies.append(asyncio.ensure_future(start(left())))
        pending = set(copies)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            # In the order of sending, should both have ended at once.
            for copy in (each for each in copies if each in done):
                if copy.exception() is None:
                    if copy is not copies[0]:
                        retries.note_hedge_win()
                    return copy.result()
        return copies[0].result()
    finally:
        for copy in copies:
            copy.cancel()
        # Their exceptions are taken, and the losers are over before the caller goes on.
        await asyncio.gather(*copies, return_exceptions=True)
