"""Laws of flow on a stream, over a real socket: a writer is held by its own unread answers, and harms nobody else."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import AsyncIterator, Callable, MutableSet
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
import pytest_asyncio

from model.feature_schema import FEATURE_COUNT
from server.config.settings import Settings
from server.rpc.ingress import METHODS
from server.rpc.response_stream import ResponseStream
from tests.support import messages as m
from tests.support.raw_client import call, exchange
from tests.support.registry import make_registry, real_bars
from tests.support.service import Service, serving, settings_for
from tickserve.v1.prediction_service_pb2 import PredictResponse, StreamPredictResponse, StreamTicksResponse
from tickserve.v1.tick_pb2 import FeatureRow, WindowReset

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 90.0
MAX_MESSAGES = 16
MAX_BYTES = 64 * 1024
# A window has 12 kB, so that its stream is bounded by bytes before it is by messages.
WINDOW_BYTES = len(m.item("1").SerializeToString())
# Without these a client that does not read takes in more and more on a quick connection, before it holds the server.
SMALL_WINDOW = (("grpc.http2.bdp_probe", 0), ("grpc.use_local_subchannel_pool", 1))
# A field that nobody knows, of 8 kB: ticks alone are so small that a connection's own buffers hold thousands.
PADDING = b"\xc2\x3e\x80\x40" + bytes(8192)
# More than any buffers between client and server could hold, and too many for a bound that does not work.
FLOOD = 20_000


@dataclass
class Watched:
    """What the server's streams have in memory.

    Attributes:
        streams: Those that reserved a place since the test began and are still there.
        taken: How many places they reserved.
        peak: Most places that one of them had at once.
        peak_bytes: Most bytes that one of them had at once.
    """

    streams: MutableSet[ResponseStream[Any]] = field(default_factory=weakref.WeakSet)
    taken: int = 0
    peak: int = 0
    peak_bytes: int = 0


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Small bounds."""
    real_bars(130)
    registry = make_registry(tmp_path_factory.mktemp("registry"))
    return settings_for(registry, max_in_flight_per_stream=MAX_MESSAGES, max_in_flight_bytes_per_stream=MAX_BYTES)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(settings: Settings) -> AsyncIterator[Service]:
    """A replica on a socket."""
    async with serving(settings) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A connection of the test's own."""
    async with grpc.aio.insecure_channel(service.target, options=SMALL_WINDOW) as connected:
        yield connected


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Looks on wherever a stream takes a message in."""
    seen = Watched()
    reserve = ResponseStream.reserve

    async def looked_upon(self: ResponseStream[Any], size: int = 0) -> None:
        await reserve(self, size)
        seen.streams.add(self)
        seen.taken += 1
        seen.peak = max(seen.peak, self.in_flight)
        seen.peak_bytes = max(seen.peak_bytes, self.in_flight_bytes)

    monkeypatch.setattr(ResponseStream, "reserve", looked_upon)
    return seen


class Flood:
    """A client that writes as fast as it may, and reads only when it is told to.

    Args:
        channel: Its connection.
        method: `StreamPredict` or `StreamTicks`.
        symbol: Of its ticks; no other stream may have it.

    Attributes:
        written: How many messages gRPC took from it.
    """

    def __init__(self, channel: grpc.aio.Channel, method: str, symbol: str) -> None:
        self._method = method
        self._symbol = symbol
        self._is_over = False
        self._stream: Any = channel.stream_stream(METHODS[method])()
        self.written = 0
        self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        if self._method == "StreamTicks":
            await self._stream.write(m.opening(self._symbol).SerializeToString())
        while not self._is_over and self.written < FLOOD:
            await self._stream.write(self._message(self.written + 1))
            self.written += 1
        await self._stream.done_writing()

    def _message(self, number: int) -> bytes:
        if self._method == "StreamPredict":
            return m.item(str(number), timeout=m.duration(300)).SerializeToString()
        row = FeatureRow(values=[1.0] * FEATURE_COUNT)
        return m.tick(self._symbol, number, valid_duration=m.duration(300), features=row).SerializeToString() + PADDING

    async def until_held(self) -> None:
        """Returns when nothing more is taken from it, or when it is through."""
        before = -1
        while self.written != before and not self._writing.done():
            before = self.written
            await asyncio.sleep(0.5)

    async def read_all(self) -> list[int]:
        """Stops writing and returns the numbers of all answers."""
        self._is_over = True
        numbers = []
        async for data in self._stream:
            if self._method == "StreamPredict":
                response = StreamPredictResponse.FromString(data)
                assert response.HasField("prediction"), response
                numbers.append(int(response.request_id))
            else:
                message = StreamTicksResponse.FromString(data)
                kind = message.WhichOneof("message")
                assert kind in {"opened", "progress", "prediction"}, message
                if kind != "opened":
                    numbers.append(getattr(message, str(kind)).sequence)
        await self._writing
        return numbers

    async def leave(self) -> None:
        """Ends the client's side, however it stands."""
        self._writing.cancel()
        self._stream.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)


@contextlib.asynccontextmanager
async def flooding(channel: grpc.aio.Channel, method: str, symbol: str) -> AsyncIterator[Flood]:
    """Floods a stream until the context is left."""
    flood = Flood(channel, method, symbol)
    try:
        yield flood
    finally:
        await flood.leave()


