"""Laws of answers that are given again, over a real socket: they say so, and only where they may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from server.config.settings import Settings
from tests.support import messages as m
from tests.support.fakes import POISON, FakeEngine, use_engine
from tests.support.raw_client import Refused, call, exchange, read_status
from tests.support.registry import NAME, make_registry
from tests.support.service import REPLICA_ID, serving, settings_for
from tickserve.v1.model_service_pb2 import CacheStatistics, GetStatisticsResponse
from tickserve.v1.prediction_pb2 import Prediction, PredictOptions
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchResponse,
    PredictRequest,
    PredictResponse,
    StreamPredictResponse,
)

TRACE = "ab" * 16
UUID = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions."""
    return make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def settings(registry: Path) -> Settings:
    """As shipped, but for the timeouts."""
    return settings_for(registry)


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """The engine of every model, which counts."""
    engine = FakeEngine()
    with use_engine(lambda: engine):
        yield engine


@pytest.fixture
async def channel(settings: Settings, engine: FakeEngine) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to a replica."""
    async with serving(settings) as service, grpc.aio.insecure_channel(service.target) as connected:
        engine.batches.clear()
        yield connected


async def ask(channel: grpc.aio.Channel, request: PredictRequest, **metadata: Any) -> Prediction | Refused:
    """Makes one call."""
    response = await call(channel, "Predict", request.SerializeToString(), **metadata)
    return response if isinstance(response, Refused) else PredictResponse.FromString(response).prediction


async def answer(channel: grpc.aio.Channel, request: PredictRequest, **metadata: Any) -> Prediction:
    """Makes one call that is answered."""
    prediction = await ask(channel, request, **metadata)
    assert isinstance(prediction, Prediction), prediction
    return prediction


async def cache_statistics(channel: grpc.aio.Channel) -> CacheStatistics:
    """Returns what the replica tells of its cache."""
    response = await call(channel, "GetStatistics", b"")
    assert isinstance(response, bytes)
    [replica] = GetStatisticsResponse.FromString(response).replicas
    return replica.cache


def computed(engine: FakeEngine) -> int:
    """Returns how many windows the engine has computed."""
    return sum(map(len, engine.batches))


def without_execution(prediction: Prediction) -> Prediction:
    """Returns what was answered, without how."""
    bare = Prediction()
    bare.CopyFrom(prediction)
    bare.ClearField("execution")
    return bare


def window_beginning_with(value: float) -> PredictRequest:
    """Returns a request for a window of zeros but for its first value."""
    return m.predict(window=m.spoilt_window(raw_float32=m.floats(at=0, value=value)))


async def test_an_identical_window_is_answered_from_the_cache(channel: grpc.aio.Channel, engine: FakeEngine) -> None:
    """The same numbers without queue or batch, under this call's own ids and class."""
    first = await answer(channel, m.predict())
    trace = f"00-{TRACE}-{'cd' * 8}-01"
    again = await answer(channel, m.predict(request_id="other", priority=1), traceparent=trace)
    assert computed(engine) == 1
    assert without_execution(again) == without_execution(first)
    execution = again.execution
    assert (first.execution.cached, execution.cached) == (False, True)
    assert (execution.queue_duration.ToNanoseconds(), execution.inference_duration.ToNanoseconds()) == (0, 0)
    assert (execution.batch_size, execution.effective_priority) == (0, 1)
    assert (execution.trace_id, execution.replica_id) == (TRACE, REPLICA_ID)
    assert execution.total_duration.ToNanoseconds() > 0
    assert execution.deadline_slack.ToNanoseconds() > 0
    told = await cache_statistics(channel)
    assert (told.entry_count, told.hit_count, told.miss_count) == (1, 1, 1)
    assert 1000 < told.size_bytes < 3000
    assert not told.HasField("shared")


