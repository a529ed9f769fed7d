"""Laws of health over a real socket: probes hear of warm-up, drain, a dead loop, a hung engine and a missing model.

And the deep check sees the engine, while nothing else sees the deep check.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from model.errors import ModelError
from server.config.settings import Settings
from server.health.deep_health import DeepState
from server.health.health import PREDICTION_SERVICE, Health
from server.health.readiness import Blocker
from server.http.http_app import build_http_app
from server.replica import Replica
from server.rpc import ingress
from server.security.authorizer import Authorizer
from tests.support import messages as m
from tests.support.fakes import FakeEngine, use_engine
from tests.support.http_calls import fetch
from tests.support.observed import Recorder
from tests.support.raw_client import Refused, call
from tests.support.registry import NAME, make_registry, real_bars
from tests.support.service import bytes_handlers, settings_for
from tests.support.windows import eventually
from tickserve.v1 import model_service_pb2
from tickserve.v1.model_service_pb2 import GetStatisticsRequest, GetStatisticsResponse
from tickserve.v1.prediction_pb2 import PredictOptions
from tickserve.v1.prediction_service_pb2 import PredictResponse

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
FRESH = PredictOptions(bypass_cache=True)
NAMES = ("", PREDICTION_SERVICE, NAME)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One version; deep checks on demand, which lose patience quickly; a hung engine is given up soon."""
    real_bars(130)
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    return settings_for(registry, health={"deep_interval": 0, "deep_patience": 0.05})


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets whoever asks for a check wait for it, however busy this machine is."""
    monkeypatch.setattr("server.health.deep_check._ENGINE_PATIENCE", 60.0)


class GatedEngine(FakeEngine):
    """Computes, unless its gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.wait = lambda: self.gate.wait(60)


@pytest.fixture
def engine() -> Iterator[GatedEngine]:
    """Whatever waits at its gate is let go at the end."""
    made = GatedEngine()
    yield made
    made.gate.set()


@dataclass
class Mounted:
    """A replica on a server, which may not have been started."""

    replica: Replica
    recorder: Recorder
    channel: grpc.aio.Channel

    async def check(self, service: str = "") -> int:
        """Returns what a probe hears; SERVICE_UNKNOWN for NOT_FOUND."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        except grpc.aio.AioRpcError as error:
            return UNKNOWN if error.code() is grpc.StatusCode.NOT_FOUND else -1
        return int(answer.status)

    async def predict(self) -> PredictResponse | Refused:
        """Returns the answer to a valid request."""
        answer = await call(self.channel, "Predict", m.predict(options=FRESH).SerializeToString())
        return answer if isinstance(answer, Refused) else PredictResponse.FromString(answer)

    async def statistics(self, *, deep_check: bool = False) -> model_service_pb2.ReplicaStatistics:
        """Returns the replica's own figures."""
        request = GetStatisticsRequest(deep_check=deep_check)
        answer = await call(self.channel, "GetStatistics", request.SerializeToString())
        assert isinstance(answer, bytes)
        return GetStatisticsResponse.FromString(answer).replicas[0]

    async def http(self) -> dict[str, int]:
        """Returns the status of each health page."""
        app = build_http_app(lambda: self.replica)
        return {path: (await fetch(app, path)).status for path in ("/livez", "/readyz", "/healthz", "/health")}


class Watcher:
    """One `Watch` over the socket."""

    def __init__(self, channel: grpc.aio.Channel, service: str = "") -> None:
        stub = health_pb2_grpc.HealthStub(channel)
        self._stream = stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=120)

    async def hears(self) -> int:
        """Returns the next word."""
        answer: Any = await self._stream.read()
        assert answer is not grpc.aio.EOF
        return int(answer.status)

    async def ends(self) -> grpc.StatusCode:
        """Returns how the stream ended, with no further word."""
        with contextlib.suppress(grpc.aio.AioRpcError):
            assert await self._stream.read() is grpc.aio.EOF
        code: grpc.StatusCode = await self._stream.code()
        return code


@contextlib.asynccontextmanager
async def mounted(settings: Settings, engine: GatedEngine) -> AsyncIterator[Mounted]:
    """Puts a replica that has not been started on a server."""
    recorder, health, authorizer = Recorder(), Health(farewell=0), Authorizer()
    with use_engine(lambda: engine):
        replica = Replica(
            settings,
            replica_id="one",
            health=health,
            on_hang=lambda: None,
            observers=[recorder],
            authorizer=authorizer,
        )
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    unary, streamed = bytes_handlers(replica.dispatcher)
    ingress.add_to_server(server, unary=unary, streamed=streamed, health=health, authorizer=authorizer)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Mounted(replica=replica, recorder=recorder, channel=channel)
    finally:
        engine.gate.set()
        await server.stop(grace=None)
        await replica.close()


