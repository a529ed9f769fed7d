"""Makes a unary call as often as its policy allows, and twice at once where it is hedged; for code without asyncio."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from typing import Any

import grpc

from tickserve.errors import TickserveError, error_from_rpc, typed_errors
from tickserve.request import Call, is_real_time
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
    attempts = retries.begin(call.timeout)
    is_hedged = retries.hedge is not None and is_real_time(call.message)

    def left() -> Call[Any]:
        return call.after(attempts.elapsed)

    current = call
    while True:
        try:
            with typed_errors():
                if is_hedged:
                    return _hedged(method, current, left, retries)
                return method(current.message, timeout=current.timeout, metadata=current.metadata)
        except TickserveError as error:
            delay = attempts.next_delay(error)
            if delay is None:
                raise
            sleep(delay)
            current = left()


def _hedged(method: Any, call: Call[Any], left: Callable[[], Call[Any]], retries: Retries) -> Any:
    """Returns the first answer of one or two copies, and cancels the other.

    Raises:
        TickserveError: Both failed; what the first copy ended with.
    """
    assert retries.hedge is not None
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def start(each: Call[Any]) -> Any:
        future = method.future(each.message, timeout=each.timeout, metadata=each.metadata)
        future.add_done_callback(ended.put)
        return future

    copies = [start(call)]
    winner = None
    try:
        try:
            winner = ended.get(timeout=retries.hedge.delay)
        except queue.Empty:
            if retries.spend_hedge():
                copies.append(start(left()))
            winner = ended.get()
            if _failed(winner) and len(copies) > 1:
                winner = ended.get()
        if _failed(winner):
            # Gives away none of gRPC's futures: whoever keeps the error would keep the channel, and a channel that the
            # garbage collector closes, in whichever thread it runs, waits there for its calls.
            raise error_from_rpc(copies[0])
        if winner is not copies[0]:
            retries.note_hedge_win()
        return winner.result()
    finally:
        for copy in copies:
            copy.cancel()
        copies.clear()
        winner = copy = None


def _failed(future: Any) -> bool:
    # Not by `exception()`, which raises something else where the other side has cancelled.
    return future.code() is not grpc.StatusCode.OK
