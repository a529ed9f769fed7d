"""Laws of the limits, RPC by RPC: what is at a limit passes, one more is refused typed, and nothing else suffers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import status_pb2

from server.call import Call, current_call
from server.config.settings import Settings
from server.rpc.ingress import METHODS
from tests.support import messages as m
from tests.support.fakes import FakeContext, FakeEngine, use_engine
from tests.support.local import LocalService, local_service
from tests.support.raw_client import TIMEOUT, Refused, call, read_status
from tests.support.registry import make_registry, real_bars, real_windows
from tests.support.service import serving, settings_for
from tickserve.v1 import priority_pb2
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchResponse,
    PredictResponse,
    StreamPredictResponse,
    StreamTicksRequest,
    StreamTicksResponse,
)

Serve = Callable[..., AbstractContextManager[LocalService]]

PER_SECOND = 1 / 4000
"""No test earns a token at this rate, however slow the machine is."""
BURST = 3
PRIORITIES = (
    priority_pb2.PRIORITY_REAL_TIME,
    priority_pb2.PRIORITY_STANDARD,
    priority_pb2.PRIORITY_BACKGROUND,
)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model."""
    real_bars(130)
    real_windows()
    return make_registry(tmp_path_factory.mktemp("registry"), versions=1)


@pytest.fixture
def serve(registry: Path) -> Serve:
    """Starts a replica with the given settings."""
    return lambda **overrides: local_service(settings_for(registry, **overrides))


@pytest.fixture
def limited(serve: Serve) -> Iterator[LocalService]:
    """A replica that takes three requests of each class."""
    with serve(limits={"default_rate": PER_SECOND, "default_burst": BURST}) as service:
        yield service


def is_rate_limited(refused: Refused, *, delay: float = 1 / PER_SECOND) -> None:
    """Checks a refusal: typed, and with the time until the next token."""
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert refused.metadata["what"] == "requests"
    assert refused.retry_delay is not None
    # The test itself may take a while.
    assert delay - 600 < refused.retry_delay <= delay + 1


def test_predict_at_the_limit_and_one_more(limited: LocalService) -> None:
    """Each class has its own bucket; what cannot be read counts for none."""
    for priority in PRIORITIES:
        request = m.predict(priority=priority).SerializeToString()
        for _ in range(BURST):
            limited.unary("Predict", b"\xff")
            assert isinstance(limited.unary("Predict", request), PredictResponse)
        refused = limited.unary("Predict", request)
        assert isinstance(refused, Refused)
        is_rate_limited(refused)


def test_each_window_of_a_batch_counts(limited: LocalService) -> None:
    """Those within the limit are answered, the others refused in their places; a batch without any is refused whole."""
    items = [PredictBatchItem(request_id=str(n), window=m.window(n)) for n in range(BURST + 2)]
    response = limited.unary("PredictBatch", m.batch(items).SerializeToString())
    assert isinstance(response, PredictBatchResponse)
    kinds = [result.WhichOneof("result") for result in response.results]
    assert kinds == ["prediction"] * BURST + ["error"] * 2
    for result in response.results[BURST:]:
        is_rate_limited(read_status(result.error))
    refused = limited.unary("PredictBatch", m.batch(items).SerializeToString())
    assert isinstance(refused, Refused)
    is_rate_limited(refused)


def test_each_item_of_a_stream_counts(limited: LocalService) -> None:
    """What is over the limit is refused under its id, and the stream lives on for the other classes."""
    requests = [m.item(str(n)) for n in range(BURST + 1)]
    requests += [m.item("other class", priority=priority_pb2.PRIORITY_REAL_TIME)]
    messages, refused = limited.stream("StreamPredict", [request.SerializeToString() for request in requests])
    assert refused is None
    answers = {answer.request_id: answer for answer in messages if isinstance(answer, StreamPredictResponse)}
    failed = [name for name, answer in answers.items() if answer.WhichOneof("result") == "error"]
    assert (len(answers), failed) == (BURST + 2, [str(BURST)])
    is_rate_limited(read_status(answers[str(BURST)].error))


