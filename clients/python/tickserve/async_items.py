"""Sends items on a stream and takes their answers, at once and on one task's behalf."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from typing import Any

import grpc

from tickserve.async_write import finish_writing, write_message
from tickserve.errors import StreamClosedError, TickserveError, typed_errors
from tickserve.request import StreamItem
from tickserve.result import Result, read_result
from tickserve.v1.prediction_service_pb2 import StreamPredictRequest

__all__ = ("answer_items",)

Build = Callable[[StreamItem], StreamPredictRequest]


async def answer_items(
    start: Callable[[], Any], items: AsyncIterable[StreamItem] | Iterable[StreamItem], build: Build
) -> AsyncGenerator[tuple[str, Result], None]:
    """Yields each answer of the call that `start` makes, a grpc.aio.StreamStreamCall, while its items are sent.

    gRPC would take the items by itself, but swallows what their iterator raises; here the caller gets to see it.
    """
    call = start()
    writer = asyncio.create_task(_write(call, items, build))
    try:
        with typed_errors():
            while (response := await call.read()) is not grpc.aio.EOF:
                yield response.request_id, read_result(response)
    except asyncio.CancelledError:
        # gRPC says so when this task is cancelled, and also when the writer cancelled the call for its own
        # error, or the client was closed.
        task = asyncio.current_task()
        if task and task.cancelling():
            raise
        if writer.done():
            writer.result()
        raise StreamClosedError("the client was closed while it was streaming") from None
    finally:
        call.cancel()
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):  # told above, where there was anyone to tell
            await writer


async def _write(call: Any, items: AsyncIterable[StreamItem] | Iterable[StreamItem], build: Build) -> None:
    try:
        if isinstance(items, AsyncIterable):
            async for item in items:
                await write_message(call, build(item))
        else:
            for item in items:
                await write_message(call, build(item))
        await finish_writing(call)
    except Exception as error:
        if isinstance(error, TickserveError) and call.done():
            return  # its reader is told why
        call.cancel()
        raise
