"""Laws of the window store: bounded, all or nothing, and nobody's window is taken by a request that fails."""

import numpy as np
import pytest

from model.bar import Bar
from server.refusal import Reason, Refusal
from server.window_store import WindowStore, check_symbol
from tests.support.registry import make_config, real_bars, real_windows


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars."""
    real_windows()
    return real_bars(200)


def make_store(limit: int = 3, *, now: float = 0.0) -> WindowStore:
    """Returns a store of few windows whose clock stands still."""
    return WindowStore(max_symbols=limit, wall_clock=lambda: now)


def hold(store: WindowStore, *symbols: str) -> None:
    """Holds symbols and lets go of them."""
    config = make_config()
    for window in store.hold(symbols, config):
        store.release(window, config)


def is_kept(store: WindowStore, symbol: str) -> bool:
    """Tells whether a symbol's window is there; does not use it."""
    return any(key[2] == symbol for key in store._windows)


def refusal_of(store: WindowStore, *symbols: str) -> Refusal:
    """Returns how holding is refused."""
    with pytest.raises(Refusal) as caught:
        store.hold(symbols, make_config())
    return caught.value


@pytest.mark.parametrize("symbol", ["A", "EUR/USD", "BTC-PERP.x:1_0", "a" * 64])
def test_symbols_of_the_contract_pass(symbol: str) -> None:
    """1 to 64 of the characters named."""
    check_symbol(symbol)


@pytest.mark.parametrize("symbol", ["", "a" * 65, "A B", "A\n", "\u00c4", "A;B", "\u0661", "A\x00"])
def test_other_symbols_are_refused(symbol: str) -> None:
    """Their length is told, not their content."""
    with pytest.raises(Refusal) as caught:
        check_symbol(symbol)
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_SYMBOL, "symbol")
    assert caught.value.metadata == {"length": str(len(symbol))}


def test_a_later_stream_takes_a_symbol_over(bars: tuple[Bar, ...]) -> None:
    """Both get the same window; its epoch says whose it is."""
    store, config = make_store(), make_config()
    [first] = store.hold(["A"], config)
    epoch = first.epoch
    [second] = store.hold(["A"], config)
    assert second is first
    assert second.epoch == epoch + 1


def test_a_window_survives_its_stream(bars: tuple[Bar, ...]) -> None:
    """It can be predicted on and resumed until the room is needed."""
    store, config = make_store(now=bars[119].open_time + 3600 + 5), make_config()
    [window] = store.hold(["A"], config)
    window.apply_bars(bars[:120])
    window.last_sequence = 120
    store.release(window, config)
    values, origin = store.window("A", config, max_age=6.0)
    assert np.array_equal(values, real_windows(1)[0])
    assert (origin.symbol, origin.last_sequence, origin.feature_schema) == ("A", 120, config.feature_schema)
    assert origin.as_of_time == bars[119].open_time + 3600
    assert store.hold(["A"], config) == [window]


def test_max_age_refuses_an_old_window(bars: tuple[Bar, ...]) -> None:
    """WINDOW_STALE with both figures, measured from the newest bar's end."""
    store, config = make_store(now=bars[119].open_time + 3600 + 5), make_config()
    [window] = store.hold(["A"], config)
    window.apply_bars(bars[:120])
    with pytest.raises(Refusal) as caught:
        store.window("A", config, max_age=4.5)
    assert caught.value.reason is Reason.WINDOW_STALE
    assert caught.value.metadata == {"age": "5.000", "max_age": "4.500"}


def test_a_window_of_unknown_age_is_stale_to_whoever_asks(bars: tuple[Bar, ...]) -> None:
    """Rows without event time have no age, so `max_age` cannot be promised."""
    store, config = make_store(), make_config()
    [window] = store.hold(["A"], config)
    for _ in range(60):
        window.apply_row(np.zeros(50, np.float32), None)
    assert store.window("A", config, max_age=None)[1].as_of_time is None
    with pytest.raises(Refusal) as caught:
        store.window("A", config, max_age=1e9)
    assert caught.value.metadata["age"] == "unknown"


@pytest.mark.parametrize(("symbol", "reason"), [("B", Reason.SYMBOL_NOT_FOUND), ("B B", Reason.INVALID_SYMBOL)])
def test_an_unknown_symbol_has_no_window(bars: tuple[Bar, ...], symbol: str, reason: Reason) -> None:
    """It is not made by asking for it."""
    store = make_store()
    with pytest.raises(Refusal) as caught:
        store.window(symbol, make_config(), max_age=None)
    assert caught.value.reason is reason
    assert len(store) == 0


def test_room_is_made_by_the_longest_unused(bars: tuple[Bar, ...]) -> None:
    """Letting go counts as use, and so does a prediction, even one that the window cannot serve yet."""
    store, config = make_store(3), make_config()
    long_held = store.hold(["A"], config)
    hold(store, "B")
    hold(store, "C")
    store.release(long_held[0], config)
    with pytest.raises(Refusal):
        store.window("B", config, max_age=None)
    hold(store, "D")
    assert [is_kept(store, symbol) for symbol in "ABCD"] == [True, True, False, True]
    assert len(store) == 3


def test_what_streams_hold_is_never_forgotten(bars: tuple[Bar, ...]) -> None:
    """When every window is held, another symbol is refused and nothing is lost."""
    store, config = make_store(2), make_config()
    held = store.hold(["A", "B"], config)
    refusal = refusal_of(store, "C")
    assert (refusal.reason, refusal.field, refusal.metadata) == (Reason.LIMIT_EXCEEDED, "symbols", {"limit": "2"})
    assert store.hold(["A", "B"], config) == held


def test_a_window_with_two_holders_is_held_until_both_let_go(bars: tuple[Bar, ...]) -> None:
    """A takeover and the end of the old stream do not free what the new one uses."""
    store, config = make_store(1), make_config()
    [first] = store.hold(["A"], config)
    store.hold(["A"], config)
    store.release(first, config)
    assert refusal_of(store, "B").reason is Reason.LIMIT_EXCEEDED
    store.release(first, config)
    hold(store, "B")
    assert not is_kept(store, "A")


@pytest.mark.parametrize("symbols", [("A", "B B"), ("A", "X", "Y", "Z")])
def test_a_refused_request_takes_nothing(bars: tuple[Bar, ...], symbols: tuple[str, ...]) -> None:
    """A bad name or a full store, after a good name: the stream that has the good one keeps it, and no room is made."""
    store, config = make_store(3), make_config()
    [mine] = store.hold(["A"], config)
    hold(store, "IDLE")
    epoch, holders = mine.epoch, mine.holders
    refusal_of(store, *symbols)
    assert (mine.epoch, mine.holders) == (epoch, holders)
    assert is_kept(store, "IDLE")


def test_room_is_never_made_by_what_was_asked_for(bars: tuple[Bar, ...]) -> None:
    """Holding an idle symbol and a new one at the limit forgets a third."""
    store = make_store(2)
    hold(store, "A")
    hold(store, "B")
    store.hold(["A", "C"], make_config())
    assert [is_kept(store, symbol) for symbol in "ABC"] == [True, False, True]