class Ticks:
    """One tick stream of a local replica, message by message."""

    def __init__(self, service: LocalService) -> None:
        self._sent: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.context = FakeContext()
        current_call.set(Call(method=METHODS["StreamTicks"], received_at=0.0))
        self._answers = service.replica.dispatcher.streamed("StreamTicks", self._requests(), self.context)

    async def ask(self, request: StreamTicksRequest | None) -> StreamTicksResponse | None:
        """Sends a message, or the end, and returns the next answer; None at the end."""
        self._sent.put_nowait(None if request is None else request.SerializeToString())
        answer: Message | None = await anext(self._answers, None)
        assert answer is None or isinstance(answer, StreamTicksResponse)
        return answer

    async def _requests(self) -> AsyncIterator[bytes]:
        while (request := await self._sent.get()) is not None:
            yield request


def test_a_tick_over_the_limit_may_be_sent_again(limited: LocalService, registry: Path) -> None:
    """It is refused with its sequence before it is applied: sent again, it follows the one before it without a gap."""

    async def run() -> None:
        stream = Ticks(limited)
        assert await stream.ask(m.opening("A"))
        for sequence in range(1, BURST + 1):
            answer = await stream.ask(m.tick("A", sequence))
            assert answer is not None
            assert answer.progress.sequence == sequence
        answer = await stream.ask(m.tick("A", BURST + 1))
        assert answer is not None
        assert (answer.error.symbol, answer.error.sequence) == ("A", BURST + 1)
        is_rate_limited(read_status(answer.error.error))
        answer = await stream.ask(m.heartbeat())  # the stream lives, and these are free
        assert answer is not None
        assert answer.WhichOneof("message") == "heartbeat"
        # Limits are live: without one the same tick is taken.
        limited.replica.reconfigure(settings)
        answer = await stream.ask(m.tick("A", BURST + 1))
        assert answer is not None
        assert (answer.WhichOneof("message"), answer.progress.sequence) == ("progress", BURST + 1)
        assert limited.replica.snapshot().ticks.missing == 0
        assert await stream.ask(None) is None
        assert stream.context.code is None

    settings = settings_for(registry)
    limited.runner.run(run())


def test_streams_at_the_limit_and_one_more(serve: Serve) -> None:
    """The second is refused as a whole, and taken when the first is over."""

    async def run(service: LocalService) -> None:
        first, second = Ticks(service), Ticks(service)
        assert await first.ask(m.opening("A"))
        assert await second.ask(m.opening("B")) is None
        [(_, packed)] = second.context.trailers
        assert isinstance(packed, bytes)
        refused = read_status(status_pb2.Status.FromString(packed))
        assert (refused.reason, refused.metadata["what"]) == ("RATE_LIMITED", "streams")
        assert refused.retry_delay is not None
        assert await first.ask(None) is None
        third = Ticks(service)
        assert await third.ask(m.opening("B"))
        assert await third.ask(None) is None

    with serve(limits={"max_streams_per_key": 1}) as service:
        service.runner.run(run(service))


def padded(request: Message, size: int) -> bytes:
    """Returns a message of exactly `size` bytes, the rest of which is a field that nobody knows."""
    data = request.SerializeToString()
    rest = size - len(data) - 5
    assert rest > 2**14  # so that its length has three bytes, and its tag two
    return data + b"\xc2\x3e" + bytes([rest & 127 | 128, rest >> 7 & 127 | 128, rest >> 14]) + bytes(rest)


