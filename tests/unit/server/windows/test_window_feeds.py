"""Laws of what may fill a window: trades, watermarks, corrections, and what must not be mixed."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from model.bar import Bar
from server.refusal import Reason, Refusal
from server.windows.closed_row import ClosedRow
from server.windows.symbol_window import SymbolWindow
from tests.support.registry import make_config, real_bars, real_windows

HOUR = 3600.0
NEED = 120


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars; bar 119 is the first that has a window."""
    real_windows()
    return real_bars(512)


def empty(*, lateness_bound: float = 0.0) -> SymbolWindow:
    """Returns a window without anything."""
    return SymbolWindow("EURUSD", make_config(), lateness_bound=lateness_bound)


def trades_of(bar: Bar) -> list[tuple[float, float, float]]:
    """Returns price, size and time of trades that make a bar, the volume in the first of them."""
    prices = (bar.open, bar.high, bar.low, bar.close)
    return [(price, bar.volume * (i == 0), bar.open_time + 10.0 * i) for i, price in enumerate(prices)]


def refusal_of(window: SymbolWindow, name: str, *arguments: object) -> Refusal:
    """Returns how a call is refused, and checks that it changed nothing."""
    before = window.take_change()
    with pytest.raises(Refusal) as caught:
        getattr(window, name)(*arguments)
    assert window.take_change() == before
    return caught.value


def row(value: float) -> NDArray[np.float32]:
    """Returns a row of features, all alike."""
    return np.full(50, value, np.float32)


def test_trades_make_the_windows_of_their_bars(bars: tuple[Bar, ...]) -> None:
    """A window fed trade by trade is, bit for bit, the training set's; weekends in the file leave no bars."""
    window = empty()
    closed: list[ClosedRow] = []
    sequence = 0
    for bar in bars[:200]:
        for trade in trades_of(bar):
            sequence += 1
            closed += window.apply_trade(*trade, sequence=sequence)
    closed += window.close_until(bars[199].open_time + HOUR)
    assert [item.row_number for item in closed] == list(range(1, 141))
    assert [item.as_of_time for item in closed] == [bar.open_time + HOUR for bar in bars[60:200]]
    # A bar is closed by the first trade of the next one; the watermark moves no sequence.
    assert [item.sequence for item in closed] == [*range(4 * 61 + 1, 4 * 200, 4), 800]
    assert any(after.open_time - before.open_time > 40 * HOUR for before, after in pairwise(bars[:200]))
    assert np.array_equal(window.window(), real_windows(81)[80])
    for item in closed[80:]:
        values = window.window_at(item.row_number)
        assert values is not None
        assert np.array_equal(values, real_windows(81)[item.row_number - 60])


def test_a_watermark_closes_several_bars_at_once(bars: tuple[Bar, ...]) -> None:
    """Each gets its row, all under the last tick's sequence, told apart by the ends of their bars."""
    window = empty(lateness_bound=24 * HOUR)
    window.apply_history(bars[:150])
    for number, bar in enumerate(bars[150:155], 1):
        assert window.apply_trade(bar.open, 1.0, bar.open_time, sequence=number) == ()
    closed = window.close_until(bars[153].open_time + HOUR)
    assert [(item.sequence, item.row_number) for item in closed] == [(5, 91), (5, 92), (5, 93), (5, 94)]
    assert [item.as_of_time for item in closed] == [bar.open_time + HOUR for bar in bars[150:154]]
    assert window.entries_after(5, closed[1].as_of_time) == closed[2:]
    assert window.entries_after(4, None) == closed
    assert window.entries_after(5, None) == ()
    assert window.close_until(bars[153].open_time) == ()


def test_partial_windows_are_those_of_the_bars_as_they_stand(bars: tuple[Bar, ...]) -> None:
    """A partial window is what a watermark would make of the open bars, however many; asking for it changes nothing."""
    window, closing = (empty(lateness_bound=24 * HOUR) for _ in range(2))
    for either in (window, closing):
        either.apply_history(bars[:130])
    assert window.partial_window() is None
    for count, bar in enumerate(bars[130:135], 1):
        for trade in trades_of(bar)[:3]:
            for either in (window, closing):
                either.apply_trade(*trade)
        change = window.take_change()
        partial = window.partial_window()
        assert window.take_change() == change
        assert partial is not None
        assert window.row_count == 70
        expected = empty()
        expected.apply_history(bars[:130])
        for earlier in bars[130 : 130 + count]:
            for trade in trades_of(earlier)[:3]:
                expected.apply_trade(*trade)
        expected.close_until(bar.open_time + HOUR)
        assert np.array_equal(partial, expected.window())


def test_a_partial_window_needs_a_full_one(bars: tuple[Bar, ...]) -> None:
    """With 118 bars and an open one there is no window, with 119 there is."""
    for length, expected in ((59, False), (118, False), (119, True)):
        window = empty()
        window.apply_history(bars[:length])
        window.apply_trade(1.0, 1.0, bars[length].open_time)
        assert (window.partial_window() is not None) is expected


