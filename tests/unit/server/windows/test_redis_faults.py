"""What happens when the real Redis fails: typed answers, nothing lost while the process lives, others unaffected."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis

from model.bar import Bar
from server.config.window_settings import WindowSettings
from server.refusal import Reason, Refusal
from server.windows.redis_window_store import RedisWindowStore
from server.windows.window_key import key_of
from server.windows.window_scripts import keys_of
from tests.support.redis_server import RedisServer, redis_server
from tests.support.registry import make_config, real_bars, real_windows
from tests.support.windows import Listener, eventually, fill

CONFIG = make_config()
HASH, LIST = keys_of(key_of("A", CONFIG, ""))
NewStore = Callable[..., RedisWindowStore]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own, which it may break."""
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars."""
    real_windows()
    return real_bars(200)


@pytest.fixture
async def client(server: RedisServer) -> AsyncIterator[Redis]:
    """Another client, which is not ours."""
    client = Redis.from_url(server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def new_store(server: RedisServer) -> AsyncIterator[NewStore]:
    """Makes stores as replicas have them, and closes them."""
    async with AsyncExitStack() as stack:

        def make(**settings: float) -> RedisWindowStore:
            patient = {"read_timeout": 10.0, "write_timeout": 30.0} | settings
            chosen = WindowSettings.model_validate({"store": "redis", "redis_url": server.url} | patient)
            store = RedisWindowStore(chosen, max_symbols=1000)
            stack.push_async_callback(store.close)
            return store

        yield make


async def reason_of(work: Awaitable[object]) -> Reason:
    """Returns why something is refused."""
    with pytest.raises(Refusal) as caught:
        await work
    return caught.value.reason


async def sequence_at(store: RedisWindowStore, symbol: str = "A") -> int:
    """Returns how far a symbol's window got, as a replica sees it."""
    return (await store.window(symbol, CONFIG, max_age=None))[1].last_sequence


async def test_killed_and_restarted_empty(new_store: NewStore, server: RedisServer, bars: tuple[Bar, ...]) -> None:
    """Ticks go on in memory, nothing more is durable, and the new Redis gets every window whole, unasked."""
    here, there, listener = new_store(), new_store(), Listener()
    await here.start()
    busy, quiet = await here.hold(["A", "B"], CONFIG, listener=listener)
    for window in (busy, quiet):
        fill(window, bars[:130])
        here.changed(window)
    await eventually(lambda: len(listener.durable_sequences) == 2)
    server.stop()
    fill(busy, bars[130:140])
    here.changed(busy)
    await eventually(lambda: here.counters.failures)
    assert await sequence_at(here) == 140
    assert await reason_of(there.window("A", CONFIG, max_age=None)) is Reason.STORE_UNAVAILABLE
    assert listener.durable_sequence("A") == 130
    server.start()
    await eventually(lambda: listener.durable_sequence("A") == 140)
    assert await sequence_at(there) == 140
    here._touch_interval = -1.0  # as after half a minute: the quiet symbol is missed, too
    await here._touch_once()
    await here.flush()
    assert await sequence_at(there, "B") == 130
    assert here.counters.reseeds >= 1
    assert listener.lost_windows == []
    # The store has every window again, so that another replica goes on from it.
    [moved] = await there.hold(["A"], CONFIG, listener=Listener())
    assert (moved.window() == busy.window()).all()


async def test_a_stall_longer_than_the_limits(new_store: NewStore, server: RedisServer, bars: tuple[Bar, ...]) -> None:
    """Calls end with STORE_UNAVAILABLE instead of hanging; afterwards what was sent twice is stored once."""
    here, listener = new_store(write_timeout=0.5), Listener()
    there = new_store(read_timeout=0.2, write_timeout=0.5)
    await here.start()
    [window] = await here.hold(["A"], CONFIG, listener=listener)
    fill(window, bars[:125])
    here.changed(window)
    await eventually(lambda: listener.durable_sequence("A") == 125)
    server.freeze()
    try:
        fill(window, bars[125:127])
        here.changed(window)
        await eventually(lambda: here.counters.failures >= 2)
        assert await reason_of(there.window("A", CONFIG, max_age=None)) is Reason.STORE_UNAVAILABLE
        assert await reason_of(there.hold(["X"], CONFIG, listener=Listener())) is Reason.STORE_UNAVAILABLE
        assert await reason_of(here.flush()) is Reason.STORE_UNAVAILABLE
        fill(window, bars[127:128])
        here.changed(window)
        assert await sequence_at(here) == 128
    finally:
        server.thaw()
    await eventually(lambda: listener.durable_sequence("A") == 128)
    restored = new_store()
    [moved] = await restored.hold(["A"], CONFIG, listener=Listener())
    assert moved.last_sequence == 128
    assert (moved.window() == window.window()).all()
    assert [row.sequence for row in moved.entries_after(0, None)] == [
        row.sequence for row in window.entries_after(0, None)
    ]


