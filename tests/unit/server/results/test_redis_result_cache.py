"""Laws of the answers that replicas share, with a real Redis: they are found while it is well, and missed while not."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from server.config.cache_settings import CacheSettings
from server.config.live_settings import LiveSettings
from server.config.settings import Settings
from server.results.known_results import KnownResults
from server.results.redis_result_cache import RedisResultCache
from server.results.result_cache import ResultKey
from tests.support.redis_server import RedisServer, redis_server
from tests.support.registry import make_config
from tests.unit.server.results.test_packed_row import row, same

VALUE = b"an answer"
LONG, SHORT = 30.0, 0.02
"""Timeouts in seconds: one that no busy machine reaches, and one that a test can wait for."""


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all."""
    make_config()  # reads a file: not in the loop
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def redis(shared_server: RedisServer) -> RedisServer:
    """It runs and is empty."""
    if not shared_server.runs:
        await asyncio.to_thread(shared_server.start)
    async with Redis.from_url(shared_server.url) as admin:
        await admin.flushall()
        await admin.config_set("maxmemory", 0)
    return shared_server


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine does not count as a Redis that is gone."""
    monkeypatch.setattr("server.results.redis_result_cache._GIVE_UP", LONG)


def key(number: int = 0) -> ResultKey:
    """Returns a key of its own for each number."""
    return ResultKey(f"{number:064x}", (50, 60), "ab" * 32, "openvino", "bf16")


@asynccontextmanager
async def replica(
    redis: RedisServer, *, timeout: float = LONG, ttl: float = 60.0, url: str = "", connected: bool = True
) -> AsyncIterator[RedisResultCache]:
    """Yields what one replica has, once it is connected."""
    cache = RedisResultCache(url or redis.url, ttl=ttl, timeout=timeout, retry_interval=0.01)
    cache.start()
    try:
        if connected:
            await until(lambda: cache.statistics().available)
        yield cache
    finally:
        await cache.close()


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what other tasks bring about."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.002)


async def written(cache: RedisResultCache, value: bytes = VALUE, *, number: int = 0) -> None:
    """Puts an answer and waits until it is written."""
    before = cache.statistics().writes
    cache.put(key(number), value)
    await until(lambda: cache.statistics().writes > before)


async def find(cache: RedisResultCache, number: int = 0) -> bytes | None:
    """Looks up with all the time in the world."""
    return await cache.get(key(number), remaining=math.inf)


async def test_what_one_replica_puts_another_one_finds(redis: RedisServer) -> None:
    """And what nobody put, nobody finds."""
    async with replica(redis) as one, replica(redis) as other:
        await written(one)
        assert await find(other) == VALUE
        assert await find(other, 1) is None
        told = other.statistics()
        assert (told.hits, told.misses, told.skipped, told.failures) == (1, 1, 0, 0)


async def test_many_at_once_each_get_their_own(redis: RedisServer) -> None:
    """Look-ups that share a round trip are not mixed up, and several for one key all get it."""
    async with replica(redis) as cache:
        for number in range(0, 200, 2):
            cache.put(key(number), b"answer %d" % number)
        await until(lambda: cache.statistics().writes == 100)
        found = await asyncio.gather(*(find(cache, number) for number in [*range(200), 0, 0]))
    expected = [b"answer %d" % number if number % 2 == 0 else None for number in range(200)]
    assert found == [*expected, b"answer 0", b"answer 0"]


async def test_an_answer_has_its_time_and_a_name_of_ours(redis: RedisServer) -> None:
    """Redis forgets by itself, and others' keys are not touched."""
    async with replica(redis, ttl=50.0) as cache, Redis.from_url(redis.url) as admin:
        await written(cache)
        [name] = await admin.keys("tickserve:result:*")
        assert await admin.dbsize() == 1
        assert 0 < await admin.pttl(name) <= 50_000


async def test_another_kind_of_value_under_our_key_is_a_miss(redis: RedisServer) -> None:
    """A list is no answer and no error; the next answer takes its place."""
    async with replica(redis) as cache, Redis.from_url(redis.url) as admin:
        await written(cache)
        [name] = await admin.keys("*")
        await admin.delete(name)
        await admin.lpush(name, "a", "b")
        assert await find(cache) is None
        assert cache.statistics().available
        await written(cache)
        assert await find(cache) == VALUE


@pytest.mark.parametrize("value", [b"", b"foreign", b"tsr\x01" + b"\0" * 1120])
async def test_foreign_bytes_under_our_key_are_computed_anew(redis: RedisServer, value: bytes) -> None:
    """Both levels then hold the computed answer, and the next replica finds it."""

    def known() -> KnownResults:
        return KnownResults(live, connect=lambda _: RedisResultCache(redis.url, ttl=60, timeout=LONG))

    live = await asyncio.to_thread(
        lambda: LiveSettings(Settings(cache=CacheSettings(redis_url=redis.url, redis_timeout=0.1)))
    )
    network = make_config().network
    async with replica(redis) as foreign:
        await written(foreign, value)
    for answered in (False, True):
        results = known()
        results.apply_settings()
        await until(lambda results=results: results.statistics()[1].available)  # type: ignore[misc]
        found = await results.find(key(), network=network, deadline=math.inf)
        assert (found is not None) == answered
        if found is None:
            results.keep(key(), row())
            await until(lambda results=results: results.statistics()[1].writes == 1)  # type: ignore[misc]
        else:
            assert same(found, row())
            assert results.statistics()[0].entries == 1
        await results.close()


