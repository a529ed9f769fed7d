"""Laws of a version that gives an unusable answer while it serves: its item fails, and another version takes over."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from model.outputs import ModelOutputs
from model.registry import Registry
from server.rpc.ingress import METHODS
from tests.support import messages as m
from tests.support.fakes import POISON, FakeEngine, use_engine
from tests.support.raw_client import TIMEOUT, Refused, call, read_status
from tests.support.registry import NAME, make_registry
from tests.support.service import Service, serving, settings_for
from tickserve.v1 import model_service_pb2 as pb
from tickserve.v1.prediction_pb2 import Prediction
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchResponse,
    PredictResponse,
    StreamPredictRequest,
    StreamPredictResponse,
)

POISONED = m.spoilt_window(raw_float32=m.floats(at=0, value=POISON))
FAILED, SERVING = pb.MODEL_STATE_FAILED, pb.MODEL_STATE_SERVING
CANDIDATE, SHADOW = pb.ARM_ROLE_CANDIDATE, pb.ARM_ROLE_SHADOW


class FickleEngine(FakeEngine):
    """Gives no number for a poisoned window, unless it is told to be sound.

    Attributes:
        sound: Whether it answers every window.
    """

    sound = False

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """See `model.engine.Engine`."""
        return super().run(np.where(windows == POISON, np.float32(0), windows) if self.sound else windows)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with two versions, to be copied."""
    return make_registry(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def registry(stored: Path, tmp_path: Path) -> Path:
    """A registry of the test's own."""
    return shutil.copytree(stored, tmp_path / "registry")


@contextlib.asynccontextmanager
async def running(registry: Path, **route: Any) -> AsyncIterator[tuple[Service, grpc.aio.Channel]]:
    """Runs a replica whose engines are fickle, with one route if there is any, and a connection to it."""
    settings = await asyncio.to_thread(
        settings_for,
        registry,
        models={"poll_interval": 0.05},
        routes={NAME: route} if route else {},
        # Shadows run alone only if they are predicted to be short; on a busy machine nothing is.
        scheduler={"max_batch_size": 8, "max_batch_duration": 5.0},
    )
    with use_engine(FickleEngine):
        async with serving(settings) as service, grpc.aio.insecure_channel(service.target) as channel:
            yield service, channel


def engine(service: Service, version: int) -> FickleEngine:
    """Returns a loaded version's engine."""
    found = service.replica._pool.loaded()[NAME, version].engine
    assert isinstance(found, FickleEngine)
    return found


async def outcome(channel: grpc.aio.Channel, version: int = 0, **fields: Any) -> Prediction | Refused:
    """Makes one call that no cache answers, of a version or of whatever serves."""
    fields = {"options": {"bypass_cache": True}, "model": m.model(NAME, version)} | fields
    response = await call(channel, "Predict", m.predict(**fields).SerializeToString())
    return response if isinstance(response, Refused) else PredictResponse.FromString(response).prediction


async def answer(channel: grpc.aio.Channel, **fields: Any) -> Prediction:
    """Makes one call, which must not fail."""
    result = await outcome(channel, **fields)
    assert isinstance(result, Prediction), result
    return result


async def load(channel: grpc.aio.Channel, version: int) -> None:
    """Asks for a version until it answers; until then callers are told when to come back."""
    async with asyncio.timeout(TIMEOUT):
        while isinstance(result := await outcome(channel, version), Refused):
            assert (result.code, result.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
            assert result.retry_delay
    assert result.model.version == version


async def answered_by(channel: grpc.aio.Channel, wanted: Callable[[Prediction], bool]) -> list[int]:
    """Calls until an answer is as wanted; none of the calls may fail. Returns the versions that answered."""
    versions = []
    async with asyncio.timeout(TIMEOUT):
        while True:
            prediction = await answer(channel)
            versions.append(prediction.model.version)
            if wanted(prediction):
                return versions


async def models(channel: grpc.aio.Channel) -> Mapping[int, pb.Model]:
    """Returns what callers are told of the versions, by number."""
    response = await call(channel, "ListModels", b"")
    assert isinstance(response, bytes)
    return {model.version.version: model for model in pb.ListModelsResponse.FromString(response).models}


async def arm(channel: grpc.aio.Channel, role: int) -> pb.ArmStatistics:
    """Returns how one arm of the route fares."""
    response = await call(channel, "GetStatistics", b"")
    assert isinstance(response, bytes)
    [replica] = pb.GetStatisticsResponse.FromString(response).replicas
    [route] = replica.routes
    [found] = [candidate for candidate in route.arms if candidate.role == role]
    return found


async def arm_becomes(channel: grpc.aio.Channel, role: int, state: int) -> None:
    """Asks until an arm is in a state."""
    async with asyncio.timeout(TIMEOUT):
        while (await arm(channel, role)).state != state:
            pass


def assert_inference_failed(refused: Refused) -> None:
    """Fails unless the error is the one for faults of ours, which tells callers nothing of them."""
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INFERENCE_FAILED")
    assert not {"finite", "normalised", "nan", "/"} & set(refused.message.lower().split())
    assert refused.metadata.get("trace_id")


async def test_an_unusable_answer_fails_its_item_alone(registry: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its neighbours are answered, its version is quarantined and refused by name, and another loaded one serves."""
    async with running(registry) as (_, channel):
        await load(channel, 1)
        assert (await answer(channel)).model.version == 2
        windows = [m.window(0), POISONED, m.window(1)]
        items = [PredictBatchItem(request_id=str(number), window=window) for number, window in enumerate(windows)]
        response = await call(channel, "PredictBatch", m.batch(items).SerializeToString())
        assert isinstance(response, bytes)
        first, bad, last = PredictBatchResponse.FromString(response).results
        assert [first.prediction.model.version, last.prediction.model.version] == [2, 2]
        assert_inference_failed(read_status(bad.error))

        assert (await answer(channel)).model.version == 1
        named = await outcome(channel, 2)
        assert isinstance(named, Refused)
        assert (named.code, named.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
        told = await models(channel)
        assert {number: (model.state, model.is_default) for number, model in told.items()} == {
            1: (SERVING, True),
            2: (FAILED, False),
        }
    assert f"model {NAME} version 2 is quarantined: an answer was not finite or not normalised" in caplog.text


async def test_a_stream_survives_an_unusable_answer(registry: Path) -> None:
    """The item is answered with its error, and those after it by the version that took over."""
    async with running(registry) as (_, channel):
        await load(channel, 1)
        multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHODS["StreamPredict"])
        stream = multi()

        async def exchange(item: StreamPredictRequest) -> StreamPredictResponse:
            await stream.write(item.SerializeToString())
            received = await stream.read()
            assert isinstance(received, bytes)
            response = StreamPredictResponse.FromString(received)
            assert response.request_id == item.request_id
            return response

        async with asyncio.timeout(TIMEOUT):
            assert (await exchange(m.item("before"))).prediction.model.version == 2
            assert_inference_failed(read_status((await exchange(m.item("bad", window=POISONED))).error))
            assert (await exchange(m.item("after"))).prediction.model.version == 1
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF
        assert await stream.code() is grpc.StatusCode.OK


async def test_with_no_other_loaded_it_serves_until_one_is(registry: Path) -> None:
    """Sound windows are answered all the time: by the bad version, then by the one before it."""
    async with running(registry) as (_, channel):
        bad = await outcome(channel, window=POISONED)
        assert isinstance(bad, Refused)
        assert_inference_failed(bad)
        versions = await answered_by(channel, lambda prediction: prediction.model.version == 1)
        assert versions == sorted(versions, reverse=True)
        assert (await models(channel))[2].state == FAILED


async def test_the_retrained_version_of_the_same_number_serves(registry: Path) -> None:
    """Publishing takes the number that was taken back: the quarantine was the old weights', and their answers end."""
    async with running(registry) as (_, channel):
        bad = (await answer(channel)).model.sha256
        assert isinstance(await outcome(channel, window=POISONED), Refused)
        await answered_by(channel, lambda prediction: prediction.model.version == 1)

        def publish_anew() -> int:
            shutil.rmtree(registry / NAME / "2")
            loaded = Registry(registry).load(NAME, 1)
            loaded.network.state_dict()["classification.output.bias"].add_(0.5)
            return Registry(registry).save(NAME, loaded.network, loaded.config)

        assert await asyncio.to_thread(publish_anew) == 2
        await answered_by(channel, lambda prediction: prediction.model.version == 2)
        assert (await answer(channel)).model.sha256 != bad
        assert (await models(channel))[2].state == SERVING


async def test_a_quarantined_candidate_is_no_callers_affair(registry: Path) -> None:
    """Stable answers even the window that gave it away, and the candidate is asked no more."""
    async with running(registry, stable=1, candidate=2, percent=100) as (service, channel):
        await arm_becomes(channel, CANDIDATE, pb.ARM_STATE_LIVE)
        engine(service, 1).sound = True
        candidate = engine(service, 2)
        assert (await answer(channel)).model.version == 2
        assert (await answer(channel, window=POISONED)).model.version == 1
        asked = len(candidate.batches)
        assert [(await answer(channel)).model.version for _ in range(3)] == [1, 1, 1]
        assert len(candidate.batches) == asked
        figures = await arm(channel, CANDIDATE)
        assert figures.state == pb.ARM_STATE_UNLOADED
        assert (figures.total.error_count, figures.total.fallback_count) == (1, 1)
        assert (await models(channel))[2].state == FAILED


async def test_a_quarantined_shadow_is_no_callers_affair(registry: Path) -> None:
    """Callers hear from stable alone, before and after; the shadow is asked no more."""
    async with running(registry, stable=1, shadow=2) as (service, channel):
        await arm_becomes(channel, SHADOW, pb.ARM_STATE_LIVE)
        engine(service, 1).sound = True
        shadow = engine(service, 2)
        async with asyncio.timeout(TIMEOUT):
            # Copies may be dropped on a busy machine: as many calls as it takes.
            while (await arm(channel, SHADOW)).state == pb.ARM_STATE_LIVE:
                assert (await answer(channel, window=POISONED)).model.version == 1
        assert (await arm(channel, SHADOW)).state == pb.ARM_STATE_UNLOADED
        asked = len(shadow.batches)
        assert [(await answer(channel)).model.version for _ in range(3)] == [1, 1, 1]
        assert len(shadow.batches) == asked
        assert (await models(channel))[2].state == FAILED


async def test_a_quarantined_stable_goes_on_for_all_other_windows(registry: Path) -> None:
    """What the operator pinned is not replaced by what they did not: its bad items fail, and the log says why."""
    async with running(registry, stable=1) as (_, channel):
        assert (await answer(channel)).model.version == 1
        for _ in range(2):
            bad = await outcome(channel, window=POISONED)
            assert isinstance(bad, Refused)
            assert_inference_failed(bad)
            assert (await answer(channel)).model.version == 1
        assert (await models(channel))[1].state == FAILED