async def check_others(channel: grpc.aio.Channel, symbol: str) -> None:
    """Asserts that a call and a stream of each kind are served, from beginning to end."""
    response = await call(channel, "Predict", m.predict().SerializeToString(), timeout=PATIENCE)
    assert isinstance(response, bytes), response
    assert PredictResponse.FromString(response).HasField("prediction")
    items = [m.item(str(number)).SerializeToString() for number in range(2 * MAX_MESSAGES)]
    answers = await exchange(channel, "StreamPredict", items, timeout=PATIENCE)
    assert all(StreamPredictResponse.FromString(answer).HasField("prediction") for answer in answers)
    assert len(answers) == len(items)
    ticks = [m.opening(symbol), *(m.tick(symbol, number) for number in range(1, 126))]
    answers = await exchange(channel, "StreamTicks", [tick.SerializeToString() for tick in ticks], timeout=PATIENCE)
    kinds = [StreamTicksResponse.FromString(answer).WhichOneof("message") for answer in answers]
    assert kinds == ["opened", *119 * ["progress"], *6 * ["prediction"]]


@contextlib.asynccontextmanager
async def relay(target: str) -> AsyncIterator[tuple[str, Callable[[], None]]]:
    """Carries connections to a server; yields its own address, and what cuts them all as a dead machine would."""
    host, _, port = target.rpartition(":")
    writers: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        writers.extend((writer, back))
        await asyncio.gather(pump(reader, back), pump(there, writer))

    def cut() -> None:
        for writer in writers:
            writer.transport.abort()

    server = await asyncio.start_server(carry, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", cut
    finally:
        server.close()
        cut()


@pytest.mark.parametrize("method", ["StreamPredict", "StreamTicks"])
async def test_a_writer_that_does_not_read_is_held(
    service: Service, channel: grpc.aio.Channel, watched: Watched, method: str
) -> None:
    """It is stopped by flow control at the stream's bounds, others are served meanwhile; reading loses nothing."""
    async with flooding(channel, method, f"HELD-{method}") as flood:
        await flood.until_held()
        assert 0 < flood.written < FLOOD
        assert watched.peak <= MAX_MESSAGES
        assert watched.peak_bytes <= MAX_BYTES
        # A window and a padded tick are large: it is the bytes that held the writer.
        assert watched.peak_bytes > MAX_BYTES - max(WINDOW_BYTES, len(PADDING)) - 1000
        await check_others(channel, f"BESIDE-{method}")
        async with grpc.aio.insecure_channel(service.target) as another:
            await check_others(another, f"APART-{method}")
        numbers = await asyncio.wait_for(flood.read_all(), PATIENCE)
        assert sorted(numbers) == list(range(1, flood.written + 1))
        if method == "StreamTicks":
            assert numbers == sorted(numbers)
    assert watched.peak <= MAX_MESSAGES


async def until_nothing_remains(service: Service, watched: Watched) -> None:
    """Returns when the replica has nothing of any stream any more; nobody tells when that is."""
    while True:
        gc.collect()
        now = service.replica.snapshot()
        if not (
            watched.streams or now.open_streams or now.scheduler.in_flight or sum(now.scheduler.queue_size.values())
        ):
            return
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("method", ["StreamPredict", "StreamTicks"])
async def test_a_client_that_vanishes_leaves_nothing(service: Service, watched: Watched, method: str) -> None:
    """A connection that is cut while its stream is full takes tasks, places, batches and symbols with it."""
    async with (
        relay(service.target) as (target, cut),
        grpc.aio.insecure_channel(target, options=SMALL_WINDOW) as connection,
        flooding(connection, method, "VANISHES") as flood,
    ):
        await flood.until_held()
        assert flood.written < FLOOD
        assert len(watched.streams) == 1
        cut()
        await asyncio.wait_for(until_nothing_remains(service, watched), PATIENCE)
    async with grpc.aio.insecure_channel(service.target) as another:
        await check_others(another, f"AFTER-{method}")
        ticks = [m.opening("VANISHES"), m.tick("VANISHES", 1, reset=WindowReset())]
        answers = await exchange(another, "StreamTicks", [tick.SerializeToString() for tick in ticks])
    assert StreamTicksResponse.FromString(answers[0]).WhichOneof("message") == "opened"


@pytest.mark.parametrize("method", ["StreamPredict", "StreamTicks"])
async def test_half_closing_in_mid_batch_loses_nothing(channel: grpc.aio.Channel, method: str) -> None:
    """A client that sends all it has and closes its side at once is answered in full, and the stream ends well."""
    count = 5 * MAX_MESSAGES
    if method == "StreamPredict":
        requests = [m.item(str(number)).SerializeToString() for number in range(count)]
        answers = await exchange(channel, method, requests, timeout=PATIENCE)
        responses = [StreamPredictResponse.FromString(answer) for answer in answers]
        assert {response.request_id for response in responses} == {str(number) for number in range(count)}
        assert all(response.HasField("prediction") for response in responses)
        return
    ticks = [m.opening("HALF"), *(m.tick("HALF", number) for number in range(1, 120 + count))]
    answers = await exchange(channel, method, [tick.SerializeToString() for tick in ticks], timeout=PATIENCE)
    messages = [StreamTicksResponse.FromString(answer) for answer in answers]
    predicted = [message.prediction.sequence for message in messages if message.HasField("prediction")]
    assert predicted == list(range(120, 120 + count))