async def test_options_trim_a_cached_answer(channel: grpc.aio.Channel, engine: FakeEngine) -> None:
    """All that was computed is kept, whatever the first one asked for."""
    await answer(channel, m.predict(options=PredictOptions(use_ensemble=False, return_uncertainty=False)))
    whole = await answer(channel, m.predict(options=PredictOptions(return_features=True)))
    assert computed(engine) == 1
    assert (len(whole.features), len(whole.ensemble.classes)) == (256, 3)
    assert whole.regressions[0].standard_deviation > 0


async def test_another_model_computes_anew(channel: grpc.aio.Channel, engine: FakeEngine) -> None:
    """The weights are a part of the question."""
    await answer(channel, m.predict())
    while isinstance(await ask(channel, m.predict(model=m.model(NAME, 1))), Refused):  # noqa: ASYNC110  # it loads
        await asyncio.sleep(0.01)
    assert computed(engine) == 2


async def test_bypassing_neither_reads_nor_writes(channel: grpc.aio.Channel, engine: FakeEngine) -> None:
    """A computation of its own, which changes nothing for anybody else."""
    bypass = PredictOptions(bypass_cache=True)
    for number in range(2):
        assert not (await answer(channel, m.predict(options=bypass))).execution.cached
        assert computed(engine) == number + 1
    assert (await cache_statistics(channel)).entry_count == 0
    assert not (await answer(channel, m.predict())).execution.cached
    assert not (await answer(channel, m.predict(options=bypass, request_id=UUID))).execution.cached
    assert not (await answer(channel, m.predict(options=bypass, request_id=UUID))).execution.cached
    assert computed(engine) == 5
    told = await cache_statistics(channel)
    assert (told.entry_count, told.hit_count, told.request_ids.entry_count) == (1, 0, 0)


async def test_failures_are_not_kept(channel: grpc.aio.Channel, engine: FakeEngine) -> None:
    """Neither an engine's nor an answer's that is not finite; the next one is computed."""
    engine.error = RuntimeError("boom")
    assert isinstance(await ask(channel, m.predict()), Refused)
    engine.error = None
    assert not (await answer(channel, m.predict())).execution.cached
    for _ in range(2):
        assert isinstance(await ask(channel, window_beginning_with(POISON)), Refused)
    assert (await cache_statistics(channel)).entry_count == 1


async def test_every_kind_of_call_may_be_answered_from_the_cache(channel: grpc.aio.Channel, engine: FakeEngine) -> None:
    """Items of batches and of streams, too."""
    await answer(channel, m.predict())
    items = [PredictBatchItem(window=m.window(0)), PredictBatchItem(window=m.window(1))]
    response = await call(channel, "PredictBatch", m.batch(items).SerializeToString())
    assert isinstance(response, bytes)
    results = PredictBatchResponse.FromString(response).results
    assert [result.prediction.execution.cached for result in results] == [True, False]
    [data] = await exchange(channel, "StreamPredict", [m.item("a", window=m.window(1)).SerializeToString()])
    told = StreamPredictResponse.FromString(data)
    assert told.prediction.execution.cached
    assert computed(engine) == 2


async def test_nothing_is_cached_while_the_cache_is_off(registry: Path, engine: FakeEngine) -> None:
    """Every call computes."""
    settings = await asyncio.to_thread(settings_for, registry, cache={"enabled": False, "request_id_window": 0})
    async with serving(settings) as service, grpc.aio.insecure_channel(service.target) as channel:
        engine.batches.clear()
        for _ in range(2):
            assert not (await answer(channel, m.predict(request_id=UUID))).execution.cached
        assert computed(engine) == 2
        assert (await cache_statistics(channel)).miss_count == 0


