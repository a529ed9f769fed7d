"""Laws of the shared store, on a real Redis: what is durable, who may write, what another replica sees."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing

import numpy as np
import pytest

from model.bar import Bar
from server.config.window_settings import WindowSettings
from server.refusal import Reason, Refusal
from server.windows.redis_window_store import RedisWindowStore
from tests.support.redis_server import RedisServer, redis_server
from tests.support.registry import make_config, real_bars, real_windows
from tests.support.windows import Listener, eventually, fill

CONFIG = make_config()
NewStore = Callable[..., RedisWindowStore]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests; each uses symbols of its own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars."""
    real_windows()
    return real_bars(200)


@pytest.fixture
def symbol(request: pytest.FixtureRequest) -> str:
    """A symbol that no other test uses."""
    return str(abs(hash(request.node.nodeid)))


@pytest.fixture
async def new_store(server: RedisServer) -> AsyncIterator[NewStore]:
    """Makes stores as replicas have them, and closes them; a test starts those whose writes it does not flush."""
    async with AsyncExitStack() as stack:

        def make(limit: int = 10, *, now: float = 0.0, **settings: float) -> RedisWindowStore:
            patient = {"read_timeout": 10.0, "write_timeout": 30.0} | settings
            chosen = WindowSettings.model_validate({"store": "redis", "redis_url": server.url} | patient)
            store = RedisWindowStore(chosen, max_symbols=limit, wall_clock=lambda: now)
            stack.push_async_callback(store.close)
            return store

        yield make


async def refusal_of(work: Awaitable[object]) -> Refusal:
    """Returns how something is refused."""
    with pytest.raises(Refusal) as caught:
        await work
    return caught.value


async def test_what_is_durable_is_read_anywhere(new_store: NewStore, bars: tuple[Bar, ...], symbol: str) -> None:
    """The holder hears what is stored; another replica then answers the same window, bit for bit, and its origin."""
    here, there, listener = new_store(), new_store(now=bars[119].open_time + 3605), Listener()
    await here.start()
    [window] = await here.hold([symbol], CONFIG, listener=listener)
    fill(window, bars[:120])
    here.changed(window)
    await eventually(lambda: listener.durable_sequence(symbol) == 120)
    values, origin = await there.window(symbol, CONFIG, max_age=6.0)
    assert values.dtype == np.float32
    assert np.array_equal(values, real_windows(1)[0])
    assert (origin.symbol, origin.last_sequence, origin.feature_schema) == (symbol, 120, CONFIG.feature_schema)
    assert origin.as_of_time == bars[119].open_time + 3600
    assert (await refusal_of(there.window(symbol, CONFIG, max_age=4.5))).reason is Reason.WINDOW_STALE
    assert (await here.window(symbol, CONFIG, max_age=None))[1] == origin


async def test_many_ticks_between_two_writes_are_one_change(
    new_store: NewStore, bars: tuple[Bar, ...], symbol: str
) -> None:
    """Each write carries what came since the last; the newest sequence number alone is told."""
    store, listener = new_store(), Listener()
    [window] = await store.hold([symbol], CONFIG, listener=listener)
    for end in (70, 71, 130):
        fill(window, bars[window.last_sequence : end])
        store.changed(window)
        await store.flush()
    assert listener.durable_sequences == [(symbol, 70), (symbol, 71), (symbol, 130)]
    assert (store.counters.changes, store.counters.reseeds, store.counters.failures) == (3, 0, 0)
    assert store.durable_sequence(window) == 130


async def test_a_later_stream_elsewhere_takes_over(new_store: NewStore, bars: tuple[Bar, ...], symbol: str) -> None:
    """It goes on where the store is; the one before hears so at its next write, which changes nothing."""
    here, there, early, late = new_store(), new_store(), Listener(), Listener()
    [mine] = await here.hold([symbol], CONFIG, listener=early)
    fill(mine, bars[:150])
    here.changed(mine)
    await here.flush()
    [theirs] = await there.hold([symbol], CONFIG, listener=late)
    assert theirs is not mine
    assert (theirs.last_sequence, theirs.durable_sequence) == (150, 150)
    fill(mine, bars[150:152])
    here.changed(mine)
    await here.flush()
    assert (early.lost_windows, late.lost_windows) == ([mine], [])
    fill(theirs, bars[150:151])
    there.changed(theirs)
    await there.flush()
    here.changed(mine)
    await here.flush()
    here.release(mine)
    _, origin = await here.window(symbol, CONFIG, max_age=None)
    assert origin.last_sequence == 151
    assert early.lost_windows == [mine]
    assert (len(here), here.counters.lost) == (0, 1)


