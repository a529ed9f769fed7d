"""One symbol, two replicas, one real Redis: whatever the order of packets, what is stored has one linear history."""

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from model.model_config import ModelConfig, NetworkConfig, Normalisation
from server.config.window_settings import WindowSettings
from server.refusal import Refusal
from server.windows.redis_window_store import RedisWindowStore
from server.windows.redis_windows import RedisWindows
from server.windows.store_word import StoreWord
from server.windows.symbol_window import SymbolWindow
from server.windows.window_change import WindowChange
from server.windows.window_key import key_of
from server.windows.window_store import restored_window
from tests.support.redis_server import RedisServer, redis_server
from tests.support.windows import Listener

# Small, so that an example is cheap; the laws know nothing of shapes.
NETWORK = NetworkConfig(
    feature_count=2, time_steps=3, cnn_filters=8, attention_heads=2, projection=16, lstm_hidden=16, fusion=32
)
CONFIG = ModelConfig(
    network=NETWORK,
    feature_schema="two",
    bar_interval_seconds=60.0,
    prediction_horizon=1,
    feature_normalisation=Normalisation(mean=(0.0, 0.0), standard_deviation=(1.0, 1.0), clip=6.0),
    target_normalisation=Normalisation(mean=(0.0, 0.0), standard_deviation=(1.0, 1.0)),
    class_thresholds=(-1.0, 1.0),
)
SYMBOLS = itertools.count()
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

REPLICA = st.integers(0, 1)
# Each change is sent as a packet, which may arrive at any time, counted from the newest packet back.
CHANGE = st.tuples(st.just("change"), REPLICA, st.sampled_from(["tick", "ticks", "watermark", "reset"]))
ARRIVAL = st.tuples(st.just("arrive"), st.integers(0, 4))
PACKETS = st.lists(
    st.one_of(
        CHANGE,
        CHANGE,
        ARRIVAL,
        ARRIVAL,
        st.tuples(st.just("hold"), REPLICA),
        st.tuples(st.just("lose everything")),
    ),
    max_size=40,
)
LATE_FULL_WRITE = [("change", 0, "tick"), ("change", 0, "tick"), ("arrive", 0), ("arrive", 1), ("arrive", 0)]
LATE_APPEND = [
    *(("change", 0, "tick"), ("arrive", 0), ("change", 0, "watermark"), ("change", 0, "watermark")),
    *(("arrive", 0), ("arrive", 1), ("arrive", 0), ("arrive", 2)),
]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), REPLICA),
        st.tuples(st.just("tick"), REPLICA, st.sampled_from([1, 2, 70])),
        st.tuples(st.just("flush"), REPLICA),
        st.tuples(st.just("release"), REPLICA),
        st.tuples(st.just("both flush")),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all examples; each has a symbol of its own."""
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


def window_settings(server: RedisServer) -> WindowSettings:
    """Returns settings that no busy machine is too slow for."""
    return WindowSettings(store="redis", redis_url=server.url, resume_depth=2, read_timeout=10.0, write_timeout=30.0)


def tick(window: SymbolWindow, count: int) -> None:
    """Applies rows that no other tick has."""
    for _ in range(count):
        sequence = window.last_sequence + 1
        row = np.array([sequence, window.epoch % 1e6], np.float32)
        window.apply_row(row, float(sequence), sequence=sequence)


def change(window: SymbolWindow, how: str) -> None:
    """Changes a window; a watermark's bars leave the sequence as it is."""
    if how == "reset":
        window.reset(sequence=window.last_sequence + 1)
    elif how == "watermark":
        window.apply_row(np.array([window.row_count, -1.0], np.float32), float(window.row_count))
    else:
        tick(window, 1 if how == "tick" else 70)


def content(window: SymbolWindow) -> tuple[Any, ...]:
    """Returns all that a restored window shows of itself."""
    rows = window.entries_after(0, None)
    kept = [window.window_at(row.row_number) for row in rows]
    return (
        window.last_sequence,
        window.row_count,
        window.reset_count,
        [(row.sequence, row.as_of_time, row.row_number) for row in rows],
        [None if values is None else values.tolist() for values in kept],
        window.window().tolist() if window.is_full() else None,
    )


