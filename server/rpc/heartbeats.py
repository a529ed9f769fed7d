"""Signs of life on a tick stream that has been silent: proxies close what says nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from server.rpc.encode_ticks import write_heartbeat
from server.rpc.response_stream import ResponseStream
from tickserve.v1.prediction_service_pb2 import StreamTicksResponse


class SilentStream(Protocol):
    """A stream that knows when it was told something last.

    Attributes:
        responses: What its client is told.
        last_sent: Monotonic seconds.
    """

    responses: ResponseStream[StreamTicksResponse]
    last_sent: float


async def send_heartbeats(stream: SilentStream, interval: float) -> None:
    """Sends one after each `interval` seconds of silence, until it is cancelled."""
    while True:
        await asyncio.sleep(interval)
        if time.monotonic() - stream.last_sent >= interval:
            await stream.responses.reserve()
            stream.responses.put(write_heartbeat())
