"""Section 6's guarantee on two replicas and a real Redis: wherever connections are cut, exactly once and in order."""

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.cutting_proxy import Cut, CuttingProxy
from tests.support.follower import Follower
from tests.support.redis_server import redis_server
from tests.support.registry import make_registry
from tests.support.service import serving, settings_for
from tickserve import AsyncClient

EXAMPLES = itertools.count()
# A tick is some 80 bytes, an answer some 600; a new connection begins with some 300 of its own either way.
CUTS = st.lists(
    st.one_of(
        st.builds(Cut, after=st.integers(0, 6_000), upwards=st.just(True), following=st.integers(0, 1)),
        st.builds(Cut, after=st.integers(0, 30_000), upwards=st.just(False), following=st.integers(0, 1)),
    ),
    max_size=5,
)


class World:
    """Two replicas on one Redis and a proxy in front of them, all in one event loop."""

    def __init__(self, registry: Path, redis_url: str) -> None:
        self.runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        windows = {"store": "redis", "redis_url": redis_url, "read_timeout": 10, "write_timeout": 30}
        self._settings = settings_for(registry, windows=windows)

    async def enter(self) -> None:
        """Starts it."""
        ports = []
        for _ in range(2):
            service = await self._stack.enter_async_context(serving(self._settings))
            ports.append(int(service.target.rpartition(":")[2]))
        self.proxy, self.target = await self._stack.enter_async_context(CuttingProxy.serving(ports))

    async def leave(self) -> None:
        """Stops it."""
        await self._stack.aclose()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all examples."""
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    with redis_server(tmp_path_factory.mktemp("redis")) as redis:
        world = World(registry, redis.url)
        with world.runner:
            world.runner.run(world.enter())
            yield world
            world.runner.run(world.leave())


@given(
    cuts=CUTS,
    symbol_count=st.integers(1, 3),
    tick_count=st.integers(1, 30),
    predict_every=st.integers(1, 3),
)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_due_prediction_comes_once_wherever_the_connection_is_cut(
    world: World, cuts: list[Cut], symbol_count: int, tick_count: int, predict_every: int
) -> None:
    """What the client hears is what it would have heard of one replica over a connection that held."""

    async def run() -> None:
        example = next(EXAMPLES)
        starts = {f"CUT{example}-{number}": 9 * number for number in range(symbol_count)}
        async with (
            AsyncClient(world.target) as client,
            Follower(client, starts, predict_every=predict_every) as follower,
        ):
            world.proxy.arm(cuts)
            await follower.feed(tick_count)
            await follower.finish()
        world.proxy.arm([])
        follower.check()

    world.runner.run(run())