async def test_a_killed_redis_costs_its_hits_and_is_used_again(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody gets an error, nobody waits once it is known to be gone, and its return is noticed without a request."""
    caplog.set_level(logging.WARNING)
    async with replica(redis) as cache:
        await written(cache)
        redis.stop()
        assert await find(cache) is None
        await until(lambda: not cache.statistics().available)
        before = cache.statistics()
        assert await find(cache) is None
        cache.put(key(1), VALUE)
        after = cache.statistics()
        assert (after.skipped - before.skipped, after.dropped - before.dropped) == (1, 1)
        await asyncio.to_thread(redis.start)
        await until(lambda: cache.statistics().available)
        assert await find(cache) is None  # it forgot everything
        await written(cache)
        assert await find(cache) == VALUE
    assert len([record for record in caplog.records if "does not answer" in record.message]) == 1


async def test_a_frozen_redis_costs_one_timeout_and_is_used_again(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked waits for the timeout; while that round trip is overdue, and from then on, nobody asks."""
    async with replica(redis, timeout=SHORT) as cache:
        await written(cache)
        redis.freeze()
        try:
            assert await find(cache) is None
            told = cache.statistics()
            assert (told.timeouts, told.available) == (1, True)
            for number in range(5):
                assert await find(cache, number) is None
            assert cache.statistics().skipped == 5
        finally:
            redis.thaw()
        # Answered late, it was never gone: as soon as it is no longer overdue it is asked again.
        async with asyncio.timeout(60):
            while await find(cache) != VALUE:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.002)
        assert cache.statistics().failures == 0


async def test_a_redis_that_stays_frozen_is_given_up(redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is like one that is gone, until it goes on; what is put meanwhile is dropped, not heaped up."""
    async with replica(redis, timeout=SHORT) as cache:
        await written(cache)
        monkeypatch.setattr("server.results.redis_result_cache._GIVE_UP", 0.05)
        redis.freeze()
        try:
            assert await find(cache) is None
            await until(lambda: not cache.statistics().available)
            for number in range(2000):
                cache.put(key(number), VALUE)
            assert cache.statistics().dropped == 2000
        finally:
            redis.thaw()
        monkeypatch.setattr("server.results.redis_result_cache._GIVE_UP", LONG)
        await until(lambda: cache.statistics().available)


async def test_what_is_not_yet_written_is_bounded(redis: RedisServer) -> None:
    """Puts of one moment beyond the queue are dropped; the others are written."""
    async with replica(redis) as cache:
        for number in range(3000):
            cache.put(key(number), VALUE)
        assert cache.statistics().dropped == 3000 - 1024
        await until(lambda: cache.statistics().writes == 1024)


async def test_a_full_redis_is_still_read(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """Refused writes are dropped and pause the writes alone, which go on when there is room again."""
    caplog.set_level(logging.WARNING)
    async with replica(redis) as cache, Redis.from_url(redis.url) as admin:
        await written(cache)
        await admin.config_set("maxmemory-policy", "noeviction")
        await admin.config_set("maxmemory", 1)
        cache.put(key(1), VALUE)
        await until(lambda: cache.statistics().failures == 1)
        told = cache.statistics()
        assert (told.available, told.writes, told.dropped) == (True, 1, 1)
        assert await find(cache) == VALUE
        assert "refuses" in caplog.text
        await admin.config_set("maxmemory", 0)
        async with asyncio.timeout(60):
            while cache.statistics().writes == 1:
                cache.put(key(1), VALUE)
                await asyncio.sleep(0.005)
        assert await find(cache, 1) == VALUE


async def test_a_request_in_a_hurry_does_not_ask(redis: RedisServer) -> None:
    """Less than ten timeouts left: Redis would be a good part of it."""
    async with replica(redis) as cache:
        await written(cache)
        assert await cache.get(key(), remaining=9.9 * LONG) is None
        assert cache.statistics().skipped == 1
        assert await cache.get(key(), remaining=10.1 * LONG) == VALUE


async def test_a_redis_that_never_was_costs_nothing(redis: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    """No request waits for the first connection, and the password is not logged."""
    caplog.set_level(logging.DEBUG)
    for url in ("redis://user:sesame@127.0.0.1:1/0", f"redis://user:sesame@127.0.0.1:{redis.port}/0"):
        async with replica(redis, url=url, connected=False) as cache:
            assert await find(cache) is None
            cache.put(key(), VALUE)
            told = cache.statistics()
            assert (told.available, told.skipped, told.dropped) == (False, 1, 1)
            await until(lambda cache=cache: cache.statistics().failures > 1)  # type: ignore[misc]
            assert not cache.statistics().available
    assert "does not answer" in caplog.text
    assert "sesame" not in caplog.text


async def test_closing_leaves_nobody_waiting(redis: RedisServer) -> None:
    """A look-up that is under way ends as a miss."""
    async with replica(redis) as cache:
        redis.freeze()
        try:
            waiting = asyncio.create_task(find(cache))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await cache.close()
            assert await waiting is None
        finally:
            redis.thaw()


async def test_a_caller_that_leaves_spoils_nothing(redis: RedisServer) -> None:
    """Its look-up is forgotten; others that share the round trip get their answers."""
    async with replica(redis) as cache:
        await written(cache)
        leaving, staying = (asyncio.create_task(find(cache)) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying == VALUE
        assert leaving.cancelled()
