"""Laws of routes over a real socket: shares by key, a bad candidate that no caller meets, shadows that nobody sees."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from numpy.typing import NDArray

from model.engine import Engine
from model.outputs import ModelOutputs
from server.config.route_settings import RouteSettings
from server.config.settings import Settings
from server.routes.router import Arm, arm_of
from server.rpc.ingress import METHODS
from tests.support import messages as m
from tests.support.fakes import FakeEngine
from tests.support.raw_client import TIMEOUT, call
from tests.support.registry import NAME, make_registry, real_bars
from tests.support.service import Service, serving, settings_for
from tickserve.v1 import model_service_pb2 as pb
from tickserve.v1.prediction_pb2 import Prediction
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchResponse,
    PredictResponse,
    StreamPredictResponse,
    StreamTicksRequest,
    StreamTicksResponse,
)

STABLE, CANDIDATE, SHADOW = pb.ARM_ROLE_STABLE, pb.ARM_ROLE_CANDIDATE, pb.ARM_ROLE_SHADOW
KEYS = [f"desk-{number}" for number in range(30)]
_NUMBERS = itertools.count()
# The engines that tests have replaced, by version.
_ENGINES: dict[int, Engine] = {}
ROUTE: dict[str, Any] = {"stable": 1, "candidate": 2, "percent": 20, "compared_percent": 0, "min_requests": 5}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A route with a candidate at 20 %; the latest of five versions is no part of it."""
    real_bars(130)
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=5)
    # Shadows run alone only if they are predicted to be short; on a busy machine nothing is.
    scheduler = {"max_batch_size": 8, "max_batch_duration": 5.0}
    return settings_for(registry, routes={NAME: ROUTE}, scheduler=scheduler)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(settings: Settings) -> AsyncIterator[Service]:
    """A replica on a socket."""
    async with serving(settings) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def service(running: Service) -> AsyncIterator[Service]:
    """The same replica with a fresh route, and its own engines again afterwards."""
    running.replica.reconfigure(running.settings.model_copy(update={"routes": {}}))
    running.replica.reconfigure(running.settings)
    yield running
    for version in list(_ENGINES):
        replace_engine(running, version, _ENGINES.pop(version))
    _ENGINES.clear()


@pytest_asyncio.fixture(loop_scope="module")
async def channel(service: Service) -> AsyncIterator[grpc.aio.Channel]:
    """A connection to it; stable and the candidate are loaded."""
    async with grpc.aio.insecure_channel(service.target) as connected:
        await reached(connected, lambda route: arm(route, CANDIDATE).state == pb.ARM_STATE_LIVE)
        await reached(connected, lambda route: arm(route, STABLE).model.version == 1)
        yield connected


async def route_of(channel: grpc.aio.Channel) -> pb.RouteStatistics:
    """Returns how the route fares."""
    response = await call(channel, "GetStatistics", b"")
    assert isinstance(response, bytes)
    [replica] = pb.GetStatisticsResponse.FromString(response).replicas
    [route] = replica.routes
    return route


async def reached(channel: grpc.aio.Channel, condition: Any) -> pb.RouteStatistics:
    """Asks until the route fares as expected."""
    async with asyncio.timeout(TIMEOUT):
        while not condition(route := await route_of(channel)):
            pass
    return route


def arm(route: pb.RouteStatistics, role: int) -> pb.ArmStatistics:
    """Returns one arm's statistics."""
    [found] = [candidate for candidate in route.arms if candidate.role == role]
    return found


def change(service: Service, **values: Any) -> None:
    """Puts another route in force, without a restart."""
    route = RouteSettings(**ROUTE | values)
    service.replica.reconfigure(service.settings.model_copy(update={"routes": {NAME: route}}))


async def predict(channel: grpc.aio.Channel, key: str = "", **fields: Any) -> Prediction:
    """Returns the answer to a call, which must not fail."""
    fields.setdefault("request_id", f"call-{next(_NUMBERS)}")
    response = await call(channel, "Predict", m.predict(**fields).SerializeToString(), x_tickserve_routing_key=key)
    assert isinstance(response, bytes), response
    return PredictResponse.FromString(response).prediction


async def versions(channel: grpc.aio.Channel) -> dict[str, int]:
    """Returns the version that answers each key."""
    return {key: (await predict(channel, key)).model.version for key in KEYS}


