"""Laws of scheduling over a real socket: overload is told with its type, work is shared, and settings change live."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from server.config.scheduler_settings import ClassTimeouts
from server.config.settings import Settings
from server.rpc.ingress import METHODS
from tests.support import messages as m
from tests.support.fakes import FakeEngine, use_engine
from tests.support.raw_client import Refused, call, read_status
from tests.support.registry import make_registry
from tests.support.service import Service, serving, settings_for
from tickserve.v1.model_service_pb2 import GetStatisticsResponse, ReplicaStatistics
from tickserve.v1.prediction_pb2 import Prediction, PredictOptions
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchResponse,
    PredictResponse,
    StreamTicksResponse,
)

REAL_TIME, STANDARD, BACKGROUND, SHADOW = 1, 2, 3, 4


class HeldEngine(FakeEngine):
    """An engine that can be held: while it is, a batch that has begun does not end."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Semaphore(0)
        self.free = threading.Event()
        self.free.set()
        self.wait = self._wait

    def _wait(self) -> None:
        self.begun.release()
        assert self.free.wait(60)

    async def has_begun(self) -> None:
        """Waits for a batch that was not waited for yet."""
        assert await asyncio.to_thread(self.begun.acquire, timeout=60)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One version."""
    return make_registry(tmp_path_factory.mktemp("registry"), versions=1)


@pytest.fixture
def scheduler() -> dict[str, Any]:
    """Settings of the scheduler, for tests to change before the service starts."""
    return {"max_batch_size": 8}


@pytest.fixture
def settings(registry: Path, scheduler: dict[str, Any]) -> Settings:
    """Generous timeouts; every request is scheduled, also one whose answer is known."""
    return settings_for(registry, scheduler=scheduler, cache={"enabled": False})


@pytest.fixture
def engine() -> Iterator[HeldEngine]:
    """The engine of every model."""
    engine = HeldEngine()
    with use_engine(lambda: engine):
        yield engine


@pytest.fixture
async def service(settings: Settings, engine: HeldEngine) -> AsyncIterator[Service]:
    """A replica on a socket."""
    async with serving(settings) as running:
        yield running
        engine.free.set()


@pytest.fixture
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it."""
    async with grpc.aio.insecure_channel(service.target) as connected:
        yield connected


def send(channel: grpc.aio.Channel, number: int, **fields: Any) -> asyncio.Task[bytes | Refused]:
    """Begins a call with a window of its own number."""
    request = m.predict(window=m.window(number), **fields)
    return asyncio.create_task(call(channel, "Predict", request.SerializeToString()))


async def prediction(task: asyncio.Task[bytes | Refused]) -> Prediction:
    """Returns the answer to a call."""
    response = await task
    assert isinstance(response, bytes), response
    return PredictResponse.FromString(response).prediction


async def refusal(task: asyncio.Task[bytes | Refused]) -> Refused:
    """Returns how a call was refused."""
    response = await task
    assert isinstance(response, Refused)
    return response


async def statistics(channel: grpc.aio.Channel) -> ReplicaStatistics:
    """Returns the replica's statistics."""
    response = await call(channel, "GetStatistics", b"")
    assert isinstance(response, bytes)
    [replica] = GetStatisticsResponse.FromString(response).replicas
    return replica


async def submitted(channel: grpc.aio.Channel, count: int) -> ReplicaStatistics:
    """Waits until so many requests have arrived at the scheduler."""
    async with asyncio.timeout(60):
        while (replica := await statistics(channel)).outcome_counts["submitted"] < count:
            pass
    return replica


async def occupy(channel: grpc.aio.Channel, engine: HeldEngine) -> asyncio.Task[bytes | Refused]:
    """Returns a call that is in the engine and stays there until that is freed."""
    engine.free.clear()
    first = send(channel, 0)
    await engine.has_begun()
    return first


async def test_warm_up_costs_are_known_before_any_request(channel: grpc.aio.Channel) -> None:
    """Sizes, medians and a limit, of the default model; nothing has been counted yet."""
    replica = await statistics(channel)
    [cost] = replica.costs
    assert cost.model == replica.models[0]
    assert [batch.batch_size for batch in cost.batches] == [1, 2, 4, 8]
    assert [batch.median_duration.ToMilliseconds() for batch in cost.batches] == [1, 2, 4, 8]
    assert all(b.quantile_duration.ToNanoseconds() >= b.median_duration.ToNanoseconds() for b in cost.batches)
    assert cost.batch_limit == 8
    assert not any(replica.outcome_counts.values())