async def test_nobody_listens_at_the_start(new_store: NewStore, server: RedisServer, bars: tuple[Bar, ...]) -> None:
    """A replica starts without a Redis and refuses opens by a typed word; once it is there, all is well."""
    server.stop()
    store = new_store()
    await store.start()
    refused = store.hold(["A"], CONFIG, listener=Listener())
    with pytest.raises(Refusal) as caught:
        await refused
    assert (caught.value.reason, caught.value.retry_delay) == (Reason.STORE_UNAVAILABLE, 0.5)
    assert len(store) == 0
    server.start()
    listener = Listener()
    [window] = await store.hold(["A"], CONFIG, listener=listener)
    fill(window, bars[:3])
    store.changed(window)
    await eventually(lambda: listener.durable_sequence("A") == 3)


async def test_out_of_memory(new_store: NewStore, client: Redis, bars: tuple[Bar, ...]) -> None:
    """What is stored stays as it was, whole; what is not waits, and new symbols are refused, until there is room."""
    here, there, listener = new_store(), new_store(), Listener()
    await here.start()
    [window] = await here.hold(["A"], CONFIG, listener=listener)
    fill(window, bars[:125])
    here.changed(window)
    await eventually(lambda: listener.durable_sequence("A") == 125)
    await client.config_set("maxmemory-policy", "noeviction")
    await client.config_set("maxmemory", 1)
    fill(window, bars[125:130])
    here.changed(window)
    await eventually(lambda: here.counters.failures >= 2)
    window.store_lost_track()  # a full write fails as a whole, too
    here.changed(window)
    failures = here.counters.failures
    await eventually(lambda: here.counters.failures > failures)
    assert await sequence_at(there) == 125
    assert await reason_of(there.hold(["X"], CONFIG, listener=Listener())) is Reason.STORE_UNAVAILABLE
    await client.config_set("maxmemory", 0)
    await eventually(lambda: listener.durable_sequence("A") == 130)
    assert await sequence_at(there) == 130


async def test_one_bad_symbol_does_not_hold_up_the_others(
    new_store: NewStore, client: Redis, bars: tuple[Bar, ...]
) -> None:
    """Keys of another type are healed by the next write; the other symbols of the round never notice."""
    here, there, listener = new_store(), new_store(), Listener()
    windows = await here.hold(["A", "B"], CONFIG, listener=listener)
    for end in (121, 122, 123):
        for window in windows:
            fill(window, bars[window.last_sequence : end])
            here.changed(window)
        await here.flush()
        assert [await sequence_at(there, symbol) for symbol in "AB"] == [end, end]
        await client.delete(HASH if end == 121 else LIST)
        await client.set(HASH if end == 121 else LIST, "not ours")
        assert await reason_of(there.window("A", CONFIG, max_age=None)) is Reason.SYMBOL_NOT_FOUND
        assert await sequence_at(there, "B") == end
    [fresh] = await there.hold(["A"], CONFIG, listener=Listener())  # with a list of another type
    assert fresh.last_sequence == 0
    fill(fresh, bars[:3])
    there.changed(fresh)
    await there.flush()
    assert fresh.durable_sequence == 3


@pytest.mark.parametrize("names", [(HASH, LIST), (HASH,), (LIST,)])
async def test_keys_that_vanish_are_written_again(
    new_store: NewStore, client: Redis, bars: tuple[Bar, ...], names: tuple[str, ...]
) -> None:
    """Expired, evicted or deleted, together or one alone: absent to readers until the next tick, then whole again."""
    here, there, listener = new_store(), new_store(), Listener()
    [window] = await here.hold(["A"], CONFIG, listener=listener)
    fill(window, bars[:140])
    here.changed(window)
    await here.flush()
    await client.pexpire(names[0], 1)
    for name in names:
        await client.delete(name)
    assert await reason_of(there.window("A", CONFIG, max_age=None)) in (
        Reason.SYMBOL_NOT_FOUND,
        Reason.WINDOW_INCOMPLETE,
    )
    fill(window, bars[140:141])
    here.changed(window)
    await here.flush()
    assert listener.durable_sequence("A") == 141
    assert (await there.window("A", CONFIG, max_age=None))[0].tolist() == window.window().tolist()
    [moved] = await there.hold(["A"], CONFIG, listener=Listener())
    assert moved.row_count == window.row_count