@RELAXED
@given(packets=PACKETS)
@example(packets=LATE_FULL_WRITE)
@example(packets=LATE_APPEND)
def test_only_the_newest_epoch_writes_whatever_the_order_of_packets(server: RedisServer, packets: list[Any]) -> None:
    """Packets arrive late, twice, out of order or never; what is stored is always a state of the newest holder.

    Within an epoch states only go forward; between epochs only the newest holder's are accepted, and it begins where
    the store was. Loss of everything stored is the one way back, and whoever opens after it is newer than all before.
    """

    async def run() -> None:
        redis = RedisWindows(window_settings(server))
        key = key_of(f"P{next(SYMBOLS)}", CONFIG, "")
        holders: list[SymbolWindow | None] = [None, None]
        newest, lossy = 0, False
        network: list[tuple[SymbolWindow, WindowChange, tuple[Any, ...]]] = []
        stored: tuple[Any, ...] | None = None
        stored_at = (0, 0)  # the epoch that may write, and the revision that it has written

        try:
            for name, *arguments in [("hold", 0), *packets]:
                if name == "hold":
                    [item] = [item async for item in redis.take_over([key], "token")]
                    assert item.epoch > newest
                    newest, lossy = item.epoch, False
                    stored_at = (newest, 0)
                    taken = restored_window(key.symbol, CONFIG, window_settings(server), item.head, item.entries)
                    taken.epoch = item.epoch
                    assert (content(taken) if item.head else None) == stored
                    holders[arguments[0]] = taken
                elif name == "change" and (window := holders[arguments[0]]) is not None:
                    change(window, arguments[1])
                    if (news := window.take_change()) is not None:
                        network.append((window, news, content(window)))
                elif name == "arrive" and network:
                    sender, news, state = network[-1 - arguments[0] % len(network)]
                    [word] = await redis.write([(key, news)])
                    place = (news.epoch, news.revision)
                    if word is StoreWord.ACCEPTED:
                        assert place >= stored_at
                        assert news.epoch == newest or lossy
                        sender.confirmed(news)
                        stored, stored_at = state, place
                    elif word is StoreWord.LOST:
                        assert news.epoch < stored_at[0]
                    else:
                        assert word is StoreWord.MISMATCH
                        # A repeat of what is stored is not asked for again, and a full write only if a later one came.
                        assert stored is None or place != stored_at
                        assert not news.replace or place < stored_at
                        sender.store_lost_track()
                elif name == "lose everything":
                    await redis._redis._client.flushall()
                    # A packet of an old holder may fill the void, until the newest one writes or another opens.
                    lossy, stored, stored_at = True, None, (0, 0)
                found = await redis.read(key)
                assert (found is not None and bool(found[0])) == (stored is not None)
            [item] = [item async for item in redis.take_over([key], "token")]
            if stored is not None:
                last = restored_window(key.symbol, CONFIG, window_settings(server), item.head, item.entries)
                assert content(last) == stored
        finally:
            await redis.close()

    asyncio.run(run())


@RELAXED
@given(steps=STEPS)
def test_two_replicas_end_with_one_history(server: RedisServer, steps: list[Any]) -> None:
    """Of two stores on one Redis the later holder's window is the stored one, and the earlier holder is told.

    What was durable is never taken back: a later holder begins at or after it.
    """

    async def run() -> None:
        stores = [RedisWindowStore(window_settings(server), max_symbols=4) for _ in range(2)]
        symbol = f"S{next(SYMBOLS)}"
        holds: list[tuple[SymbolWindow, Listener] | None] = [None, None]
        durable = 0
        newest: SymbolWindow | None = None
        try:
            for name, *arguments in [*steps, ("both flush",)]:
                hold = holds[arguments[0]] if arguments else None
                if name == "hold":
                    listener = Listener()
                    [newest] = await stores[arguments[0]].hold([symbol], CONFIG, listener=listener)
                    if hold is not None:
                        stores[arguments[0]].release(hold[0])
                        assert hold[1].lost_symbols == [symbol]
                    assert newest.last_sequence >= durable
                    holds[arguments[0]] = (newest, listener)
                elif name == "tick" and hold is not None and not hold[1].lost_windows:
                    tick(hold[0], arguments[1])
                    stores[arguments[0]].changed(hold[0])
                elif name == "release" and hold is not None:
                    stores[arguments[0]].release(hold[0])
                    holds[arguments[0]] = None
                elif name == "flush":
                    await stores[arguments[0]].flush()
                elif name == "both flush":
                    await asyncio.gather(*(store.flush() for store in stores))
                for held in holds:
                    if held is not None:
                        assert len(held[1].lost_windows) <= 1
                        assert held[1].durable_sequences == sorted(set(held[1].durable_sequences))
                        durable = max(durable, held[1].durable_sequence(symbol))
            if newest is not None:
                third = RedisWindowStore(window_settings(server), max_symbols=4)
                try:
                    [end] = await third.hold([symbol], CONFIG, listener=Listener())
                    assert content(end) == content(newest)
                    for held in holds:
                        if held is not None:
                            assert bool(held[1].lost_windows) <= (held[0] is not newest)
                finally:
                    await third.close()
        finally:
            for store in stores:
                await store.close()

    asyncio.run(run())


def test_a_full_store_is_read_as_it_was_written(server: RedisServer) -> None:
    """Each length of a window, from nothing to more than is kept, reads the same from the store and from memory."""

    async def run() -> None:
        here, there = (RedisWindowStore(window_settings(server), max_symbols=4) for _ in range(2))
        symbol = f"R{next(SYMBOLS)}"
        try:
            [window] = await here.hold([symbol], CONFIG, listener=Listener())
            for _ in range(140):
                tick(window, 1)
                here.changed(window)
                await here.flush()
                try:
                    expected = window.window().tolist()
                except Refusal:
                    with pytest.raises(Refusal):
                        await there.window(symbol, CONFIG, max_age=None)
                else:
                    assert (await there.window(symbol, CONFIG, max_age=None))[0].tolist() == expected
        finally:
            await here.close()
            await there.close()

    asyncio.run(run())
