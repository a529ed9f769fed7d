"""Laws of the window store: bounded, all or nothing, and nobody's window is taken by a request that fails."""

import asyncio

import numpy as np
import pytest

from model.bar import Bar
from server.refusal import Reason, Refusal
from server.windows.memory_window_store import MemoryWindowStore
from server.windows.window_key import check_symbol
from server.windows.window_store import WindowStore
from tests.support.registry import make_config, real_bars, real_windows
from tests.support.windows import Listener, fill


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars."""
    real_windows()
    return real_bars(200)


def make_store(limit: int = 3, *, now: float = 0.0) -> MemoryWindowStore:
    """Returns a store of few windows whose clock stands still."""
    return MemoryWindowStore(max_symbols=limit, wall_clock=lambda: now)


async def hold(store: WindowStore, *symbols: str) -> None:
    """Holds symbols and lets go of them."""
    for window in await store.hold(symbols, make_config(), listener=Listener()):
        store.release(window)


def is_kept(store: MemoryWindowStore, symbol: str) -> bool:
    """Tells whether a symbol's window is there; does not use it."""
    return any(held.key.symbol == symbol for held in store._held)


async def refusal_of(store: WindowStore, *symbols: str) -> Refusal:
    """Returns how holding is refused."""
    with pytest.raises(Refusal) as caught:
        await store.hold(symbols, make_config(), listener=Listener())
    return caught.value


@pytest.mark.parametrize("symbol", ["A", "EUR/USD", "BTC-PERP.x:1_0", "a" * 64])
def test_symbols_of_the_contract_pass(symbol: str) -> None:
    """1 to 64 of the characters named."""
    check_symbol(symbol)


@pytest.mark.parametrize("symbol", ["", "a" * 65, "A B", "A\n", "\u00c4", "A;B", "\u0661", "A\x00", "{A}", "A|B"])
def test_other_symbols_are_refused(symbol: str) -> None:
    """Their length is told, not their content."""
    with pytest.raises(Refusal) as caught:
        check_symbol(symbol)
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_SYMBOL, "symbol")
    assert caught.value.metadata == {"length": str(len(symbol))}


async def test_the_bad_one_of_many_symbols_is_named() -> None:
    """Its place in the list is the field to blame."""
    refusal = await refusal_of(make_store(), "A", "B B")
    assert (refusal.reason, refusal.field) == (Reason.INVALID_SYMBOL, "symbols[1]")


async def test_a_later_stream_takes_a_symbol_over() -> None:
    """It goes on with the same window under a higher epoch; the one before is told, once, and hears nothing more."""
    store, config, early, late = make_store(), make_config(), Listener(), Listener()
    [first] = await store.hold(["A"], config, listener=early)
    epoch = first.epoch
    [second] = await store.hold(["A"], config, listener=late)
    assert second is first
    assert second.epoch == epoch + 1
    await store.hold(["A"], config, listener=Listener())
    assert (early.lost_windows, late.lost_windows) == ([first], [first])


async def test_owners_do_not_share_symbols(bars: tuple[Bar, ...]) -> None:
    """Two owners' windows of one name are two windows, and neither takes the other's."""
    store, config, listener = make_store(), make_config(), Listener()
    [mine] = await store.hold(["A"], config, owner="mine", listener=listener)
    [yours] = await store.hold(["A"], config, owner="yours", listener=Listener())
    fill(mine, bars[:120])
    assert mine is not yours
    assert listener.lost_windows == []
    assert (await store.window("A", config, owner="mine", max_age=None))[1].last_sequence == 120
    with pytest.raises(Refusal) as caught:
        await store.window("A", config, owner="yours", max_age=None)
    assert caught.value.reason is Reason.WINDOW_INCOMPLETE


async def test_a_listener_that_fails_harms_nobody() -> None:
    """Whoever takes over gets the symbol although the one before failed to let go."""

    class Broken(Listener):
        def lost(self, window: object) -> None:
            raise RuntimeError

    store, config = make_store(), make_config()
    await store.hold(["A", "B"], config, listener=Broken())
    assert len(await store.hold(["A", "B"], config, listener=Listener())) == 2


async def test_a_window_survives_its_stream(bars: tuple[Bar, ...]) -> None:
    """It can be predicted on and resumed until the room is needed."""
    store, config = make_store(now=bars[119].open_time + 3600 + 5), make_config()
    [window] = await store.hold(["A"], config, listener=Listener())
    fill(window, bars[:120])
    store.release(window)
    values, origin = await store.window("A", config, max_age=6.0)
    assert np.array_equal(values, real_windows(1)[0])
    assert (origin.symbol, origin.last_sequence, origin.feature_schema) == ("A", 120, config.feature_schema)
    assert origin.as_of_time == bars[119].open_time + 3600
    assert await store.hold(["A"], config, listener=Listener()) == [window]


async def test_nothing_is_ever_durable_in_memory(bars: tuple[Bar, ...]) -> None:
    """A flush says nothing: what only this process has is not confirmed to anybody."""
    store, config, listener = make_store(), make_config(), Listener()
    await store.start()
    [window] = await store.hold(["A"], config, listener=listener)
    fill(window, bars[:3])
    store.changed(window)
    await store.flush()
    await store.close()
    assert listener.durable_sequences == []
    assert store.durable_sequence(window) is None


async def test_max_age_refuses_an_old_window(bars: tuple[Bar, ...]) -> None:
    """WINDOW_STALE with both figures, measured from the newest bar's end."""
    store, config = make_store(now=bars[119].open_time + 3600 + 5), make_config()
    [window] = await store.hold(["A"], config, listener=Listener())
    fill(window, bars[:120])
    with pytest.raises(Refusal) as caught:
        await store.window("A", config, max_age=4.5)
    assert caught.value.reason is Reason.WINDOW_STALE
    assert caught.value.metadata == {"age": "5.000", "max_age": "4.500"}


