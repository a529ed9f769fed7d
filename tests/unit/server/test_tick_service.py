"""Laws of `StreamTicks` on the server: order within a symbol, time from receipt, bounds, and a clean end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from batching import ExpiredInQueueError
from server.call import Call
from server.live_settings import LiveSettings
from server.predictor import Answer, PredictionTask
from server.scheduler_settings import ClassTimeouts
from server.settings import Settings
from server.tick_service import TickService
from server.window_store import WindowStore
from tests.support import messages as m
from tests.support.fakes import settle
from tests.support.raw_client import read_status
from tests.support.registry import real_windows
from tests.support.routed import routed
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest, StreamTicksResponse
from tickserve.v1.tick_pb2 import FeatureRow

CALL = Call(method="/m", received_at=0.0)


class FakePredictor:
    """Keeps what it is asked and answers when told to.

    Attributes:
        clock: What `now` says.
        tasks: What was asked.
        ends: One future for each task; its exception ends the task.
    """

    def __init__(self) -> None:
        self.clock = 1000.0
        self.tasks: list[PredictionTask] = []
        self.ends: list[asyncio.Future[Answer]] = []

    def now(self) -> float:
        """A time that only the test moves."""
        return self.clock

    async def predict(self, task: PredictionTask) -> Answer:
        """Waits for the test."""
        self.tasks.append(task)
        end: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.ends.append(end)
        return await end


class Stream:
    """One open stream, driven message by message."""

    def __init__(self, service: TickService) -> None:
        self._requests: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.responses: list[StreamTicksResponse] = []
        self._stream = service.stream_ticks(self._read(), CALL)
        self.task = asyncio.get_running_loop().create_task(self._listen())
        self.read_count = 0

    async def _read(self) -> AsyncIterator[bytes]:
        while (request := await self._requests.get()) is not None:
            self.read_count += 1
            yield request

    async def _listen(self) -> None:
        async for response in self._stream:
            self.responses.append(response)

    async def send(self, *requests: StreamTicksRequest) -> list[str | None]:
        """Sends messages and returns the kinds of all responses so far."""
        for request in requests:
            self._requests.put_nowait(request.SerializeToString())
        await settle()
        return self.kinds()

    def kinds(self) -> list[str | None]:
        """Returns the kinds of all responses so far."""
        return [response.WhichOneof("message") for response in self.responses]

    async def half_close(self) -> None:
        """Ends the client's side."""
        self._requests.put_nowait(None)
        await settle()


def row(symbol: str, sequence: int, **fields: object) -> StreamTicksRequest:
    """Returns a tick with a ready row; sixty of them fill a window."""
    return m.tick(symbol, sequence, features=FeatureRow(values=[float(sequence)] * 50), **fields)


def filled(symbol: str) -> list[StreamTicksRequest]:
    """Returns the ticks after which each further one is due."""
    return [row(symbol, sequence) for sequence in range(1, 60)]


@pytest.fixture
def settings() -> Settings:
    """Few messages in flight."""
    real_windows()
    timeouts = ClassTimeouts(real_time=7.0, standard=7.0, background=7.0)
    return Settings(default_timeouts=timeouts, max_timeout=300.0, reply_margin=0.002, max_in_flight_per_stream=4)


@pytest.fixture
def predictor() -> FakePredictor:
    """Answers nothing by itself."""
    return FakePredictor()


@pytest.fixture
def windows() -> WindowStore:
    """A store."""
    return WindowStore(max_symbols=10)


@pytest.fixture
def service(settings: Settings, predictor: FakePredictor, windows: WindowStore) -> TickService:
    """The service around them."""
    return TickService(
        predictor=routed(predictor),
        windows=windows,
        live=LiveSettings(settings),
    )


def fail(predictor: FakePredictor, index: int) -> None:
    """Ends a task: as expired, which needs no answer to be made."""
    predictor.ends[index].set_exception(ExpiredInQueueError(1.0))


async def test_answers_of_one_symbol_come_in_order(service: TickService, predictor: FakePredictor) -> None:
    """A later answer waits for the earlier one of its symbol, but not for those of other symbols."""
    stream = Stream(service)
    for message in (m.opening("A", "B"), *filled("A"), *filled("B"), row("A", 60), row("A", 61), row("B", 60)):
        await stream.send(message)
    before = len(stream.responses)
    assert [task.origin.symbol for task in predictor.tasks] == ["A", "A", "B"]
    fail(predictor, 1)
    await settle()
    assert len(stream.responses) == before
    fail(predictor, 2)
    await settle()
    fail(predictor, 0)
    await settle()
    told = [(r.error.symbol, r.error.sequence) for r in stream.responses[before:]]
    assert told == [("B", 60), ("A", 60), ("A", 61)]
    await stream.half_close()
    await stream.task