def expected(percent: float) -> dict[str, int]:
    """Returns the version that must answer each key."""
    return {key: 2 if arm_of(NAME, key, percent) is Arm.CANDIDATE else 1 for key in KEYS}


class Broken(FakeEngine):
    """A version that has gone bad after it was let in: every call fails."""

    def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
        """See `model.engine.Engine`."""
        raise RuntimeError("broken")


def replace_engine(service: Service, version: int, engine: Engine) -> None:
    """Lets another engine answer for a loaded version, which is otherwise as it was."""
    served = service.replica._pool.loaded()[NAME, version]
    _ENGINES.setdefault(version, served.engine)
    object.__setattr__(served, "engine", engine)


async def test_each_key_has_its_arm_at_any_percentage(service: Service, channel: grpc.aio.Channel) -> None:
    """0, 20, 50 and 100 %, changed live: the keys' places decide and nothing else, call by call."""
    chosen: set[str] = set()
    for percent in (0, 20, 50, 100):
        change(service, percent=percent)
        answered = await versions(channel)
        assert answered == expected(percent)
        candidates = {key for key, version in answered.items() if version == 2}
        assert chosen <= candidates
        chosen = candidates
    assert chosen == set(KEYS)
    route = await route_of(channel)
    assert (route.model_name, route.percent, route.effective_percent) == (NAME, 100, 100)
    counts = [arm(route, role).total.answered_count for role in (STABLE, CANDIDATE)]
    assert sum(counts) == 4 * len(KEYS)
    assert counts[1] == sum(version == 2 for percent in (0, 20, 50, 100) for version in expected(percent).values())


async def test_a_version_that_is_named_is_not_routed(service: Service, channel: grpc.aio.Channel) -> None:
    """Pinned calls get what they name, and count on no arm."""
    change(service, percent=100)
    assert (await predict(channel, "key", model=m.model(NAME, 1))).model.version == 1
    assert (await predict(channel, "key", model=m.model(NAME))).model.version == 2
    route = await route_of(channel)
    assert [arm(route, role).total.request_count for role in (STABLE, CANDIDATE)] == [0, 1]


async def test_items_of_a_batch_are_routed_one_by_one(service: Service, channel: grpc.aio.Channel) -> None:
    """By their own ids, where the call has no key; with a key all of them follow it."""
    change(service, percent=50)
    items = [PredictBatchItem(request_id=key, window=m.window(number)) for number, key in enumerate(KEYS)]
    response = await call(channel, "PredictBatch", m.batch(items).SerializeToString())
    assert isinstance(response, bytes)
    results = PredictBatchResponse.FromString(response).results
    assert {result.request_id: result.prediction.model.version for result in results} == expected(50)
    key = next(key for key, version in expected(50).items() if version == 2)
    response = await call(channel, "PredictBatch", m.batch(items).SerializeToString(), x_tickserve_routing_key=key)
    assert isinstance(response, bytes)
    assert {result.prediction.model.version for result in PredictBatchResponse.FromString(response).results} == {2}


async def test_callers_never_meet_a_broken_candidate(service: Service, channel: grpc.aio.Channel) -> None:
    """Stable answers each of its requests, until it is rolled back; a change of the route gives it another chance."""
    change(service, percent=100)
    replace_engine(service, 2, Broken())
    for number, key in enumerate(KEYS[:8]):
        prediction = await predict(channel, key, window=m.window(number))
        assert prediction.model.version == 1
        assert prediction.execution.deadline_slack.ToNanoseconds() > 0
    route = await route_of(channel)
    assert (route.percent, route.effective_percent) == (100, 0)
    verdict = route.rollback
    assert (verdict.cause, verdict.rate, verdict.request_count) == (pb.ROLLBACK_CAUSE_ERRORS, 1.0, 5)
    bad = arm(route, CANDIDATE)
    assert bad.state == pb.ARM_STATE_ROLLED_BACK
    assert (bad.total.error_count, bad.total.fallback_count, bad.total.answered_count) == (5, 5, 0)
    assert arm(route, STABLE).total.answered_count == 3

    replace_engine(service, 2, FakeEngine())
    change(service, percent=50)
    assert await versions(channel) == expected(50)
    assert not (await route_of(channel)).HasField("rollback")


