"""Laws of the deployment, without a running Ray: every method of the contract is there, and a dead replica says so."""

import asyncio
import warnings
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import pytest

from server.autoscaling.replica_load import ReplicaLoad
from server.config.live_settings import LIVE_FIELDS
from server.config.settings import Settings
from server.http.original_stats import EngineTally
from server.rpc.dispatch import Dispatcher
from server.rpc.ingress import METHODS, STREAMED_METHODS
from server.runtime_env import RuntimeEnvironmentError
from server.serve_config import SCALE_FIELDS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Ray's own, at import
    from server.app import application
    from server.deployment import HungEngineError, PredictorDeployment


class FakeReplica:
    """A replica that serves or not."""

    def __init__(self, *, serving: bool) -> None:
        self.serving = serving
        self.closed = 0
        self.calls: list[tuple[str, Any, Any]] = []
        self.dispatcher = self

    def is_serving(self) -> bool:
        """As told."""
        return self.serving

    async def close(self) -> None:
        """Counts."""
        self.closed += 1

    async def drain(self) -> None:
        """Has nothing to drain."""

    async def unary(self, name: str, request: Any, context: Any) -> str:
        """Remembers."""
        self.calls.append((name, request, context))
        return name

    async def streamed(self, name: str, requests: Any, context: Any) -> AsyncIterator[str]:
        """Remembers."""
        self.calls.append((name, requests, context))
        yield name


class Bare(PredictorDeployment):
    """A deployment around a fake replica, without Ray Serve's context."""

    def __init__(self, *, serving: bool = True) -> None:
        self.fake: Any = FakeReplica(serving=serving)
        self._replica: Any = self.fake
        self._watchdog: Any = mock.Mock()
        self._drain_watch: Any = mock.Mock()
        self._live: Any = None
        self._tally = EngineTally()

    async def finish(self) -> None:
        """Ends it as Ray Serve does."""
        await PredictorDeployment.__del__(self)

    def __del__(self) -> None:  # type: ignore[override]
        """The real one is a coroutine, which only Ray Serve awaits."""


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings as they travel."""
    return Settings().model_dump(mode="json")


async def test_a_serving_replica_is_healthy() -> None:
    """Ray Serve leaves it alone."""
    await Bare().check_health()


async def test_a_dead_replica_asks_to_be_replaced() -> None:
    """The health check fails when predictions are not answered any more."""
    with pytest.raises(HungEngineError):
        await Bare(serving=False).check_health()


async def test_the_replica_is_closed_at_the_end() -> None:
    """What was accepted is finished."""
    deployment = Bare()
    await deployment.finish()
    assert deployment.fake.closed == 1
    deployment._drain_watch.cancel.assert_called_once_with()


async def test_the_load_is_reported_and_watched_from_the_first_question_on() -> None:
    """Plain numbers, as Ray Serve takes them; the watch ends with the replica."""
    deployment = Bare()
    deployment._load, deployment._load_watch = ReplicaLoad(), None
    deployment.fake.snapshot = lambda: mock.Mock(scheduler=mock.Mock(queue_size={}, costs={}))
    report = await deployment.record_autoscaling_stats()
    assert report
    assert all(type(value) is float for value in report.values())
    watch = deployment._load_watch
    assert isinstance(watch, asyncio.Task)
    await deployment.record_autoscaling_stats()
    assert deployment._load_watch is watch
    assert not watch.done()
    await deployment.finish()
    await asyncio.wait([watch])
    assert watch.cancelled()


@pytest.mark.parametrize("name", sorted(METHODS))
async def test_every_method_of_the_contract_is_served(name: str) -> None:
    """Under its short name, with the raw bytes and Ray Serve's context handed on."""
    deployment = Bare()
    result = getattr(deployment, name)(b"request", "context")
    answers = [item async for item in result] if name in STREAMED_METHODS else [await result]
    assert answers == [name]
    assert deployment.fake.calls == [(name, b"request", "context")]


async def test_the_http_side_follows_the_replica() -> None:
    """Ray Serve gets an ASGI application."""
    assert callable(Bare().__serve_build_asgi_app__())


