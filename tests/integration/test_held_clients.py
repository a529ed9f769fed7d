"""Clients that write and never read, through the proxy: each holds up itself alone."""

import asyncio
import contextlib

import grpc
import pytest

from model.feature_schema import FEATURE_COUNT
from server.rpc.ingress import METHODS
from tests.integration.conftest import Service
from tests.support import messages as m
from tests.support.raw_client import call
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest
from tickserve.v1.tick_pb2 import FeatureRow

STREAMS = 8
OTHERS = 8
# A field that nobody knows, of 2 kB: ticks alone are so small that a connection's own buffers hold thousands.
PADDING = b"\xc2\x3e\x80\x10" + bytes(2048)
FLOOD = 50_000
# A client that does not read takes in more and more on a quick connection otherwise, before it holds the server.
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))


class Flood:
    """Writes to several streams of one connection and reads none.

    Args:
        channel: The connection.
        method: `StreamPredict` or `StreamTicks`.
    """

    def __init__(self, channel: grpc.aio.Channel, method: str) -> None:
        self._method = method
        self._streams: list[grpc.aio.StreamStreamCall[bytes, bytes]] = [
            channel.stream_stream(METHODS[method])() for _ in range(STREAMS)
        ]
        self.written = [0] * STREAMS
        self._tasks = [asyncio.create_task(self._write(number)) for number in range(STREAMS)]

    async def _write(self, number: int) -> None:
        stream, symbol = self._streams[number], f"HELD{number}"
        if self._method == "StreamTicks":
            await stream.write(m.opening(symbol).SerializeToString())
        while self.written[number] < FLOOD:
            await stream.write(self._message(symbol, self.written[number] + 1))
            self.written[number] += 1

    def _message(self, symbol: str, number: int) -> bytes:
        if self._method == "StreamPredict":
            return m.item(str(number)).SerializeToString() + PADDING
        row = FeatureRow(values=[1.0] * FEATURE_COUNT)
        tick: StreamTicksRequest = m.tick(symbol, number, features=row)
        return tick.SerializeToString() + PADDING

    async def until_held(self) -> None:
        """Returns when nothing more is taken from any stream."""
        before: list[int] = []
        while before != self.written:
            before = list(self.written)
            await asyncio.sleep(1)

    async def leave(self) -> None:
        """Ends the client's side."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in self._streams:
            stream.cancel()


@pytest.mark.parametrize("method", ["StreamPredict", "StreamTicks"])
async def test_clients_that_never_read_harm_no_other(service: Service, method: str) -> None:
    """While eight streams are stuck for good, other clients are answered; afterwards, too."""
    async with contextlib.AsyncExitStack() as stack:
        held = await stack.enter_async_context(grpc.aio.insecure_channel(service.target, options=SMALL_WINDOW))
        flood = Flood(held, method)
        try:
            await flood.until_held()
            assert min(flood.written) > 0
            assert max(flood.written) < FLOOD
            # Connections that come after it, and several: the proxy shares them out among its threads.
            others = [
                await stack.enter_async_context(grpc.aio.insecure_channel(service.target, options=SMALL_WINDOW))
                for _ in range(OTHERS)
            ]
            await asyncio.gather(*(check(other) for other in others))
        finally:
            await flood.leave()
        await asyncio.gather(*(check(other) for other in others))


async def check(channel: grpc.aio.Channel) -> None:
    """Asserts that calls are answered."""
    for _ in range(5):
        response = await call(channel, "Predict", m.predict().SerializeToString(), timeout=30)
        assert isinstance(response, bytes), response