async def test_a_shadow_is_never_an_answer(service: Service, channel: grpc.aio.Channel) -> None:
    """Its copies run and are compared, and every caller hears from stable or the candidate."""
    change(service, shadow=3, percent=50)
    await reached(channel, lambda route: arm(route, SHADOW).state == pb.ARM_STATE_LIVE)
    answered = {
        # Windows of its own: what is cached has been compared before.
        key: (await predict(channel, key, window=m.window(100 + number))).model.version
        for number, key in enumerate(KEYS)
    }
    assert answered == expected(50)
    route = await reached(channel, lambda route: arm(route, SHADOW).total.request_count == len(KEYS))
    figures = arm(route, SHADOW).total
    assert figures.compared_count == figures.answered_count > 0
    assert figures.max_probability_difference > 0  # another version does answer otherwise
    assert figures.fallback_count == 0


async def test_a_candidates_answers_are_compared_with_stables(service: Service, channel: grpc.aio.Channel) -> None:
    """All of them if so asked; too many other classes roll it back."""

    class Contrary(FakeEngine):
        def run(self, windows: NDArray[np.float32]) -> ModelOutputs:
            outputs = super().run(windows)
            outputs.class_probabilities[:] = [0.8, 0.1, 0.1]
            return outputs

    change(service, percent=100, compared_percent=100, max_disagreement=0.9)
    replace_engine(service, 1, FakeEngine())
    replace_engine(service, 2, Contrary())
    async with asyncio.timeout(TIMEOUT):
        number, route = 0, await route_of(channel)
        while not route.HasField("rollback"):
            # Copies may be dropped on a busy machine: as many calls as it takes.
            assert (await predict(channel, window=m.window(200 + number % 300))).model.version in (1, 2)
            number, route = number + 1, await route_of(channel)
    assert route.rollback.request_count == 5
    assert (route.rollback.cause, route.rollback.rate) == (pb.ROLLBACK_CAUSE_DISAGREEMENT, 1.0)
    assert (await predict(channel, "key")).model.version == 1


async def test_stable_changes_without_a_failed_call(service: Service, channel: grpc.aio.Channel) -> None:
    """A version that is not loaded takes over when it is; until then the one before answers, and never the latest."""
    change(service, stable=4, candidate=None, percent=0)
    seen: list[int] = []
    async with asyncio.timeout(TIMEOUT):
        while seen[-1:] != [4]:
            seen.append((await predict(channel, window=m.window(len(seen) % 400))).model.version)
    assert seen == sorted(seen)
    assert set(seen) <= {1, 4}


async def test_a_stream_of_windows_keeps_its_arm(service: Service, channel: grpc.aio.Channel) -> None:
    """By its key, whatever becomes of the percentage while it is open."""
    key = next(key for key, version in expected(20).items() if version == 2)
    multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHODS["StreamPredict"])
    stream = multi(timeout=TIMEOUT, metadata=(("x-tickserve-routing-key", key),))
    seen = []
    for percent in (20, 0, 100):
        change(service, percent=percent)
        await stream.write(m.item(f"i{percent}", window=m.window(percent)).SerializeToString())
        response = await stream.read()
        assert isinstance(response, bytes)
        seen.append(StreamPredictResponse.FromString(response).prediction.model.version)
    await stream.done_writing()
    assert seen == [2, 2, 2]


async def test_a_tick_stream_keeps_its_arm(service: Service, channel: grpc.aio.Channel) -> None:
    """The answer to `open` says the version; the stream keeps it through a change, and a later one meets the other."""
    change(service, percent=100)
    multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHODS["StreamTicks"])

    async def opened() -> tuple[Any, int]:
        stream = multi(timeout=TIMEOUT)
        response = await exchange(stream, m.opening("EURUSD"))
        return stream, response.opened.model.version

    async def exchange(stream: Any, request: StreamTicksRequest) -> StreamTicksResponse:
        await stream.write(request.SerializeToString())
        return StreamTicksResponse.FromString(await stream.read())

    first, version = await opened()
    assert version == 2
    change(service, percent=0)
    await exchange(first, m.history("EURUSD", (m.bar_message(bar) for bar in real_bars(130)[:129]), 129))
    response = await exchange(first, m.tick("EURUSD", 130, bar=m.bar_message(real_bars(130)[129])))
    assert response.prediction.prediction.model.version == 2
    second, version = await opened()
    assert version == 1
    for stream in (first, second):
        await stream.done_writing()
