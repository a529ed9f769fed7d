"""Laws of health: probes hear the truth, and one that leaves takes nothing from the others."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
import pytest
from grpc_health.v1 import health_pb2

from server.health.health import PREDICTION_SERVICE, Health
from tests.support.fakes import settle

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Aborted(Exception):  # noqa: N818 - what gRPC's own abort does
    """The RPC was aborted."""


class AbortingContext:
    """A servicer context that knows `abort` only."""

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        """Ends the RPC."""
        raise Aborted(code, details)


CONTEXT = cast("grpc.aio.ServicerContext[Any, Any]", AbortingContext())


class Watcher:
    """One `Watch` and what it has heard."""

    def __init__(self, health: Health, service: str = "") -> None:
        self.heard: list[int] = []
        self._stream = health.Watch(health_pb2.HealthCheckRequest(service=service), CONTEXT)
        self.task = asyncio.get_running_loop().create_task(self._listen(self._stream))

    async def _listen(self, stream: AsyncIterator[health_pb2.HealthCheckResponse]) -> None:
        async for response in stream:
            self.heard.append(response.status)

    async def leave(self) -> None:
        """Ends the watch, as gRPC does when the client goes."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def attached(*, farewell: float = 1.0) -> Health:
    """Returns the health of a process that has a replica."""
    health = Health(farewell=farewell)
    health.attach()
    return health


async def check(health: Health, service: str = "") -> int:
    """Returns what a probe is told."""
    response = await health.Check(health_pb2.HealthCheckRequest(service=service), CONTEXT)
    return int(response.status)


async def test_a_fresh_process_does_not_serve() -> None:
    """The whole and the prediction service are known from the start, and NOT_SERVING."""
    health = Health()
    assert [await check(health, name) for name in ("", PREDICTION_SERVICE)] == [NOT_SERVING, NOT_SERVING]


async def test_check_follows_the_state() -> None:
    """Each service has a state of its own."""
    health = Health()
    health.set_serving("cnn_lstm", serving=True)
    assert [await check(health, name) for name in ("", "cnn_lstm")] == [NOT_SERVING, SERVING]
    health.set_all(serving=False)
    assert await check(health, "cnn_lstm") == NOT_SERVING


@pytest.mark.parametrize("service", ["nobody", "x" * 10_000])
async def test_check_of_an_unknown_service_is_not_found(service: str) -> None:
    """As the health protocol says; a long name is not echoed whole."""
    with pytest.raises(Aborted) as caught:
        await check(Health(), service)
    code, details = caught.value.args
    assert code is grpc.StatusCode.NOT_FOUND
    assert len(details) < 200


async def test_a_watcher_that_leaves_does_not_silence_another() -> None:
    """Of two watchers of one service, the one that stays hears every change."""
    health = attached()
    first, second = Watcher(health), Watcher(health)
    await settle()
    await first.leave()
    health.set_serving("", serving=True)
    await settle()
    health.set_all(serving=False)
    await settle()
    assert second.heard == [NOT_SERVING, SERVING, NOT_SERVING]
    assert first.heard == [NOT_SERVING]
    await second.leave()


async def test_a_watcher_hears_of_changes_only() -> None:
    """Setting what is already set, or another service, says nothing."""
    health = attached()
    watcher = Watcher(health, PREDICTION_SERVICE)
    await settle()
    health.set_serving("other", serving=True)
    health.set_serving(PREDICTION_SERVICE, serving=False)
    await settle()
    assert watcher.heard == [NOT_SERVING]
    await watcher.leave()


async def test_a_watcher_of_an_unknown_service_waits_for_it() -> None:
    """It is told SERVICE_UNKNOWN, then hears of the service's coming and going."""
    health = attached()
    watcher = Watcher(health, "cnn_lstm")
    await settle()
    health.set_serving("cnn_lstm", serving=True)
    await settle()
    health.forget("cnn_lstm")
    await settle()
    assert watcher.heard == [UNKNOWN, SERVING, UNKNOWN]
    await watcher.leave()


async def test_a_change_while_a_watcher_sends_is_not_missed() -> None:
    """The last state is heard even if it came while the one before was on its way."""
    health = attached()
    stream = health.Watch(health_pb2.HealthCheckRequest(), CONTEXT)
    assert (await anext(stream)).status == NOT_SERVING
    health.set_serving("", serving=True)
    assert (await anext(stream)).status == SERVING


async def test_a_drain_is_told_and_then_ends_the_watch() -> None:
    """So that a watcher behind a proxy begins anew and finds another replica; `Check` goes on answering."""
    health = attached(farewell=0)
    health.set_serving("", serving=True)
    watcher = Watcher(health)
    await settle()
    health.set_all(serving=False)
    health.drain()
    with pytest.raises(Aborted) as caught:
        await watcher.task
    assert watcher.heard == [SERVING, NOT_SERVING]
    assert caught.value.args[0] is grpc.StatusCode.UNAVAILABLE
    assert await check(health) == NOT_SERVING


async def test_a_watch_that_begins_in_the_drain_hears_of_it_first() -> None:
    """One that comes to the replica directly is told the state before it is sent away."""
    health = attached(farewell=0)
    health.drain()
    watcher = Watcher(health, "nobody")
    with pytest.raises(Aborted):
        await watcher.task
    assert watcher.heard == [UNKNOWN]


async def test_a_watcher_is_not_sent_away_before_its_farewell() -> None:
    """In between proxies learn of the drain, else it would come straight back."""
    health = attached(farewell=3600)
    watcher = Watcher(health)
    health.drain()
    await settle()
    assert (watcher.heard, watcher.task.done()) == ([NOT_SERVING], False)
    await watcher.leave()


async def test_where_there_is_no_replica_a_watch_ends_too() -> None:
    """Ray Serve's fallback proxy is a process without one: a watcher that stayed there would never hear of any."""
    watcher = Watcher(Health(farewell=0))
    with pytest.raises(Aborted) as caught:
        await watcher.task
    assert watcher.heard == [NOT_SERVING]
    assert caught.value.args[0] is grpc.StatusCode.UNAVAILABLE


async def test_a_watch_stays_where_a_replica_comes_meanwhile() -> None:
    """It hears of the warm-up's end."""
    health = Health(farewell=0)
    stream = health.Watch(health_pb2.HealthCheckRequest(), CONTEXT)
    assert (await anext(stream)).status == NOT_SERVING
    health.attach()
    following = asyncio.ensure_future(anext(stream))
    await settle()
    health.set_serving("", serving=True)
    assert (await following).status == SERVING