async def test_answers_count_as_in_time_or_late_by_class(channel: grpc.aio.Channel, engine: HeldEngine) -> None:
    """Each in its own class; a request that was admitted and expired is late, one that was refused neither."""
    for priority, count in ((REAL_TIME, 1), (STANDARD, 2), (BACKGROUND, 3)):
        for _ in range(count):
            await prediction(send(channel, 0, priority=priority))
    engine.free.clear()
    late = await refusal(send(channel, 0, priority=STANDARD, timeout=m.duration(0, 20_000_000)))
    assert late.reason.startswith("EXPIRED_IN_")
    engine.free.set()
    for foreign in (77, SHADOW):
        assert (await refusal(send(channel, 0, priority=foreign))).reason == "INVALID_PRIORITY"
    counts = {entry.priority: (entry.in_time_count, entry.late_count) for entry in (await statistics(channel)).classes}
    assert counts == {REAL_TIME: (1, 0), STANDARD: (2, 1), BACKGROUND: (3, 0)}


async def test_identical_windows_share_one_execution(channel: grpc.aio.Channel, engine: HeldEngine) -> None:
    """Of three only the one that bypasses the cache is computed for itself; each has its own request's evidence."""
    first = await occupy(channel, engine)
    traces = [f"{number:032x}" for number in (1, 2, 3)]
    terms: list[dict[str, Any]] = [
        {"priority": STANDARD, "timeout": m.duration(25)},
        {"priority": STANDARD, "timeout": m.duration(50)},
        {"priority": STANDARD, "timeout": m.duration(50), "options": PredictOptions(bypass_cache=True)},
    ]
    tasks = [
        asyncio.create_task(
            call(
                channel,
                "Predict",
                m.predict(request_id=trace, window=m.window(1), **fields).SerializeToString(),
                traceparent=f"00-{trace}-00f067aa0ba902b7-01",
            )
        )
        for trace, fields in zip(traces, terms, strict=True)
    ]
    await submitted(channel, 4)
    engine.free.set()
    await prediction(first)
    responses = [await task for task in tasks]
    answers = []
    for response, trace in zip(responses, traces, strict=True):
        assert isinstance(response, bytes), response
        answer = PredictResponse.FromString(response)
        answers.append(answer.prediction)
        assert (answer.request_id, answer.prediction.execution.trace_id) == (trace, trace)
        assert answer.prediction.input.sha256 == hashlib.sha256(m.window(1).raw_float32).hexdigest()
    assert answers[0].classes == answers[1].classes == answers[2].classes
    slack = [answer.execution.deadline_slack.ToTimedelta().total_seconds() for answer in answers]
    assert slack[0] <= 25 < slack[1]
    assert [len(batch) for batch in engine.batches] == [1, 2]
    assert (await statistics(channel)).outcome_counts["shared"] == 1


async def test_an_execution_that_runs_is_shared(channel: grpc.aio.Channel, engine: HeldEngine) -> None:
    """Who asks for what is being computed gets that answer."""
    first = await occupy(channel, engine)
    second = send(channel, 0)
    await submitted(channel, 2)
    engine.free.set()
    assert (await prediction(first)).classes == (await prediction(second)).classes
    assert len(engine.batches) == 1


class TestSlowEngine:
    """With an engine whose every batch takes ten seconds, as its warm-up told."""

    @pytest.fixture
    def engine(self, engine: HeldEngine) -> HeldEngine:
        """Tells so."""
        engine.seconds_per_window = 10.0
        return engine

    async def test_what_would_be_late_is_refused_at_arrival(
        self, channel: grpc.aio.Channel, engine: HeldEngine
    ) -> None:
        """PREDICTED_DEADLINE_MISS has its type, a delay, and when the answer would have come; who can wait may."""
        first = await occupy(channel, engine)
        # One may be let in all the same, to prove the estimate wrong; it is not answered while the engine is held.
        hasty = [send(channel, number, timeout=m.duration(8)) for number in (1, 2, 3)]
        [done, *_], _ = await asyncio.wait(hasty, return_when=asyncio.FIRST_COMPLETED)
        refused = await refusal(done)
        assert (refused.code, refused.domain) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "tickserve")
        assert refused.reason == "PREDICTED_DEADLINE_MISS"
        assert refused.retry_delay
        # The rest of the running batch and then its own, at 10 s each or somewhat more.
        assert 8 < float(refused.metadata["predicted_completion"]) < 60
        replica = await submitted(channel, 4)
        assert replica.outcome_counts["refused_predicted_miss"] in (2, 3)
        patient = send(channel, 4, timeout=m.duration(200))
        await submitted(channel, 5)
        engine.free.set()
        await asyncio.wait([first, *hasty])
        await prediction(patient)