async def test_no_replica_starts_without_direct_ingress(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything else it looks whether its process has what it needs."""
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY", raising=False)
    initialise: Any = PredictorDeployment.__init__
    with pytest.raises(RuntimeEnvironmentError):
        await initialise(Bare(), settings)


class RememberingReplica(FakeReplica):
    """Keeps the settings that it was made with and those that came after."""

    def __init__(self, settings: Settings, **_: Any) -> None:
        super().__init__(serving=True)
        self.settings = [settings]
        self.started = 0

    async def start(self) -> None:
        """Counts."""
        self.started += 1

    def reconfigure(self, settings: Settings) -> None:
        """Remembers."""
        self.settings.append(settings)


def configured_by_ray(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Bare:
    """Returns a deployment as Ray Serve makes it, before its first settings; what it needs of Ray is made up."""
    monkeypatch.setattr("server.deployment.runtime_env.check", lambda: None)
    monkeypatch.setattr("server.deployment.serve.get_replica_context", mock.MagicMock())
    monkeypatch.setattr("server.deployment.ray.get_runtime_context", mock.MagicMock())
    monkeypatch.setattr("server.deployment.log_to_replica_file", mock.MagicMock())  # this process is none
    monkeypatch.setattr("server.deployment.Replica", RememberingReplica)
    # It would take the end of this test's loop for a loop that stands still, and end the process.
    monkeypatch.setattr("server.deployment.LoopWatchdog", mock.MagicMock())
    deployment = Bare()
    initialise: Any = PredictorDeployment.__init__
    initialise(deployment, settings)
    return deployment


async def test_live_settings_reach_the_replica_that_runs(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ones make and start it, later ones change it; it is not healthy before the first."""
    live = {name: settings.pop(name) for name in LIVE_FIELDS}
    deployment = configured_by_ray(settings, monkeypatch)
    with pytest.raises(HungEngineError):
        await deployment.check_health()
    await deployment.reconfigure(live)
    await deployment.check_health()
    replica = deployment._replica
    await deployment.reconfigure(live | {"max_symbols": 7})
    assert deployment._replica is replica
    assert replica.started == 1
    assert [given.max_symbols for given in replica.settings] == [live["max_symbols"], 7]


async def test_settings_that_need_a_new_replica_count_at_its_beginning_alone(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those beside the live ones win over the constructor's at the first time; a replica that runs is not touched."""
    live = {name: settings.pop(name) for name in LIVE_FIELDS}
    deployment = configured_by_ray(settings, monkeypatch)
    await deployment.reconfigure({**settings, "stream_max_age": 100.0, **live})
    replica = deployment._replica
    await deployment.reconfigure({**settings, "stream_max_age": 200.0, **live, "max_symbols": 7})
    assert [given.stream_max_age for given in replica.settings] == [100.0, 100.0]
    assert replica.settings[-1].max_symbols == 7


async def test_another_number_of_replicas_comes_with_what_is_only_valid_with_it(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replicas need shared windows, one does not: a new replica does not hold the start's two against them."""
    live = {name: settings.pop(name) for name in LIVE_FIELDS}
    shared, own = settings["windows"] | {"store": "redis", "redis_url": "redis://h:1"}, settings["windows"]
    deployment = configured_by_ray({**settings, "windows": shared, "replicas": 2}, monkeypatch)
    await deployment.reconfigure({**settings, "windows": own, "replicas": 1, **live})
    assert deployment._replica.settings[-1].windows.store == "memory"
    running = configured_by_ray({**settings, "windows": shared, "replicas": 1}, monkeypatch)
    await running.reconfigure({**settings, "windows": shared, "replicas": 1, **live})
    await running.reconfigure({**settings, "windows": shared, "replicas": 3, **live})
    assert running._replica.settings[-1].replicas == 3


def test_only_static_settings_are_baked_into_a_replica() -> None:
    """Deployed again with other live settings an application differs in what reaches replicas that run, alone."""
    deployments = []
    for max_symbols in (5, 6):
        deployment = application(Settings(max_symbols=max_symbols))._bound_deployment
        deployments.append(deployment)
        assert deployment.user_config["max_symbols"] == max_symbols
        assert deployment.user_config.keys() == LIVE_FIELDS | SCALE_FIELDS
    first, second = ([*deployment.init_args, deployment.init_kwargs] for deployment in deployments)
    assert first == second
    assert not first[0].keys() & LIVE_FIELDS


def test_the_dispatcher_is_what_is_called() -> None:
    """The fake has the two functions of the real one."""
    assert {"unary", "streamed"} <= set(dir(Dispatcher)) & set(dir(FakeReplica))
