"""What happens when the master of a replicated Redis dies: the stores go on at the new one, and nobody intervenes.

Real servers and real Sentinels on loopback. They decide within about a second and take half of one to notice; nothing
here measures that, only that it ends well.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from model.bar import Bar
from server.config.window_settings import WindowSettings
from server.grant import RateLimit
from server.refusal import Refusal
from server.results.redis_result_cache import RedisResultCache
from server.results.result_cache import ResultKey
from server.security.halt import EVERYTHING, Halt
from server.security.halt_redis import HaltRedis
from server.security.halt_store import HaltStoreError
from server.security.redis_token_store import RedisTokenStore
from server.security.token_store import Ask, TokenStoreError
from server.windows.redis_window_store import RedisWindowStore
from tests.support.redis_sentinels import PASSWORD, RedisSentinels, redis_sentinels
from tests.support.registry import make_config, real_bars, real_windows
from tests.support.windows import Listener, eventually, fill

CONFIG = make_config()
NewStore = Callable[..., RedisWindowStore]
LONG = 30.0


@pytest.fixture
def group(tmp_path: Path) -> Iterator[RedisSentinels]:
    """A master, a replica and three Sentinels, which the test may break."""
    with redis_sentinels(tmp_path) as running:
        yield running


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    """What opens all five."""
    path = tmp_path / "redis-password"
    path.write_text(PASSWORD)
    return path


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars."""
    real_windows()
    return real_bars(200)


@pytest.fixture
async def new_store(group: RedisSentinels, password_file: Path) -> AsyncIterator[NewStore]:
    """Makes stores as replicas have them, and closes them."""
    async with AsyncExitStack() as stack:

        def make(**settings: float) -> RedisWindowStore:
            patient = {"read_timeout": 10.0, "write_timeout": LONG} | settings
            chosen = WindowSettings.model_validate({"store": "redis", "redis_url": group.url} | patient)
            store = RedisWindowStore(chosen, max_symbols=10, password_file=password_file)
            stack.push_async_callback(store.close)
            return store

        yield make


async def share(cache: RedisResultCache, key: ResultKey) -> None:
    """Puts an answer and looks it up until it is found: what is put while the Redis is away is not kept."""

    async def find() -> bytes | None:
        cache.put(key, b"answer")
        return await cache.get(key, remaining=math.inf)

    async with asyncio.timeout(LONG * 2):
        while await find() != b"answer":  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.01)


async def test_the_master_dies(
    group: RedisSentinels,
    new_store: NewStore,
    password_file: Path,
    bars: tuple[Bar, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ticks go on, become durable at the new master, are taken over from there whole; so do halts, limits, answers."""
    monkeypatch.setattr("server.results.redis_result_cache._GIVE_UP", 2.0)  # a busy machine is no Redis that is gone
    cache = RedisResultCache(group.url, password_file=password_file, ttl=60, timeout=2.0, retry_interval=0.05)
    cache.start()
    await share(cache, ResultKey("1" * 64, (50, 60), "ab" * 32, "openvino", "bf16"))
    here, there, listener = new_store(write_timeout=1.0), new_store(), Listener()
    halts = HaltRedis(group.url, password_file=password_file, timeout=LONG)
    tokens = RedisTokenStore(group.url, password_file=password_file, timeout=LONG)
    await here.start()
    [window] = await here.hold(["A"], CONFIG, listener=listener)
    fill(window, bars[:130])
    here.changed(window)
    await eventually(lambda: listener.durable_sequence("A") == 130)
    halted = await halts.halt(Halt(scope=EVERYTHING, reason="", author="", halted_at=1.0))
    limit = RateLimit(rate=0.001, burst=10)
    assert (await tokens.settle({"a": Ask(limit, 0, 4)}))["a"].tokens == 4
    await eventually(group.in_step)
    group.servers[0].stop()
    group.stop_sentinel()  # the one that is asked first; two of three still decide
    fill(window, bars[130:140])
    here.changed(window)
    await eventually(lambda: listener.durable_sequence("A") == 140)
    assert listener.lost_windows == []
    [moved] = await there.hold(["A"], CONFIG, listener=Listener())
    assert moved.last_sequence == 140
    assert (moved.window() == window.window()).all()
    assert (await halts.read()).halts.keys() == halted.halts.keys()
    assert (await halts.resume(EVERYTHING)).halts == {}
    assert (await tokens.settle({"a": Ask(limit, 0, 10)}))["a"].tokens == 6
    await share(cache, ResultKey("2" * 64, (50, 60), "ab" * 32, "openvino", "bf16"))
    for client in (halts, tokens, cache):
        await client.close()


async def test_a_replica_that_was_behind_is_promoted(
    group: RedisSentinels, new_store: NewStore, bars: tuple[Bar, ...]
) -> None:
    """What it lacks is written again by whoever holds it, quiet symbols too; without a holder it is seen as older.

    It is never taken for newer than it is: a stream that comes back is told up to where the window goes, and fills the
    rest or tells the gap.
    """
    here, there, listener = new_store(write_timeout=1.0), new_store(), Listener()
    await here.start()
    busy, quiet, orphan = await here.hold(["busy", "quiet", "orphan"], CONFIG, listener=listener)

    async def store_up_to(count: int) -> None:
        for window in (busy, quiet, orphan):
            fill(window, bars[window.last_sequence : count])
            here.changed(window)
        await eventually(lambda: all(listener.durable_sequence(name) == count for name in ("busy", "quiet", "orphan")))

    await store_up_to(130)
    await eventually(group.in_step)
    group.cut_replica_off()
    await store_up_to(135)
    here.release(orphan)
    await here.flush()
    group.servers[0].stop()
    fill(busy, bars[135:140])
    here.changed(busy)
    await eventually(lambda: listener.durable_sequence("busy") == 140)
    assert (await there.window("busy", CONFIG, max_age=None))[1].last_sequence == 140
    assert (await there.window("quiet", CONFIG, max_age=None))[1].last_sequence == 130
    here._touch_interval = -1.0  # as after half a minute
    await here._touch_once()
    await here.flush()
    assert (await there.window("quiet", CONFIG, max_age=None))[1].last_sequence == 135
    [behind] = await there.hold(["orphan"], CONFIG, listener=Listener())
    assert behind.last_sequence == 130
    assert listener.lost_windows == []


async def test_a_silent_sentinel_costs_one_look(
    group: RedisSentinels, new_store: NewStore, password_file: Path, bars: tuple[Bar, ...]
) -> None:
    """Callers who have less time than a silent Sentinel takes still come to the next one, in the end."""
    group.freeze_sentinel()
    store, listener = new_store(write_timeout=0.2), Listener()
    await store.start()

    async def hold() -> object:
        try:
            return await store.hold(["A"], CONFIG, listener=listener)
        except Refusal:
            return None

    windows: list[object] = []
    while not windows:
        windows = [window for window in [await hold()] if window]
    halts = HaltRedis(group.url, password_file=password_file, timeout=0.2)
    tokens = RedisTokenStore(group.url, password_file=password_file, timeout=0.2)
    read = False
    while not read:
        try:
            await halts.read()
            await tokens.settle({})
            read = True
        except (HaltStoreError, TokenStoreError):
            continue
    await halts.close()
    await tokens.close()
