"""Writes to asynchronous streams so that the peer's own status survives a write that comes too late."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from google.protobuf.message import Message

from tickserve.errors import StreamClosedError, TickserveError, error_from_parts, typed_errors

__all__ = ("finish_writing", "reason_of_end", "write_message")


async def write_message(call: Any, message: Message) -> None:
    """Sends one message on a grpc.aio stream.

    `call.write` would do, were it not that grpc.aio (1.81) overwrites the status which the peer has just sent with
    `INTERNAL: Internal error from Core` when the stream ends during a write: one refused stream in eight lost its
    reason that way. So the write goes below that method, and `call.write` is used where there is nothing below it.

    Raises:
        TickserveError: The stream is over; the error says why.
    """
    core = getattr(call, "_cython_call", None)
    with typed_errors():
        if core is None:
            await call.write(message)
            return
        await call.wait_for_connection()
    if call.done():
        raise await reason_of_end(call)
    try:
        await core.send_serialized_message(message.SerializeToString())
    except asyncio.CancelledError:
        call.cancel()  # nobody knows whether the message left, so nothing can follow it
        raise
    except Exception as error:  # any of gRPC's unnamed ones: each means that the stream has ended
        raise await reason_of_end(call) from error


async def finish_writing(call: Any) -> None:
    """Half-closes a grpc.aio stream; does nothing where it is over, since its reader is told why."""
    try:
        await call.done_writing()
    except Exception:  # as in `write_message`
        await call.code()


async def reason_of_end(call: Any) -> TickserveError:
    """Tells why a grpc.aio call is over; waits for its status where that is still under way."""
    code = await call.code()
    if code is grpc.StatusCode.OK:
        return StreamClosedError("the service has ended the stream")
    return error_from_parts(code, await call.details(), await call.trailing_metadata())