@pytest.fixture
async def service(settings: Settings, engine: GatedEngine) -> AsyncIterator[Mounted]:
    """A replica that serves."""
    async with mounted(settings, engine) as running:
        await running.replica.start()
        yield running


async def test_warm_up_is_not_serving_and_its_end_is_told_once(settings: Settings, engine: GatedEngine) -> None:
    """Before the start nothing serves but the process lives; a watcher hears of both states, once each."""
    async with mounted(settings, engine) as running:
        watcher, of_model = Watcher(running.channel), Watcher(running.channel, NAME)
        assert [await watcher.hears(), await of_model.hears()] == [NOT_SERVING, UNKNOWN]
        assert [await running.check(name) for name in NAMES] == [NOT_SERVING, NOT_SERVING, UNKNOWN]
        assert await running.http() == {"/livez": 200, "/readyz": 503, "/healthz": 503, "/health": 503}
        await running.replica.start()
        heard = [await watcher.hears(), await of_model.hears()]
        if heard[1] == NOT_SERVING:  # the model is known a moment before start-up is over
            heard[1] = await of_model.hears()
        assert heard == [SERVING, SERVING]
        assert [await running.check(name) for name in NAMES] == [SERVING] * 3
        assert await running.http() == {"/livez": 200, "/readyz": 200, "/healthz": 200, "/health": 200}


async def test_a_drain_is_told_once_and_ends_the_watch_while_requests_are_answered(service: Mounted) -> None:
    """NOT_SERVING, then UNAVAILABLE to watchers; whoever still comes is answered; the process is not ended for it."""
    watchers = [Watcher(service.channel, name) for name in NAMES]
    assert [await watcher.hears() for watcher in watchers] == [SERVING] * 3
    await service.replica.drain()
    assert [await watcher.hears() for watcher in watchers] == [NOT_SERVING] * 3
    assert [await watcher.ends() for watcher in watchers] == [grpc.StatusCode.UNAVAILABLE] * 3
    assert [await service.check(name) for name in NAMES] == [NOT_SERVING] * 3
    assert isinstance(await service.predict(), PredictResponse)
    assert await service.http() == {"/livez": 200, "/readyz": 503, "/healthz": 503, "/health": 503}
    assert service.replica.is_serving()  # else Ray Serve would take it for dead while it drains
    health = (await service.statistics()).health
    assert (health.ready, list(health.blockers)) == (False, [model_service_pb2.READINESS_BLOCKER_DRAINING])


