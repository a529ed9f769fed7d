"""Laws of the stores: what is halted survives whoever halted it, changes never mix, and what is broken is said."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from server.security.halt import EVERYTHING, Halt, HaltScope, ScopeKind
from server.security.halt_file import HaltFile
from server.security.halt_redis import KEY, HaltRedis
from server.security.halt_set import HaltSet
from server.security.halt_store import HaltStore, HaltStoreError
from tests.support.redis_server import RedisServer, redis_server

SCOPES = (
    EVERYTHING,
    HaltScope(ScopeKind.MODEL, "m"),
    HaltScope(ScopeKind.MODEL, "m", 3),
    HaltScope(ScopeKind.SYMBOL, "EUR/USD"),
    HaltScope(ScopeKind.KEY, "generation"),
)
LONG = 30.0
"""Seconds for a round trip, which no busy machine needs."""


def halt(scope: HaltScope, at: float = 1.5) -> Halt:
    """Returns a halt with words that an encoding could spoil."""
    return Halt(scope=scope, reason='"why" \u2013 now', author="ops", halted_at=at)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(params=["file", "redis"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[HaltStore, HaltStore]]:
    """Two replicas' ways to one empty store."""
    pair: tuple[HaltStore, HaltStore]
    if request.param == "file":
        pair = HaltFile(tmp_path / "state"), HaltFile(tmp_path / "state")
    else:
        server: RedisServer = request.getfixturevalue("server")
        async with Redis.from_url(server.url) as redis:
            await redis.flushall()
        pair = HaltRedis(server.url, timeout=LONG), HaltRedis(server.url, timeout=LONG)
    yield pair
    for store in pair:
        await store.close()


async def test_what_one_halts_the_other_reads(stores: tuple[HaltStore, HaltStore]) -> None:
    """Every scope with all its words; an empty store has no halts, and a resume takes out one alone."""
    one, two = stores
    assert await two.read() == HaltSet()
    for number, scope in enumerate(SCOPES, 1):
        halts = await one.halt(halt(scope))
        assert (len(halts), halts.generation) == (number, number)
    assert await two.read() == await one.read() == halts
    assert halts.halts == {scope: halt(scope) for scope in SCOPES}
    left = await two.resume(SCOPES[2])
    assert left == await one.read()
    assert (set(left.halts), left.generation) == ({*SCOPES} - {SCOPES[2]}, 6)
    assert await two.resume(SCOPES[2]) == left, "what is not halted is no change"


async def test_changes_at_a_time_are_all_kept(stores: tuple[HaltStore, HaltStore]) -> None:
    """Several replicas halt at once, and none undoes another's."""
    work = [store.halt(halt(scope)) for store, scope in zip(stores * 3, SCOPES, strict=False)]
    await asyncio.gather(*work)
    found = await stores[0].read()
    assert (set(found.halts), found.generation) == ({*SCOPES}, len(SCOPES))


async def test_lost_halts_are_brought_back_once(stores: tuple[HaltStore, HaltStore]) -> None:
    """By whoever has seen a higher number; a store that is not behind is left as it is."""
    one, two = stores
    known = HaltSet({scope: halt(scope) for scope in SCOPES[:2]}, 9)
    await two.halt(halt(SCOPES[3]))
    restored = await one.restore(known)
    assert (set(restored.halts), restored.generation) == ({*SCOPES[:2], SCOPES[3]}, 10)
    assert await two.restore(known) == restored == await two.read()


async def test_the_file_is_whole_and_the_services_alone(tmp_path: Path) -> None:
    """Its folder is made with the first change, nothing is left beside the file, and nobody else can read it."""
    folder = tmp_path / "a" / "state"
    store = HaltFile(folder)
    assert not folder.exists()
    await store.halt(halt(EVERYTHING))
    await store.resume(EVERYTHING)
    assert [path.name for path in folder.iterdir()] == ["halts.json"]
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"version":2,"generation":0,"halts":[]}',
        b'{"version":1,"generation":1,"halts":[{"kind":"symbol","halted_at":1}]}',
        b'{"version":1,"generation":-1,"halts":[]}',
    ],
)
async def test_a_file_that_is_not_whole_is_an_error_and_is_not_overwritten(tmp_path: Path, data: bytes) -> None:
    """It must not count as no halts; a change would lose what stands in it."""
    store = HaltFile(tmp_path)
    store.path.write_bytes(data)
    with pytest.raises(HaltStoreError, match=r"halts\.json"):
        await store.read()
    with pytest.raises(HaltStoreError):
        await store.halt(halt(EVERYTHING))
    assert store.path.read_bytes() == data


async def test_a_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    """With the path, and what is wrong."""
    (tmp_path / "state").write_text("")
    store = HaltFile(tmp_path / "state")
    with pytest.raises(HaltStoreError, match="state"):
        await store.halt(halt(EVERYTHING))
    with pytest.raises(HaltStoreError, match="state"):
        await store.read()


async def test_a_redis_that_is_gone_or_holds_something_else_is_said(server: RedisServer) -> None:
    """Neither counts as no halts, and the words hold no password."""
    gone = HaltRedis("redis://:secret@127.0.0.1:1/0", timeout=LONG)
    with pytest.raises(HaltStoreError) as caught:
        await gone.read()
    assert "secret" not in str(caught.value)
    await gone.close()
    store = HaltRedis(server.url, timeout=LONG)
    async with Redis.from_url(server.url) as redis:
        await redis.flushall()
        for field in ("generation", "everything"):
            await redis.delete(KEY)
            await redis.hset(KEY, field, "no number, and no JSON")
            with pytest.raises(HaltStoreError):
                await store.read()
        await redis.set(KEY, "another type")
        with pytest.raises(HaltStoreError):
            await store.halt(halt(EVERYTHING))
    await store.close()
