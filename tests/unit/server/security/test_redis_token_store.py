"""Laws of the token buckets in a real Redis: they do what those in memory do, by the Redis's own clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from batching import PriorityClass
from server.call import Call
from server.config.limit_settings import LimitSettings
from server.grant import RateLimit
from server.refusal import Refusal
from server.security.caller_limits import CallerLimits
from server.security.leased_bucket import lease_of
from server.security.redis_token_store import RedisTokenStore
from server.security.token_store import Ask, TokenStoreError
from tests.support.redis_server import RedisServer, redis_server

# An hour and more for a token: whatever the machine's pace, a test earns none.
SLOW = RateLimit(rate=1 / 4000, burst=10)
QUICK = RateLimit(rate=1000, burst=10)
LONG = 30.0
"""Seconds for a round trip, which no busy machine needs."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    """It runs, is empty and knows no script."""
    if not server.runs:
        await asyncio.to_thread(server.start)
    async with Redis.from_url(server.url) as client:
        await client.flushall()
        await client.script_flush()
        yield client


@pytest.fixture
async def store(server: RedisServer, redis: Redis) -> AsyncIterator[RedisTokenStore]:
    """What is tested."""
    del redis
    store = RedisTokenStore(server.url, timeout=LONG)
    yield store
    await store.close()


async def test_it_gives_what_is_there_and_charges_what_was_spent(store: RedisTokenStore) -> None:
    """Wanted tokens as far as they go; debts also below zero; what goes back can be had again."""
    steps = [(0, 4, 4, 6), (1, 3, 4, 2), (0, 5, 2, 0), (3, 1, 3, -3), (0, -4, 0, 1), (0, 2, 1, 0), (0, -100, 0, 10)]
    for debt, more, tokens, left in steps:
        given = (await store.settle({"key:standard": Ask(SLOW, debt, more)}))["key:standard"]
        assert given.tokens == tokens
        assert given.left == pytest.approx(left, abs=0.1)


async def test_it_fills_by_the_rate_and_not_above_the_burst(store: RedisTokenStore) -> None:
    """A thousand a second make ten in ten milliseconds, and no more than ten."""
    assert (await store.settle({"q": Ask(QUICK, 0, 10)}))["q"].tokens == 10
    await asyncio.sleep(0.02)  # the Redis's clock cannot be moved; a longer pause comes to the same
    assert (await store.settle({"q": Ask(QUICK, 0, 100)}))["q"].tokens == 10


async def test_buckets_are_apart_and_a_lower_burst_holds_at_once(store: RedisTokenStore) -> None:
    """Two names in one round trip; and a limit that was changed is that of the next ask."""
    given = await store.settle({"a": Ask(SLOW, 0, 8), "b": Ask(SLOW, 0, 3)})
    assert {name: answer.tokens for name, answer in given.items()} == {"a": 8, "b": 3}
    smaller = RateLimit(rate=SLOW.rate, burst=2)
    assert (await store.settle({"b": Ask(smaller, 0, 9)}))["b"].tokens == 2


async def test_unused_buckets_expire_when_they_would_be_full(store: RedisTokenStore, redis: Redis) -> None:
    """A missing bucket is a full one, so nothing is lost and no memory is kept."""
    quicker = RateLimit(rate=0.01, burst=10)
    await store.settle({"a": Ask(SLOW, 0, 5), "b": Ask(quicker, 0, 5)})
    times = {name: await redis.pttl(f"tickserve:rate:1:{name}") for name in ("a", "b")}
    assert 5 * 4000 * 1000 - 60_000 < times["a"] <= 5 * 4000 * 1000 + 1001
    assert 500 * 1000 - 60_000 < times["b"] <= 500 * 1000 + 1001


async def test_a_key_of_another_type_fails_alone(store: RedisTokenStore, redis: Redis) -> None:
    """Whoever wrote it: the other bucket is answered."""
    await redis.set("tickserve:rate:1:bad", "text")
    given = await store.settle({"bad": Ask(SLOW, 0, 1), "good": Ask(SLOW, 0, 1)})
    assert given.keys() == {"good"}
    with pytest.raises(TokenStoreError):
        await store.settle({"bad": Ask(SLOW, 0, 1)})


async def test_a_frozen_or_lost_redis_is_told_in_time(server: RedisServer, redis: Redis) -> None:
    """An error, not a wait; and it is the same store when it is back."""
    del redis
    store = RedisTokenStore(server.url, timeout=0.2)
    server.freeze()
    try:
        with pytest.raises(TokenStoreError):
            await store.settle({"a": Ask(SLOW, 0, 1)})
    finally:
        server.thaw()
    await asyncio.to_thread(server.stop)
    with pytest.raises(TokenStoreError):
        await store.settle({})
    await asyncio.to_thread(server.start)
    patient = RedisTokenStore(server.url, timeout=LONG)
    assert (await patient.settle({"a": Ask(SLOW, 0, 1)}))["a"].tokens == 1
    await patient.close()
    await store.close()


async def test_two_replicas_hold_one_limit_together(server: RedisServer, redis: Redis) -> None:
    """All comes to one of two replicas: it admits the whole burst, though nothing waits for the Redis."""
    del redis
    settings = LimitSettings(default_rate=SLOW.rate, default_burst=60)
    limit = RateLimit(rate=SLOW.rate, burst=60)
    replicas = [
        CallerLimits(lambda: settings, replicas=2, store=RedisTokenStore(server.url, timeout=LONG)) for _ in range(2)
    ]
    for replica in replicas:
        replica.start()
    call = Call(method="/m", received_at=0.0)

    def admit(replica: CallerLimits) -> int:
        try:
            return replica.admit(call, PriorityClass.STANDARD)
        except Refusal:
            return 0

    try:
        async with asyncio.timeout(LONG):
            while not all(replica.is_shared for replica in replicas):  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.01)
            admitted = 0
            while admitted < 60:
                admitted += admit(replicas[0])
                await asyncio.sleep(0)
        # The other one knows nothing of it yet, and may spend one lease before it does.
        assert sum(admit(replicas[1]) for _ in range(60)) == lease_of(limit, 2)
    finally:
        for replica in replicas:
            await replica.close()