async def test_answers_to_ticks_are_not_cached(service: TickService, predictor: FakePredictor) -> None:
    """A stream's windows never come again: keeping them would push out what does. They share executions, though."""
    stream = Stream(service)
    await stream.send(m.opening("A"))
    for message in [*filled("A"), row("A", 60)]:
        await stream.send(message)
    [task] = predictor.tasks
    assert (task.cacheable, task.shareable) == (False, True)
    await stream.half_close()
    fail(predictor, 0)
    await stream.task


async def test_validity_counts_from_receipt(service: TickService, predictor: FakePredictor) -> None:
    """Time that a tick spent waiting for a place on its own stream is gone from its `valid_duration`."""
    stream = Stream(service)
    await stream.send(m.opening("A"))
    for tick in filled("A"):
        await stream.send(tick)
    await stream.send(*(row("A", sequence) for sequence in range(60, 64)))
    received = predictor.clock = 2000.0
    await stream.send(row("A", 64, valid_duration=m.duration(3)))
    assert len(predictor.tasks) == 4  # the stream is full: the fifth waits
    predictor.clock = 2002.0
    fail(predictor, 0)
    await settle()
    assert predictor.tasks[4].origin.last_sequence == 64
    assert (predictor.tasks[4].received_at, predictor.tasks[4].deadline) == (received, received + 3)
    assert predictor.tasks[0].deadline == 1007.0
    stream.task.cancel()


async def test_a_full_stream_reads_no_further(service: TickService, predictor: FakePredictor) -> None:
    """With all places taken one more message is read, none after it; each answer lets one more in."""
    stream = Stream(service)
    await stream.send(m.opening("A"))
    for tick in filled("A"):
        await stream.send(tick)
    read = stream.read_count
    await stream.send(*(row("A", sequence) for sequence in range(60, 80)))
    assert (stream.read_count, len(predictor.tasks)) == (read + 5, 4)
    fail(predictor, 0)
    await settle()
    assert (stream.read_count, len(predictor.tasks)) == (read + 6, 5)
    stream.task.cancel()


async def test_half_closing_waits_for_due_predictions(
    service: TickService, predictor: FakePredictor, windows: WindowStore
) -> None:
    """Then the stream ends, is no longer counted, and its symbols are free."""
    stream = Stream(service)
    for message in (m.opening("A"), *filled("A"), row("A", 60)):
        await stream.send(message)
    await stream.half_close()
    assert not stream.task.done()
    assert service.open_stream_count == 1
    fail(predictor, 0)
    await stream.task
    assert read_status(stream.responses[-1].error.error).reason == "EXPIRED_IN_QUEUE"
    assert service.open_stream_count == 0
    assert {window.holders for window in windows._windows.values()} == {0}


async def test_a_client_that_goes_cancels_its_predictions(
    service: TickService, predictor: FakePredictor, windows: WindowStore
) -> None:
    """What is due is given up at once, and nothing stays behind."""
    stream = Stream(service)
    for message in (m.opening("A"), *filled("A"), row("A", 60)):
        await stream.send(message)
    stream.task.cancel()
    await settle()
    assert [end.cancelled() for end in predictor.ends] == [True]
    assert service.open_stream_count == 0
    assert {window.holders for window in windows._windows.values()} == {0}
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_closing_a_stream_ends_its_tasks_first(service: TickService, predictor: FakePredictor) -> None:
    """Whoever closes the generator finds nothing running afterwards."""
    requests: asyncio.Queue[bytes] = asyncio.Queue()

    async def read() -> AsyncIterator[bytes]:
        while True:
            yield await requests.get()

    stream = service.stream_ticks(read(), CALL)
    requests.put_nowait(m.opening("A").SerializeToString())
    assert (await anext(stream)).HasField("opened")
    await stream.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_refused_open_can_be_mended(service: TickService) -> None:
    """The stream lives on, and a better `open` is taken."""
    stream = Stream(service)
    assert await stream.send(m.opening("A B"), m.opening("A")) == ["error", "opened"]
    stream.task.cancel()


async def test_a_watermark_is_taken_in_silence(service: TickService) -> None:
    """Ready bars are closed as they come."""
    stream = Stream(service)
    message = StreamTicksRequest()
    message.watermark.event_time.GetCurrentTime()
    assert await stream.send(m.opening("A"), message, m.heartbeat()) == ["opened", "heartbeat"]
    stream.task.cancel()