def test_single_limits_at_the_limit_and_one_more(serve: Serve) -> None:
    """Message size, windows of a batch, symbols of a stream, and the lengths of ids."""
    size, windows, symbols = 64 * 1024, 2, 3
    items = [PredictBatchItem(request_id=str(n), window=m.window(n)) for n in range(windows + 1)]
    names = [f"S{number}" for number in range(symbols + 1)]

    def unary(method: str, request: bytes) -> str:
        answer = service.unary(method, request)
        return answer.reason if isinstance(answer, Refused) else ""

    def opened(*symbols: str) -> str:
        [answer], refused = service.stream("StreamTicks", [m.opening(*symbols).SerializeToString()])
        assert refused is None
        assert isinstance(answer, StreamTicksResponse)
        return read_status(answer.error.error).reason if answer.WhichOneof("message") == "error" else ""

    with serve(max_request_bytes=size, max_windows_per_request=windows, max_symbols_per_stream=symbols) as service:
        assert unary("Predict", padded(m.predict(), size)) == ""
        assert unary("Predict", padded(m.predict(), size + 1)) == "LIMIT_EXCEEDED"
        assert unary("PredictBatch", m.batch(items[:windows]).SerializeToString()) == ""
        assert unary("PredictBatch", m.batch(items).SerializeToString()) == "TOO_MANY_WINDOWS"
        assert unary("Predict", m.predict(request_id="r" * 128).SerializeToString()) == ""
        assert unary("Predict", m.predict(request_id="r" * 129).SerializeToString()) == "LIMIT_EXCEEDED"
        assert opened(*names[:symbols]) == ""
        assert opened(*names) == "LIMIT_EXCEEDED"
        assert opened("s" * 64) == ""
        assert opened("s" * 65) == "INVALID_SYMBOL"


@pytest.fixture(scope="module")
def small_metadata(registry: Path) -> Settings:
    """Little metadata."""
    return settings_for(registry, limits={"max_metadata_bytes": 1024})


async def test_metadata_at_the_limit_and_over_it(small_metadata: Settings) -> None:
    """Over a socket, where the client library adds its own: typed, before anything is read, and the channel lives."""

    async def sent(channel: grpc.aio.Channel, size: int) -> bytes | Refused:
        return await call(channel, "ListModels", b"", x_padding="p" * size)

    with use_engine(FakeEngine):
        replica = serving(small_metadata)
    async with replica as service, grpc.aio.insecure_channel(service.target) as channel:
        refused = await sent(channel, 1024)
        assert isinstance(refused, Refused)
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "LIMIT_EXCEEDED")
        assert refused.fields == ("metadata",)
        # One byte for each that it is over the limit, and it fits exactly.
        over = int(refused.metadata["have"]) - int(refused.metadata["limit"])
        assert isinstance(await sent(channel, 1024 - over), bytes)
        assert isinstance(await sent(channel, 1025 - over), Refused)


class CrowdedBoard:
    """A board on which two other replicas have told of themselves.

    Attributes:
        asked: How often a replica counted the others; one is released for each.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Semaphore(0)

    async def publish(self, replica_id: str, figures: bytes, details: bytes = b"") -> bool:
        """Takes anything; nobody looks."""
        del replica_id, figures, details
        return False

    async def others(self, replica_id: str) -> list[tuple[float, bytes]]:
        """Tells of two."""
        del replica_id
        self.asked.release()
        return [(0.0, b""), (0.0, b"")]

    async def details(self, replica_id: str) -> dict[str, bytes]:
        """Has none."""
        del replica_id
        return {}


async def test_a_replica_takes_its_share_of_the_limit(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as it has met a limit it counts the others: three that share thirty admit ten each."""
    monkeypatch.setattr("server.replica_news.INTERVAL", 0.0)
    board, request = CrowdedBoard(), m.predict().SerializeToString()
    settings = await asyncio.to_thread(settings_for, registry, limits={"default_rate": PER_SECOND, "default_burst": 30})
    with use_engine(FakeEngine):
        running = serving(settings, board=board)
    async with running as service, grpc.aio.insecure_channel(service.target) as channel:
        assert board.asked.locked()  # nobody is counted for nothing
        assert isinstance(await call(channel, "Predict", request), bytes)
        async with asyncio.timeout(TIMEOUT):
            for _ in range(2):  # the second time the first count is in force
                await board.asked.acquire()
        answers = [await call(channel, "Predict", request) for _ in range(30)]
    admitted = sum(isinstance(answer, bytes) for answer in answers)
    assert admitted == 10
    assert isinstance(answers[-1], Refused)
    # A third of the rate: the next token takes three times as long.
    is_rate_limited(answers[-1], delay=3 / PER_SECOND)
