"""Laws of one symbol's window: exactly the training set's windows, and all or nothing."""

import numpy as np
import pytest
from numpy.typing import NDArray

from model.bar import Bar
from model.features import FeatureExtractor
from server.refusal import Reason, Refusal
from server.windows.symbol_window import SymbolWindow
from tests.support.registry import make_config, real_bars, real_windows

NEED = 120


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars; bar 119 is the first that has a window."""
    real_windows()
    return real_bars(512)


@pytest.fixture
def window(bars: tuple[Bar, ...]) -> SymbolWindow:
    """An empty window."""
    return SymbolWindow("EURUSD", make_config())


def row(value: float) -> NDArray[np.float32]:
    """Returns a row of features, all alike."""
    return np.full(50, value, np.float32)


def refusal_of(window: SymbolWindow, bars: list[Bar]) -> Refusal:
    """Returns how bars are refused."""
    with pytest.raises(Refusal) as caught:
        window.apply_bars(bars)
    return caught.value


def test_windows_are_those_of_the_training_set(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """Bar by bar, every window is bit for bit the one that the model was trained on."""
    expected = real_windows(512 - NEED + 1)
    for index, bar in enumerate(bars):
        window.apply_bars([bar])
        assert window.is_full() == (index >= NEED - 1)
        assert (window.have, window.need) == (min(index + 1, NEED), NEED)
        if window.is_full():
            assert np.array_equal(window.window(), expected[index - NEED + 1])


@pytest.mark.parametrize("before", [0, 1, 59, 60, 61, 119, 120, 200])
@pytest.mark.parametrize("length", [1, 60, 119, 120, 121, 180, 300])
@pytest.mark.parametrize("history", [False, True])
def test_a_history_is_as_good_as_its_bars_one_by_one(
    bars: tuple[Bar, ...], before: int, length: int, history: bool
) -> None:
    """However many bars come at once, window, counts and all later windows are the same."""
    one_by_one, at_once = (SymbolWindow("EURUSD", make_config()) for _ in range(2))
    for bar in bars[: before + length]:
        one_by_one.apply_bars([bar])
    for bar in bars[:before]:
        at_once.apply_bars([bar])
    if history:
        at_once.apply_history(bars[before : before + length])
    else:
        at_once.apply_bars(bars[before : before + length])
    for later in range(70):
        state = [(w.have, w.row_count, w.is_full(), w.as_of_time) for w in (one_by_one, at_once)]
        assert state[0] == state[1]
        if one_by_one.is_full():
            assert np.array_equal(one_by_one.window(), at_once.window())
        next_bar = bars[before + length + later : before + length + later + 1]
        one_by_one.apply_bars(next_bar)
        at_once.apply_bars(next_bar)


@pytest.mark.parametrize("length", [100, 120, 512])
def test_a_long_history_costs_no_more_than_a_window(
    window: SymbolWindow, bars: tuple[Bar, ...], monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    """Of however many bars only those of the newest window become features."""
    updates = []
    real = FeatureExtractor.update

    def update(extractor: FeatureExtractor, bar: Bar) -> NDArray[np.float32] | None:
        updates.append(bar)
        return real(extractor, bar)

    monkeypatch.setattr(FeatureExtractor, "update", update)
    window.apply_history(bars[:length])
    assert updates == list(bars[length - 60 : length])
    assert window.row_count == length - 60


def test_a_history_gives_way_and_nobody_sees_half_of_it(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """It comes in steps of few rows; until the last one the window is as before, then it has everything."""
    window.apply_bars(bars[:130])
    before = window.window()
    steps = window.history_steps(bars[130:400], sequence=7)
    count = 0
    for _ in steps:
        count += 1
        assert np.array_equal(window.window(), before)
        assert (window.row_count, window.last_sequence) == (70, 0)
    assert count >= 60 // 8
    assert (window.row_count, window.last_sequence) == (340, 7)
    assert np.array_equal(window.window(), real_windows(400 - NEED + 1)[400 - NEED])


def test_a_history_is_not_applied_to_a_window_that_was_taken_over(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """Who raised the epoch between two steps keeps the window as it was."""
    steps = window.history_steps(bars[:300])
    next(steps)
    window.epoch += 1
    with pytest.raises(Refusal) as caught:
        list(steps)
    assert (caught.value.reason, caught.value.metadata) == (Reason.SYMBOL_NOT_OPEN, {"symbol": "EURUSD"})
    assert (window.have, window.take_change()) == (0, None)


def test_a_history_fails_loudly_where_its_window_was_changed(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """Two writers of one epoch are a fault of ours, never a mixture of both."""
    steps = window.history_steps(bars[:300])
    next(steps)
    window.apply_bars(bars[:1])
    with pytest.raises(RuntimeError, match="changed while"):
        list(steps)
    assert window.have == 1


def test_an_incomplete_window_says_what_is_missing(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """`have` and `need` are told."""
    window.apply_bars(bars[: NEED - 1])
    with pytest.raises(Refusal) as caught:
        window.window()
    assert caught.value.reason is Reason.WINDOW_INCOMPLETE
    assert caught.value.metadata == {"have": "119", "need": "120"}


def test_disordered_bars_change_nothing(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """A history is applied whole or not at all, and the bar at fault is named."""
    window.apply_bars(bars[:130])
    before = window.window()
    refusal = refusal_of(window, [*bars[130:135], bars[133]])
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "bars[5].start_time")
    assert refusal.metadata["index"] == "5"
    assert refusal_of(window, [bars[129]]).field == "bars[0].start_time"
    assert np.array_equal(window.window(), before)
    assert (window.row_count, window.as_of_time) == (70, bars[129].open_time + 3600)
    window.apply_bars(bars[130:131])


def test_a_refused_first_history_leaves_the_kind_open(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """After bars that were refused, or none at all, an empty window still takes rows."""
    refusal_of(window, [bars[1], bars[0]])
    window.apply_bars([])
    window.apply_row(row(1.0), None)
    assert window.row_count == 1


def test_bars_and_rows_do_not_mix(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """Rows of two origins do not follow from one another; a reset lets the kind change."""
    window.apply_bars(bars[:1])
    with pytest.raises(Refusal) as caught:
        window.apply_row(row(0.0), None)
    assert (caught.value.reason, caught.value.field) == (Reason.INVALID_TICK, "features")
    window.reset()
    window.apply_row(row(0.0), None)
    assert refusal_of(window, [bars[1]]).reason is Reason.INVALID_TICK


def test_rows_fill_a_window_without_warm_up(window: SymbolWindow) -> None:
    """Sixty ready rows are a window, oldest first, and it moves on with each further one."""
    for number in range(200):
        assert window.is_full() == (number >= 60)
        window.apply_row(row(number), 1000.0 + number)
    assert window.window()[0].tolist() == list(range(140, 200))
    assert (window.have, window.as_of_time) == (NEED, 1199.0)


def test_a_window_is_the_callers_own(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """What was handed out does not change with the next bar, nor by what its owner does to it."""
    window.apply_bars(bars[:150])
    first = window.window()
    kept = first.copy()
    window.apply_bars(bars[150:200])
    assert np.array_equal(first, kept)
    first[:] = 0
    assert window.window().any()


def test_a_reset_empties_all_but_the_sequence(window: SymbolWindow, bars: tuple[Bar, ...]) -> None:
    """After it the window fills as a new one does."""
    window.apply_bars(bars[:200], sequence=200)
    window.last_sequence = 200
    window.reset()
    assert (window.have, window.row_count, window.as_of_time, window.last_sequence) == (0, 0, None, 200)
    window.apply_bars(bars[:NEED])
    assert np.array_equal(window.window(), real_windows(1)[0])