async def test_a_repeat_of_a_request_gets_the_same_answer(registry: Path, engine: FakeEngine) -> None:
    """Of the same caller, within the window of time; it says `cached`, though the result cache is off."""
    settings = await asyncio.to_thread(settings_for, registry, cache={"enabled": False})
    async with serving(settings) as service, grpc.aio.insecure_channel(service.target) as channel:
        engine.batches.clear()
        first = await answer(channel, m.predict(request_id="1"), x_tickserve_routing_key="desk")
        trace = f"00-{TRACE}-{'cd' * 8}-01"
        again = await answer(
            channel,
            m.predict(request_id="1", priority=3, timeout=m.duration(20)),
            x_tickserve_routing_key="desk",
            traceparent=trace,
        )
        assert computed(engine) == 1
        assert without_execution(again) == without_execution(first)
        assert (first.execution.cached, again.execution.cached) == (False, True)
        execution = again.execution
        assert (execution.queue_duration.ToNanoseconds(), execution.batch_size) == (0, 0)
        assert (execution.effective_priority, execution.trace_id) == (3, TRACE)
        assert 0 < execution.deadline_slack.ToNanoseconds() < 20e9
        told = (await cache_statistics(channel)).request_ids
        assert (told.entry_count, told.replay_count, told.reuse_count) == (1, 1, 0)


@pytest.mark.parametrize(
    "fields",
    [
        {"symbol": "EURUSD"},
        {"model": m.model(version=2)},
        {"options": PredictOptions(return_features=True)},
        {"max_age": m.duration(1)},
        {},
    ],
    ids=["symbol", "model", "options", "max_age", "window"],
)
async def test_an_id_stands_for_one_request(channel: grpc.aio.Channel, fields: dict[str, Any]) -> None:
    """Whatever decides the answer is a part of it."""
    other = m.predict(request_id="1", **(fields or {"window": m.spoilt_window(raw_float32=m.floats())}))
    await answer(channel, m.predict(request_id="1"), x_tickserve_routing_key="desk")
    refused = await ask(channel, other, x_tickserve_routing_key="desk")
    assert isinstance(refused, Refused)
    assert (refused.code, refused.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert (await cache_statistics(channel)).request_ids.reuse_count == 1


async def test_strangers_ids_do_not_meet(channel: grpc.aio.Channel) -> None:
    """Neither those of two callers nor those of two anonymous ones; a UUID is nobody else's."""
    zeros = m.predict(request_id="1", window=m.spoilt_window(raw_float32=m.floats()))
    await answer(channel, m.predict(request_id="1"), x_tickserve_routing_key="desk")
    await answer(channel, zeros, x_tickserve_routing_key="fund")
    await answer(channel, m.predict(request_id="1"))
    await answer(channel, zeros)
    await answer(channel, m.predict(request_id=UUID))
    zeros.request_id = UUID
    assert isinstance(await ask(channel, zeros), Refused)


async def test_items_of_a_batch_are_idempotent_each(channel: grpc.aio.Channel, engine: FakeEngine) -> None:
    """A repeat inside the batch waits for the first one, another window under its id is that item's error alone."""
    items = [PredictBatchItem(request_id=name, window=m.window(number)) for name, number in (("a", 0), ("a", 0))]
    items.append(PredictBatchItem(request_id="a", window=m.window(1)))
    items.append(PredictBatchItem(request_id="b", window=m.window(2)))
    response = await call(channel, "PredictBatch", m.batch(items).SerializeToString(), x_tickserve_routing_key="desk")
    assert isinstance(response, bytes)
    first, repeat, reused, other = PredictBatchResponse.FromString(response).results
    assert (first.prediction.execution.cached, repeat.prediction.execution.cached) == (False, True)
    assert without_execution(first.prediction) == without_execution(repeat.prediction)
    assert read_status(reused.error).reason == "REQUEST_ID_REUSED"
    assert other.HasField("prediction")
    assert computed(engine) == 2


async def test_a_failure_under_an_id_is_not_remembered(channel: grpc.aio.Channel, engine: FakeEngine) -> None:
    """The repeat runs itself, and so may another request under that id."""
    desk: dict[str, Any] = {"x_tickserve_routing_key": "desk"}
    engine.error = RuntimeError("boom")
    assert isinstance(await ask(channel, m.predict(request_id="1"), **desk), Refused)
    engine.error = None
    assert not (await answer(channel, m.predict(request_id="1", window=m.window(1)), **desk)).execution.cached
