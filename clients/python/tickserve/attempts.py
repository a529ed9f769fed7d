"""Makes a unary call as often as its policy allows, and twice at once where it is hedged; for code without asyncio."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

import grpc

from tickserve.call_attempts import CallAttempts
from tickserve.errors import TickserveError, error_from_rpc, typed_errors
from tickserve.request import Call
from tickserve.retry import Retries

__all__ = ("make_call",)


def make_call(method: Any, call: Call[Any], retries: Retries, *, sleep: Callable[[float], None] = time.sleep) -> Any:
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
                    return _hedged(method, attempts, attempts.hedge_delay)
                return method(current.message, timeout=current.timeout, metadata=current.metadata)
        except TickserveError as error:
            delay = attempts.delay_after(error)
            if delay is None:
                raise
            sleep(delay)
            attempts.renew()


def _hedged(method: Any, attempts: CallAttempts[Any], delay: float) -> Any:
    """Returns the first answer of one or two copies, and cancels the other.

    Raises:
        TickserveError: Both failed; what the first copy ended with.
    """
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def start(each: Call[Any]) -> Any:
        future = method.future(each.message, timeout=each.timeout, metadata=each.metadata)
        future.add_done_callback(ended.put)
        return future

    copies = [start(attempts.current)]
    winner = None
    try:
        try:
            winner = ended.get(timeout=delay)
        except queue.Empty:
            if (second := attempts.second_copy()) is not None:
                copies.append(start(second))
            winner = ended.get()
            if _failed(winner) and len(copies) > 1:
                winner = ended.get()
        if _failed(winner):
            # Gives away none of gRPC's futures: whoever keeps the error would keep the channel, and a channel that the
            # garbage collector closes, in whichever thread it runs, waits there for its calls.
            raise error_from_rpc(copies[0])
        if winner is not copies[0]:
            attempts.second_copy_won()
        return winner.result()
    finally:
        for copy in copies:
            copy.cancel()
        copies.clear()
        winner = copy = None


def _failed(future: Any) -> bool:
    # Not by `exception()`, which raises something else where the other side has cancelled.
    return future.code() is not grpc.StatusCode.OK
