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
    health = Health()
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
    health = Health()
    watcher = Watcher(health, PREDICTION_SERVICE)
    await settle()
    health.set_serving("other", serving=True)
    health.set_serving(PREDICTION_SERVICE, serving=False)
    await settle()
    assert watcher.heard == [NOT_SERVING]
    await watcher.leave()


async def test_a_watcher_of_an_unknown_service_waits_for_it() -> None:
    """It is told SERVICE_UNKNOWN, then hears of the service's coming and going."""
    health = Health()
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
    health = Health()
    stream = health.Watch(health_pb2.HealthCheckRequest(), CONTEXT)
    assert (await anext(stream)).status == NOT_SERVING
    health.set_serving("", serving=True)
    assert (await anext(stream)).status == SERVING