async def test_a_dead_loop_is_told_and_its_revival_too(service: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the scheduler's passes fail for long, nobody is sent here and the process is to be replaced."""
    watcher = Watcher(service.channel)
    assert await watcher.hears() == SERVING
    batcher = service.replica._batcher
    with monkeypatch.context() as patch:
        patch.setattr(batcher._scheduler, "expire", lambda _: 1 / 0)
        patch.setattr(batcher._heartbeat, "_clock", lambda: time.monotonic() + 100)
        assert await watcher.hears() == NOT_SERVING
        assert await service.check(NAME) == NOT_SERVING
        assert service.replica.readiness().blockers == (Blocker.LOOP_DEAD,)
        assert not service.replica.is_serving()
        assert await service.http() == {"/livez": 503, "/readyz": 503, "/healthz": 503, "/health": 503}
    assert await watcher.hears() == SERVING


async def test_a_hung_engine_is_told_for_good(settings: Settings, engine: GatedEngine) -> None:
    """The request that it hangs in ends, typed; from then on nothing serves, even if the engine comes back."""
    scheduler = settings.scheduler.model_copy(update={"engine_hang_timeout": 0.2, "max_batch_duration": 0.01})
    async with mounted(settings.model_copy(update={"scheduler": scheduler}), engine) as running:
        await running.replica.start()
        watcher = Watcher(running.channel)
        assert await watcher.hears() == SERVING
        engine.gate.clear()
        refused = await running.predict()
        assert isinstance(refused, Refused)
        assert refused.reason == "INFERENCE_FAILED"
        assert await watcher.hears() == NOT_SERVING
        assert running.replica.readiness().blockers == (Blocker.ENGINE_HUNG,)
        assert await running.http() == {"/livez": 503, "/readyz": 503, "/healthz": 503, "/health": 503}
        engine.gate.set()
        assert [await running.check(name) for name in NAMES] == [NOT_SERVING] * 3


async def test_an_engine_that_hangs_in_the_deep_check_is_hung(settings: Settings, engine: GatedEngine) -> None:
    """So an idle replica is found out before the first request is."""
    scheduler = settings.scheduler.model_copy(update={"engine_hang_timeout": 0.2, "max_batch_duration": 0.01})
    async with mounted(settings.model_copy(update={"scheduler": scheduler}), engine) as running:
        await running.replica.start()
        watcher = Watcher(running.channel)
        assert await watcher.hears() == SERVING
        engine.gate.clear()
        found = await running.replica.check_deep()
        assert (found.state, found.error) == (DeepState.UNHEALTHY, "the engine did not answer within 0.2 s")
        assert await watcher.hears() == NOT_SERVING


async def test_a_missing_model_is_told(service: Mounted) -> None:
    """Its own name is unknown then; without the default model the whole does not serve."""
    watcher, of_model = Watcher(service.channel), Watcher(service.channel, NAME)
    assert [await watcher.hears(), await of_model.hears()] == [SERVING, SERVING]
    service.replica._pool._loaded.forget((NAME, 1))
    assert [await watcher.hears(), await of_model.hears()] == [NOT_SERVING, UNKNOWN]
    assert [await service.check(name) for name in NAMES] == [NOT_SERVING, NOT_SERVING, UNKNOWN]
    assert service.replica.readiness().blockers == (Blocker.MODEL_MISSING,)
    assert (await service.replica.check_deep()).error == "no version of the default model is loaded"


async def test_a_start_without_a_model_never_serves(settings: Settings, engine: GatedEngine, tmp_path: Path) -> None:
    """An empty registry ends the start, and probes go on hearing NOT_SERVING."""
    async with mounted(settings.model_copy(update={"registry": tmp_path}), engine) as running:
        with pytest.raises(ModelError):
            await running.replica.start()
        assert [await running.check(name) for name in NAMES] == [NOT_SERVING, NOT_SERVING, UNKNOWN]


async def test_the_deep_check_is_shown_and_leaves_no_trace_in_any_figure(service: Mounted, engine: GatedEngine) -> None:
    """The engine computes a window, and health says so; counters, queues, costs, caches and observers know nothing."""
    assert isinstance(await service.predict(), PredictResponse)
    before, computed = service.replica.snapshot(), len(engine.batches)
    assert (await service.statistics()).health.deep_check.state == model_service_pb2.DEEP_STATE_UNKNOWN
    told = (await service.statistics(deep_check=True)).health
    assert told.ready
    assert told.deep_check.state == model_service_pb2.DEEP_STATE_HEALTHY
    assert abs(told.deep_check.check_time.ToSeconds() - time.time()) < 600
    assert told.deep_check.engine_duration.ToNanoseconds() > 0
    assert len(engine.batches) == computed + 1
    after = service.replica.snapshot()
    same = replace(before.scheduler, heartbeat_age=0.0)
    assert replace(after.scheduler, heartbeat_age=0.0, idle_with_queue=same.idle_with_queue) == same
    assert (after.cache, after.routes, after.symbols) == (before.cache, before.routes, before.symbols)
    assert [run.is_probe for run in service.recorder.batches] == [False, True]
    assert [record.method for record in service.recorder.requests] == ["Predict"]


async def test_asking_often_costs_one_check_a_second(service: Mounted, engine: GatedEngine) -> None:
    """However many ask, over whatever door."""
    app = build_http_app(lambda: service.replica)
    before = len(engine.batches)
    began = time.monotonic()
    for _ in range(5):
        await asyncio.gather(service.statistics(deep_check=True), fetch(app, "/health"), service.replica.check_deep())
    assert len(engine.batches) - before <= 1 + (time.monotonic() - began)
    assert len(engine.batches) > before


async def test_a_busy_engine_stays_as_healthy_as_it_was(service: Mounted, engine: GatedEngine) -> None:
    """While requests keep it busy no check gets a turn: that is told, and turns nothing."""
    healthy = await service.replica.check_deep()
    assert healthy.state is DeepState.HEALTHY
    engine.gate.clear()
    asked = asyncio.create_task(service.predict())
    await eventually(lambda: service.replica.snapshot().scheduler.running_batches)
    service.replica._deep_check._begun_at = None  # as if the last check were long ago
    found = await service.replica.check_deep()
    assert found.skipped_count == 1
    assert found.skipped_duration >= 0.05
    assert (found.state, found.checked_at) == (healthy.state, healthy.checked_at)
    assert (await fetch(build_http_app(lambda: service.replica), "/health")).status == 200
    engine.gate.set()
    assert isinstance(await asked, PredictResponse)