async def test_a_stream_of_the_same_replica_goes_on_with_what_is_not_stored(
    new_store: NewStore, bars: tuple[Bar, ...], symbol: str
) -> None:
    """Nothing has to be sent again: the working copy is newer than the store, and nobody else had the symbol."""
    store, early, late = new_store(), Listener(), Listener()
    [mine] = await store.hold([symbol], CONFIG, listener=early)
    fill(mine, bars[:5])
    epoch = mine.epoch
    store.changed(mine)
    [again] = await store.hold([symbol], CONFIG, listener=late)
    assert again is mine
    assert again.epoch > epoch
    assert early.lost_windows == [mine]
    await store.flush()
    assert (early.durable_sequences, late.durable_sequences) == ([], [(symbol, 5)])
    store.release(mine)
    store.release(mine)
    await store.flush()
    assert len(store) == 0


async def test_a_copy_that_others_went_on_from_is_dropped(
    new_store: NewStore, bars: tuple[Bar, ...], symbol: str
) -> None:
    """Back on the first replica, what the second wrote counts, not what the first still had."""
    here, there, early = new_store(), new_store(), Listener()
    [mine] = await here.hold([symbol], CONFIG, listener=early)
    fill(mine, bars[:5])
    [theirs] = await there.hold([symbol], CONFIG, listener=Listener())
    fill(theirs, bars[:9])
    there.changed(theirs)
    await there.flush()
    [back] = await here.hold([symbol], CONFIG, listener=Listener())
    assert back.last_sequence == 9
    assert early.lost_windows == [mine]


async def test_two_opens_at_once_have_one_winner(new_store: NewStore, symbol: str) -> None:
    """On one replica or on two: one holds every symbol, the other is told that it lost each of them."""
    store = new_store(1000)
    symbols = [f"{symbol}:{index}" for index in range(100)]
    listeners = [Listener(), Listener()]
    await asyncio.gather(*(store.hold(symbols, CONFIG, listener=listener) for listener in listeners))
    await eventually(lambda: sum(len(listener.lost_windows) for listener in listeners) == 100)
    for index, name in enumerate(symbols):
        assert sum(name in listener.lost_symbols for listener in listeners) == 1, index
    assert len(store) == 100


async def test_what_is_missing_is_told_anywhere(new_store: NewStore, bars: tuple[Bar, ...], symbol: str) -> None:
    """Unknown, opened, warming up: another replica gives the reasons and figures that the holder gives."""
    here, there = new_store(), new_store()
    assert (await refusal_of(there.window(symbol, CONFIG, max_age=None))).reason is Reason.SYMBOL_NOT_FOUND
    assert (await refusal_of(there.window("B B", CONFIG, max_age=None))).reason is Reason.INVALID_SYMBOL
    [window] = await here.hold([symbol], CONFIG, listener=Listener())
    for count in (0, 7, 60, 61, 119):
        fill(window, bars[window.last_sequence : count])
        here.changed(window)
        await here.flush()
        refusals = [await refusal_of(store.window(symbol, CONFIG, max_age=None)) for store in (here, there)]
        assert [refusal.reason for refusal in refusals] == [Reason.WINDOW_INCOMPLETE] * 2
        assert [refusal.metadata for refusal in refusals] == [{"have": str(count), "need": "120"}] * 2


async def test_an_ended_stream_leaves_the_memory_and_stays_in_the_store(
    new_store: NewStore, bars: tuple[Bar, ...], symbol: str
) -> None:
    """What is not stored at its end still is, then the working copy goes."""
    store, listener = new_store(), Listener()
    await store.start()
    [window] = await store.hold([symbol], CONFIG, listener=listener)
    fill(window, bars[:120])
    store.release(window)
    await eventually(lambda: len(store) == 0)
    assert (await store.window(symbol, CONFIG, max_age=None))[1].last_sequence == 120
    assert listener.lost_windows == []


async def test_closing_stores_what_is_left(new_store: NewStore, bars: tuple[Bar, ...], symbol: str) -> None:
    """A replica that stops leaves nothing behind that could have been written."""
    here, there = new_store(flush_interval=1.0), new_store()
    await here.start()
    [window] = await here.hold([symbol], CONFIG, listener=Listener())
    fill(window, bars[:120])
    here.changed(window)
    await here.close()
    await here.close()
    assert (await there.window(symbol, CONFIG, max_age=None))[1].last_sequence == 120


async def test_owners_and_window_lengths_do_not_share(new_store: NewStore, bars: tuple[Bar, ...], symbol: str) -> None:
    """A name is one owner's; owners may have any characters without meeting another's keys."""
    store, other = new_store(), new_store()
    owners = ["", "a", "a|b", "{a}", "a}b", "\u00e9"]
    for length, owner in enumerate(owners, 1):
        [window] = await store.hold([symbol], CONFIG, owner=owner, listener=Listener())
        fill(window, bars[:length])
        store.changed(window)
    await store.flush()
    for length, owner in enumerate(owners, 1):
        refusal = await refusal_of(other.window(symbol, CONFIG, owner=owner, max_age=None))
        assert refusal.metadata["have"] == str(length)


