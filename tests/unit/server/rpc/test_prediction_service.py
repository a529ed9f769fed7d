"""Laws of `StreamPredict` on the server: time from receipt, ids unique in flight, and a clean end."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from batching import ExpiredInQueueError
from server.call import Call
from server.config.limit_settings import LimitSettings
from server.config.live_settings import LiveSettings
from server.config.scheduler_settings import ClassTimeouts
from server.config.settings import Settings
from server.inference.predictor import Answer, PredictionTask
from server.rpc.prediction_service import PredictionService
from server.security.caller_limits import CallerLimits
from server.windows.memory_window_store import MemoryWindowStore
from tests.support import messages as m
from tests.support.fakes import settle
from tests.support.observed import watcher
from tests.support.raw_client import read_status
from tests.support.registry import real_windows
from tests.support.routed import routed
from tickserve.v1.prediction_service_pb2 import StreamPredictRequest, StreamPredictResponse

LIMIT = 3


class FakePredictor:
    """Answers when told to, at a time that only the test moves."""

    def __init__(self) -> None:
        self.clock = 1000.0
        self.tasks: list[PredictionTask] = []
        self.ends: list[asyncio.Future[Answer]] = []

    def now(self) -> float:
        """The test's time."""
        return self.clock

    async def predict(self, task: PredictionTask) -> Answer:
        """Waits for the test."""
        self.tasks.append(task)
        self.ends.append(asyncio.get_running_loop().create_future())
        return await self.ends[-1]

    def expire(self, index: int) -> None:
        """Ends a task, in the way that needs no answer to be made."""
        self.ends[index].set_exception(ExpiredInQueueError(1.0))


class Stream:
    """One open stream."""

    def __init__(self, service: PredictionService, call: Call) -> None:
        self.requests: asyncio.Queue[bytes] = asyncio.Queue()
        self.responses: list[StreamPredictResponse] = []
        self.answers = service.stream_predict(self._read(), call)
        self.task = asyncio.get_running_loop().create_task(self._listen())

    async def _read(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.requests.get()

    async def _listen(self) -> None:
        async for response in self.answers:
            self.responses.append(response)

    async def send(self, *requests: StreamPredictRequest) -> None:
        """Sends items."""
        for request in requests:
            self.requests.put_nowait(request.SerializeToString())
        await settle()

    def told(self) -> list[tuple[str, str]]:
        """Returns id and reason of all errors so far."""
        return [(response.request_id, read_status(response.error).reason) for response in self.responses]


@pytest.fixture
def predictor() -> FakePredictor:
    """Answers nothing by itself."""
    return FakePredictor()


@pytest.fixture
def service(predictor: FakePredictor) -> PredictionService:
    """The service around it; few items may be in flight."""
    real_windows()
    timeouts = ClassTimeouts(real_time=1.0, standard=7.0, background=30.0)
    return PredictionService(
        predictor=routed(predictor),
        windows=MemoryWindowStore(max_symbols=1),
        watcher=watcher(),
        limits=CallerLimits(LimitSettings),
        live=LiveSettings(
            Settings(default_timeouts=timeouts, max_timeout=300.0, reply_margin=0.0, max_in_flight_per_stream=LIMIT)
        ),
    )


@pytest.fixture
async def stream(service: PredictionService) -> AsyncIterator[Stream]:
    """An open stream without deadline."""
    stream = Stream(service, Call(method="/m", received_at=0.0))
    yield stream
    stream.task.cancel()
    await settle()


async def test_an_items_time_counts_from_its_receipt(stream: Stream, predictor: FakePredictor) -> None:
    """What an item waits for a place on its own stream is gone from its timeout."""
    await stream.send(*(m.item(f"{number}") for number in range(LIMIT)))
    predictor.clock = 2000.0
    await stream.send(m.item("waits", timeout=m.duration(3)))
    assert len(predictor.tasks) == LIMIT
    predictor.clock = 2002.0
    predictor.expire(0)
    await settle()
    assert (predictor.tasks[LIMIT].received_at, predictor.tasks[LIMIT].deadline) == (2000.0, 2003.0)


@pytest.mark.parametrize(("priority", "deadline"), [(1, 1001.0), (2, 1007.0), (3, 1030.0)])
async def test_an_item_has_its_classs_default(
    stream: Stream, predictor: FakePredictor, priority: int, deadline: float
) -> None:
    """The stream's own deadline, or its absence, says nothing of one item's urgency."""
    await stream.send(m.item(priority=priority))
    assert predictor.tasks[0].deadline == deadline


async def test_no_item_outlives_its_stream(service: PredictionService, predictor: FakePredictor) -> None:
    """The RPC's deadline bounds every item."""
    stream = Stream(service, Call(method="/m", received_at=0.0, rpc_deadline=1002.0))
    await stream.send(m.item("a"), m.item("b", timeout=m.duration(1)))
    assert [task.deadline for task in predictor.tasks] == [1002.0, 1001.0]
    stream.task.cancel()
    await settle()


async def test_an_id_in_flight_is_refused_and_then_free(stream: Stream, predictor: FakePredictor) -> None:
    """The second use fails at once and does not end the first; when that is answered the id may be used again."""
    await stream.send(m.item("same"), m.item("same"))
    assert stream.told() == [("same", "REQUEST_ID_REUSED")]
    predictor.expire(0)
    await settle()
    await stream.send(m.item("same"))
    assert stream.told()[1:] == [("same", "EXPIRED_IN_QUEUE")]
    assert len(predictor.tasks) == 2


async def test_answers_come_as_they_are_ready(stream: Stream, predictor: FakePredictor) -> None:
    """Out of order, each under its id."""
    await stream.send(m.item("a"), m.item("b"), m.item("c"))
    for index in (1, 2, 0):
        predictor.expire(index)
        await settle()
    assert [name for name, _ in stream.told()] == ["b", "c", "a"]


async def test_closing_a_stream_ends_its_work_first(service: PredictionService, predictor: FakePredictor) -> None:
    """Whoever closes the generator finds nothing running afterwards."""

    async def read() -> AsyncIterator[bytes]:
        yield m.item("a").SerializeToString()
        yield b"\xff"
        await asyncio.Event().wait()

    answers = service.stream_predict(read(), Call(method="/m", received_at=0.0))
    assert read_status((await anext(answers)).error).reason == "MALFORMED_MESSAGE"
    await settle()
    await answers.aclose()
    assert [end.cancelled() for end in predictor.ends] == [True]
    assert asyncio.all_tasks() == {asyncio.current_task()}