class TestOneWaitingPlace:
    """With room for one waiting request."""

    @pytest.fixture
    def scheduler(self) -> dict[str, Any]:
        """The least limits."""
        return {"max_batch_size": 8, "max_queue_size": 1, "max_total_queue_size": 1}

    async def test_who_makes_room_is_told_so(self, channel: grpc.aio.Channel, engine: HeldEngine) -> None:
        """DISPLACED, with a delay, for whom a more urgent request took the place of; QUEUE_FULL for the less urgent."""
        first = await occupy(channel, engine)
        background = send(channel, 1, priority=BACKGROUND)
        replica = await submitted(channel, 2)
        assert [entry.queued_count for entry in replica.classes] == [0, 0, 1]
        urgent = send(channel, 2, priority=REAL_TIME)
        displaced = await refusal(background)
        full = await refusal(send(channel, 3, priority=BACKGROUND))
        for refused, reason in ((displaced, "DISPLACED"), (full, "QUEUE_FULL")):
            assert (refused.code, refused.domain) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "tickserve")
            assert refused.reason == reason
            assert refused.retry_delay
        engine.free.set()
        await prediction(first)
        await prediction(urgent)
        outcomes = (await statistics(channel)).outcome_counts
        assert (outcomes["displaced"], outcomes["refused_queue_full"], outcomes["completed"]) == (1, 1, 2)


async def predict_batch(channel: grpc.aio.Channel, count: int) -> bytes | Refused:
    """Asks for so many windows in one request, with neither timeout nor deadline."""
    items = [PredictBatchItem(request_id=str(number), window=m.window(number)) for number in range(count)]
    return await call(channel, "PredictBatch", m.batch(items).SerializeToString(), timeout=None)


async def test_settings_change_while_a_stream_is_open(
    channel: grpc.aio.Channel, service: Service, engine: HeldEngine
) -> None:
    """Limits, default timeouts and batch size are the new ones from the next request on, and the stream lives on."""
    multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHODS["StreamTicks"])
    stream = multi(timeout=60)
    for request, kind in ((m.opening("A"), "opened"), (m.tick("A", 1), "progress")):
        await stream.write(request.SerializeToString())
        assert await told(stream) == kind
    before = await predict_batch(channel, 8)
    assert isinstance(before, bytes)
    assert [len(batch) for batch in engine.batches] == [8]

    old = service.settings
    service.replica.reconfigure(
        old.model_copy(
            update={
                "profile": "stress_test",
                "max_windows_per_request": 5,
                "max_timeout": 2000.0,
                "default_timeouts": ClassTimeouts(real_time=1000.0, standard=1000.0, background=1000.0),
                "max_symbols": 1,
                "scheduler": old.scheduler.model_copy(update={"max_batch_size": 2}),
            }
        )
    )

    refused = await predict_batch(channel, 6)
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.metadata["limit"]) == ("TOO_MANY_WINDOWS", "5")
    after = await predict_batch(channel, 5)
    assert isinstance(after, bytes)
    for number, response in ((8, before), (5, after)):
        results = PredictBatchResponse.FromString(response).results
        assert len(results) == number
        slack = [result.prediction.execution.deadline_slack.ToTimedelta().total_seconds() for result in results]
        assert all((900 < seconds <= 1000) if number == 5 else (0 < seconds <= 30) for seconds in slack)
    assert all(len(batch) <= 2 for batch in engine.batches[1:])
    replica = await statistics(channel)
    assert (replica.profile, replica.open_stream_count) == ("stress_test", 1)
    assert replica.costs[0].batch_limit <= 2

    await stream.write(m.tick("A", 2).SerializeToString())
    assert await told(stream) == "progress"
    other = await call_ticks(channel, "B")
    assert other.HasField("error")
    assert read_status(other.error.error).reason == "LIMIT_EXCEEDED"
    stream.cancel()


async def told(stream: "grpc.aio.StreamStreamCall[bytes, bytes]") -> str | None:
    """Returns the kind of a stream's next message."""
    response = await stream.read()
    assert isinstance(response, bytes)
    return StreamTicksResponse.FromString(response).WhichOneof("message")


async def call_ticks(channel: grpc.aio.Channel, symbol: str) -> StreamTicksResponse:
    """Returns what opening a symbol is answered with."""
    multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHODS["StreamTicks"])
    [response] = [r async for r in multi(iter([m.opening(symbol).SerializeToString()]), timeout=60)]
    return StreamTicksResponse.FromString(response)