@pytest.mark.parametrize("names", [("A", "B B"), ("A", "X", "Y", "Z")])
async def test_a_refused_request_takes_nothing(
    new_store: NewStore, bars: tuple[Bar, ...], symbol: str, names: tuple[str, ...]
) -> None:
    """A bad name or a full store, after a good name: the stream that has the good one, anywhere, goes on writing."""
    here, there, listener = new_store(), new_store(3), Listener()
    [mine] = await here.hold([f"{symbol}A"], CONFIG, listener=listener)
    refusal = await refusal_of(there.hold([symbol + name for name in names], CONFIG, listener=Listener()))
    assert refusal.reason in (Reason.INVALID_SYMBOL, Reason.LIMIT_EXCEEDED)
    fill(mine, bars[:1])
    here.changed(mine)
    await here.flush()
    assert (listener.durable_sequences, listener.lost_windows) == ([(f"{symbol}A", 1)], [])


async def test_a_cancelled_open_gives_back(new_store: NewStore, bars: tuple[Bar, ...], symbol: str) -> None:
    """Whoever held the symbols goes on, wherever the open was cut; symbols that were new are not there."""
    here, there, listener = new_store(1000), new_store(1000), Listener()
    symbols = [f"{symbol}:{index}" for index in range(300)]
    held = await here.hold(symbols[:200], CONFIG, listener=listener)
    for steps in (1, 3, 10, 30, 100):
        opening = asyncio.create_task(there.hold(symbols, CONFIG, listener=Listener()))
        for _ in range(steps):
            await asyncio.sleep(0)
        if not opening.done():
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await eventually(lambda: not there._tasks)
            assert len(there) == 0
    for window in held:
        fill(window, bars[window.last_sequence : window.last_sequence + 1])
        here.changed(window)
    await here.flush()
    assert (len(listener.durable_sequences), listener.lost_windows) == (200, [])
    assert (await refusal_of(here.window(symbols[-1], CONFIG, max_age=None))).reason is Reason.SYMBOL_NOT_FOUND


async def test_room_is_made_by_what_no_stream_holds(new_store: NewStore, bars: tuple[Bar, ...], symbol: str) -> None:
    """At the limit an ended stream's window goes, stored or not; a held one never does."""
    store = new_store(2)
    ended, _ = await store.hold([f"{symbol}A", f"{symbol}B"], CONFIG, listener=Listener())
    fill(ended, bars[:1])
    store.release(ended)
    assert len(store) == 2  # not stored yet, so it stays while there is room
    await store.hold([f"{symbol}C"], CONFIG, listener=Listener())
    assert len(store) == 2
    refusal = await refusal_of(store.hold([f"{symbol}D"], CONFIG, listener=Listener()))
    assert (refusal.reason, refusal.metadata) == (Reason.LIMIT_EXCEEDED, {"limit": "2"})


async def test_a_quiet_stream_learns_of_a_takeover_and_keeps_its_symbol_alive(
    new_store: NewStore, bars: tuple[Bar, ...], symbol: str
) -> None:
    """Without a single write: the time to live is renewed, and the loss of one of two symbols is told."""
    here, there, listener = new_store(), new_store(), Listener()
    kept, taken = f"{symbol}K", f"{symbol}T"
    windows = await here.hold([kept, taken], CONFIG, listener=listener)
    for window in windows:
        fill(window, bars[:120])
        here.changed(window)
    await here.flush()
    await there.hold([taken], CONFIG, listener=Listener())
    here._touch_interval = -1.0  # everything is due
    await here._touch_once()
    assert listener.lost_symbols == [taken]
    assert here.counters.lost == 1
    assert len(here) == 1


async def test_what_is_asked_of_a_script_goes_in_chunks(
    new_store: NewStore, bars: tuple[Bar, ...], symbol: str
) -> None:
    """Some hundred windows are opened, written, taken over and read, each one's content its own."""
    here, there, listener = new_store(1000), new_store(1000), Listener()
    symbols = [f"{symbol}:{index}" for index in range(150)]
    for index, window in enumerate(await here.hold(symbols, CONFIG, listener=listener)):
        fill(window, bars[: 1 + index % 7])
        here.changed(window)
    await here.flush()
    assert sorted(listener.durable_sequences) == sorted((name, 1 + i % 7) for i, name in enumerate(symbols))
    restored = await there.hold(symbols, CONFIG, listener=Listener())
    assert [window.last_sequence for window in restored] == [1 + index % 7 for index in range(150)]


async def test_no_key_outlives_its_symbol(new_store: NewStore, bars: tuple[Bar, ...], symbol: str) -> None:
    """Both keys of a symbol expire together, from its last write on."""
    from redis.asyncio import Redis

    store = new_store(time_to_live=1000.0)
    [window] = await store.hold([symbol], CONFIG, listener=Listener())
    fill(window, bars[:3])
    store.changed(window)
    await store.flush()
    async with aclosing(Redis.from_url(store._settings.redis_url)) as client:
        names = [name async for name in client.scan_iter(match=f"*{symbol}*")]
        lives = [await client.pttl(name) for name in names]
    assert len(names) == 2
    assert all(0 < life <= 1_000_000 for life in lives)
    assert len({name[name.index(b"{") : name.index(b"}")] for name in names}) == 1