async def test_a_window_of_unknown_age_is_stale_to_whoever_asks() -> None:
    """Rows without event time have no age, so `max_age` cannot be promised."""
    store, config = make_store(), make_config()
    [window] = await store.hold(["A"], config, listener=Listener())
    for sequence in range(1, 61):
        window.apply_row(np.zeros(50, np.float32), None, sequence=sequence)
    assert (await store.window("A", config, max_age=None))[1].as_of_time is None
    with pytest.raises(Refusal) as caught:
        await store.window("A", config, max_age=1e9)
    assert caught.value.metadata["age"] == "unknown"


@pytest.mark.parametrize(("symbol", "reason"), [("B", Reason.SYMBOL_NOT_FOUND), ("B B", Reason.INVALID_SYMBOL)])
async def test_an_unknown_symbol_has_no_window(symbol: str, reason: Reason) -> None:
    """It is not made by asking for it."""
    store = make_store()
    with pytest.raises(Refusal) as caught:
        await store.window(symbol, make_config(), max_age=None)
    assert caught.value.reason is reason
    assert len(store) == 0


async def test_room_is_made_by_the_longest_unused() -> None:
    """Letting go counts as use, and so does a prediction, even one that the window cannot serve yet."""
    store, config = make_store(3), make_config()
    [long_held] = await store.hold(["A"], config, listener=Listener())
    await hold(store, "B")
    await hold(store, "C")
    store.release(long_held)
    with pytest.raises(Refusal):
        await store.window("B", config, max_age=None)
    await hold(store, "D")
    assert [is_kept(store, symbol) for symbol in "ABCD"] == [True, True, False, True]
    assert len(store) == 3


async def test_what_streams_hold_is_never_forgotten() -> None:
    """When every window is held, another symbol is refused and nothing is lost."""
    store, config = make_store(2), make_config()
    held = await store.hold(["A", "B"], config, listener=Listener())
    refusal = await refusal_of(store, "C")
    assert (refusal.reason, refusal.field, refusal.metadata) == (Reason.LIMIT_EXCEEDED, "symbols", {"limit": "2"})
    assert await store.hold(["A", "B"], config, listener=Listener()) == held


async def test_a_window_with_two_holders_is_held_until_both_let_go() -> None:
    """A takeover and the end of the old stream do not free what the new one uses."""
    store, config = make_store(1), make_config()
    [first] = await store.hold(["A"], config, listener=Listener())
    await store.hold(["A"], config, listener=Listener())
    store.release(first)
    assert (await refusal_of(store, "B")).reason is Reason.LIMIT_EXCEEDED
    store.release(first)
    await hold(store, "B")
    assert not is_kept(store, "A")


@pytest.mark.parametrize("symbols", [("A", "B B"), ("A", "X", "Y", "Z")])
async def test_a_refused_request_takes_nothing(symbols: tuple[str, ...]) -> None:
    """A bad name or a full store, after a good name: the stream that has the good one keeps it, and no room is made."""
    store, config, listener = make_store(3), make_config(), Listener()
    [mine] = await store.hold(["A"], config, listener=listener)
    await hold(store, "IDLE")
    epoch = mine.epoch
    await refusal_of(store, *symbols)
    assert (mine.epoch, listener.lost_windows) == (epoch, [])
    assert is_kept(store, "IDLE")


async def test_room_is_never_made_by_what_was_asked_for() -> None:
    """Holding an idle symbol and a new one at the limit forgets a third."""
    store = make_store(2)
    await hold(store, "A")
    await hold(store, "B")
    await store.hold(["A", "C"], make_config(), listener=Listener())
    assert [is_kept(store, symbol) for symbol in "ABC"] == [True, False, True]


async def test_a_long_list_gives_way_and_a_cancelled_one_takes_nothing() -> None:
    """Others run while thousands of windows are made; the caller may end before they are his."""
    store, config, listener = make_store(5000), make_config(), Listener()
    [mine] = await store.hold(["S0"], config, listener=listener)
    epoch = mine.epoch
    symbols = [f"S{index}" for index in range(3000)]
    opening = asyncio.create_task(store.hold(symbols, config, listener=Listener()))
    await asyncio.sleep(0)
    assert not opening.done()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert (len(store), mine.epoch, listener.lost_windows) == (1, epoch, [])


async def test_two_long_lists_at_once_share_the_windows() -> None:
    """Both get the same windows, the later one holds them all, and each symbol is kept once."""
    store, config, early, late = make_store(5000), make_config(), Listener(), Listener()
    symbols = [f"S{index}" for index in range(1000)]
    first, second = await asyncio.gather(
        store.hold(symbols, config, listener=early), store.hold(symbols, config, listener=late)
    )
    assert first == second
    assert len(store) == 1000
    assert sorted(len(listener.lost_windows) for listener in (early, late)) == [0, 1000]


async def test_two_long_lists_at_once_keep_to_the_limit() -> None:
    """Room that was there when both began is there for one of them only."""
    store, config = make_store(1000), make_config()
    ends = await asyncio.gather(
        *(store.hold([f"{name}{index}" for index in range(800)], config, listener=Listener()) for name in ("A", "B")),
        return_exceptions=True,
    )
    refused = [end for end in ends if isinstance(end, Refusal)]
    assert [refusal.reason for refusal in refused] == [Reason.LIMIT_EXCEEDED]
    assert len(store) == 800