async def test_a_lifetime_that_ends_while_a_stream_is_quiet(
    new_store: NewStore, client: Redis, bars: tuple[Bar, ...]
) -> None:
    """The store looks after quiet symbols by itself: it renews their lifetime, or stores them anew."""
    here, there, listener = new_store(), new_store(), Listener()
    here._touch_interval = 0.02
    await here.start()
    [window] = await here.hold(["A"], CONFIG, listener=listener)
    fill(window, bars[:120])
    here.changed(window)
    await eventually(lambda: listener.durable_sequence("A") == 120)
    for name in (HASH, LIST):
        await client.pexpire(name, 3_600_000)
        while await client.pttl(name) <= 3_600_000:
            pass  # a round trip, in which the store works on
    await client.pexpire(LIST, 1)
    await client.pexpire(HASH, 1)
    await eventually(lambda: here.counters.reseeds)
    await here.flush()
    assert await sequence_at(there) == 120


async def test_everything_flushed_and_another_stream_was_faster(
    new_store: NewStore, client: Redis, bars: tuple[Bar, ...]
) -> None:
    """After a loss of all data a stream that opened later still wins over one that opened before the loss."""
    here, there, early, late = new_store(), new_store(), Listener(), Listener()
    [mine] = await here.hold(["A"], CONFIG, listener=early)
    fill(mine, bars[:130])
    here.changed(mine)
    await here.flush()
    await client.flushall()
    [theirs] = await there.hold(["A"], CONFIG, listener=late)
    assert theirs.last_sequence == 0
    fill(theirs, bars[:125])
    there.changed(theirs)
    await there.flush()
    fill(mine, bars[130:131])
    here.changed(mine)
    await here.flush()
    assert (early.lost_windows, late.lost_windows) == ([mine], [])
    assert await sequence_at(here) == 125


async def test_forgotten_scripts_are_sent_again(new_store: NewStore, client: Redis, bars: tuple[Bar, ...]) -> None:
    """SCRIPT FLUSH costs a round trip and nothing else."""
    store, other, listener = new_store(), new_store(), Listener()
    [window] = await store.hold(["A"], CONFIG, listener=listener)
    for end in (120, 121):
        await client.script_flush()
        fill(window, bars[window.last_sequence : end])
        store.changed(window)
        await store.flush()
        await client.script_flush()
        assert await sequence_at(other) == end
    assert store.counters.failures == 0


@pytest.mark.parametrize("place", ["head", "entry"])
async def test_damaged_bytes(
    new_store: NewStore, client: Redis, bars: tuple[Bar, ...], caplog: pytest.LogCaptureFixture, place: str
) -> None:
    """They are nobody's window: absent to readers, a fresh start to the next stream, whole after its first write."""
    here, there = new_store(), new_store()
    [window] = await here.hold(["A"], CONFIG, listener=Listener())
    fill(window, bars[:125])
    here.changed(window)
    await here.flush()
    if place == "head":
        await client.hset(HASH, "head", "\x01damaged")
    else:
        await client.lset(LIST, -3, "\x01damaged")
    with caplog.at_level(logging.ERROR, logger="tickserve"):
        assert await reason_of(there.window("A", CONFIG, max_age=None)) is Reason.SYMBOL_NOT_FOUND
        [fresh] = await there.hold(["A"], CONFIG, listener=Listener())
    assert len(caplog.records) == 2
    assert fresh.last_sequence == 0
    fill(fresh, bars[:121])
    there.changed(fresh)
    await there.flush()
    assert await sequence_at(new_store()) == 121


async def test_a_stream_that_fails_to_listen_harms_no_other(
    new_store: NewStore, bars: tuple[Bar, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """What its listener raises goes to the log; the rest of the round is heard by the others."""

    class Broken(Listener):
        def durable(self, window: object, sequence: int) -> None:
            raise RuntimeError

    store, listener = new_store(), Listener()
    [first] = await store.hold(["A"], CONFIG, listener=Broken())
    [second] = await store.hold(["B"], CONFIG, listener=listener)
    for window in (first, second):
        fill(window, bars[:2])
        store.changed(window)
    await store.flush()
    assert listener.durable_sequences == [("B", 2)]
    assert "durable" in caplog.text


async def test_an_outage_is_told_twice(
    new_store: NewStore, server: RedisServer, bars: tuple[Bar, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """One line when it begins and one when it ends, however often is tried; no password appears in either."""
    store, listener = new_store(), Listener()
    await store.start()
    [window] = await store.hold(["A"], CONFIG, listener=listener)
    server.stop()
    with caplog.at_level(logging.INFO, logger="tickserve"):
        fill(window, bars[:2])
        store.changed(window)
        await eventually(lambda: store.counters.failures >= 3)
        server.start()
        await eventually(lambda: listener.durable_sequence("A") == 2)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2, lines
    assert "cannot be stored" in lines[0]
    assert "stored again" in lines[1]