def test_a_corrected_bar_is_as_if_it_had_come_so(bars: tuple[Bar, ...]) -> None:
    """Window and all later ones are those of the right bar; its row keeps its number and takes the new sequence."""
    wrong = Bar(open_time=bars[140].open_time, open=1.0, high=2.0, low=0.5, close=1.5, volume=9.0)
    corrected, right = empty(), empty()
    corrected.apply_bars([*bars[:140], wrong], sequence=141)
    [item] = corrected.correct(bars[140], sequence=142)
    assert (item.sequence, item.first_sequence, item.row_number) == (142, 141, 81)
    [item] = corrected.correct(bars[140], sequence=143)
    assert (item.sequence, item.first_sequence) == (143, 141)
    assert corrected.entries_after(142, None) == (item,)
    right.apply_bars(bars[:141])
    for bar in bars[141:280]:
        assert np.array_equal(corrected.window(), right.window())
        assert (corrected.row_count, corrected.as_of_time) == (right.row_count, right.as_of_time)
        corrected.apply_bars([bar])
        right.apply_bars([bar])


def test_a_bar_can_be_corrected_in_warm_up_and_beside_open_bars(bars: tuple[Bar, ...]) -> None:
    """In warm-up no row comes of it; bars that trades are building go on."""
    window = empty()
    window.apply_history(bars[:30])
    window.apply_trade(1.0, 1.0, bars[30].open_time, sequence=1)
    assert window.correct(bars[29], sequence=2) == ()
    window.close_until(bars[30].open_time + HOUR)
    assert window.have == 31


def test_only_the_newest_bar_can_be_corrected(bars: tuple[Bar, ...]) -> None:
    """Another start, no bar at all, or a feed of ready rows is a typed error."""
    window = empty()
    assert refusal_of(window, "correct", bars[0]).reason is Reason.INVALID_TICK
    window.apply_bars(bars[:5])
    for other in (bars[3], bars[5]):
        refusal = refusal_of(window, "correct", other)
        assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "correction.bar.start_time")
        assert refusal.metadata["newest"] == f"{bars[4].open_time:.3f}"
    window.reset()
    window.apply_row(row(1.0), 5.0)
    assert refusal_of(window, "correct", bars[0]).reason is Reason.INVALID_TICK


def feed(kind: str, bars: Sequence[Bar]) -> tuple[str, tuple[object, ...]]:
    """Returns the method and the arguments that feed a window with what `bars` stand for."""
    match kind:
        case "history" | "bars":
            return f"apply_{kind}", (bars,)
        case "trades":
            return "apply_trade", (1.0, 1.0, bars[0].open_time)
    return "apply_row", (row(1.0), 5.0)


KINDS = ("history", "bars", "trades", "rows")
MAY_FOLLOW = {
    ("history", "history"), ("history", "bars"), ("history", "trades"), ("bars", "bars"), ("bars", "history"),
    ("trades", "trades"), ("trades", "history"), ("rows", "rows"),
}  # fmt: skip


@pytest.mark.parametrize("second", KINDS)
@pytest.mark.parametrize("first", KINDS)
def test_feeds_do_not_mix(bars: tuple[Bar, ...], first: str, second: str) -> None:
    """A history may come before and between bars or trades; else the kind changes only after a reset."""
    window = empty()
    name, arguments = feed(first, bars[:5])
    getattr(window, name)(*arguments)
    name, arguments = feed(second, bars[10:15])
    if (first, second) not in MAY_FOLLOW:
        refusal = refusal_of(window, name, *arguments)
        assert refusal.reason is Reason.INVALID_TICK
        assert refusal.metadata == {"fed_with": first, "have": second}
        window.reset()
    getattr(window, name)(*arguments)


def test_trades_do_not_repeat_the_bars_of_a_history(bars: tuple[Bar, ...]) -> None:
    """After a history, and after one that comes between trades, only trades of later intervals are taken."""
    window = empty(lateness_bound=10 * HOUR)
    window.apply_history(bars[:10])
    refusal = refusal_of(window, "apply_trade", 1.0, 1.0, bars[9].open_time + HOUR - 1.0)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "event_time")
    assert refusal.metadata == {"closed_until": f"{bars[9].open_time + HOUR:.3f}"}
    window.apply_trade(1.0, 1.0, bars[10].open_time)
    window.apply_trade(1.0, 1.0, bars[12].open_time)
    window.apply_history(bars[8:12])
    assert window.have == 12
    assert refusal_of(window, "apply_trade", 1.0, 1.0, bars[11].open_time).field == "event_time"
    window.close_until(bars[12].open_time + HOUR)
    assert window.have == 13


@pytest.mark.parametrize(
    ("trade", "field"),
    [((0.0, 1.0, 1e9), "trade.price"), ((1.0, -1.0, 1e9), "trade.size"), ((1.0, 1.0, float("nan")), "event_time")],
)
def test_bad_trades_are_told_with_their_field(trade: tuple[float, float, float], field: str) -> None:
    """A trade out of range is a typed error and changes nothing."""
    refusal = refusal_of(empty(), "apply_trade", *trade)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, field)
    assert refusal_of(empty(), "close_until", float("inf")).field == "event_time"


def test_a_watermark_means_nothing_to_bars_and_rows(bars: tuple[Bar, ...]) -> None:
    """It neither closes nor changes anything there, so that nothing has to be stored."""
    for kind in ("bars", "rows"):
        window = empty()
        name, arguments = feed(kind, bars[:5])
        getattr(window, name)(*arguments)
        before = window.take_change()
        assert window.close_until(bars[400].open_time) == ()
        assert window.take_change() == before
