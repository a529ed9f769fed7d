"""Laws of windows, targets, labels and the split."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from model.bar import Bar
from model.bar_file import read_bars
from model.data_errors import BarFileError, LifelessBarsError, NotEnoughBarsError, SettingError
from model.dataset import (
    MIN_VOLATILITY,
    SAMPLE_REACH,
    BarRange,
    Dataset,
    chronological_split,
    feature_rows,
    label_thresholds,
    labels,
    load_windows,
)
from model.features import FeatureExtractor

DATA = Path(__file__).parents[3] / "data" / "eurusd_1h.csv"
HOUR = 3600.0


@pytest.fixture(scope="module")
def bars() -> list[Bar]:
    """The first 700 real bars."""
    return read_bars(DATA, limit=700)


def test_a_window_holds_the_last_60_rows_feature_major(bars: list[Bar]) -> None:
    """Column t of an anchor's window is the row of the bar 59 - t before it, as an online extractor gives it."""
    data = Dataset.from_bars(bars, horizon=4, bar_interval=HOUR)
    extractor = FeatureExtractor(bar_interval=HOUR)
    online = [extractor.update(bar) for bar in bars]
    anchors = np.array([SAMPLE_REACH - 1, 300, 699])
    windows = data.windows(anchors)
    assert windows.shape == (3, 50, 60)
    assert windows.dtype == np.float32
    assert windows.flags.c_contiguous
    for window, anchor in zip(windows, anchors, strict=True):
        expected = np.stack([row for row in online[anchor - 59 : anchor + 1] if row is not None], axis=1)
        np.testing.assert_array_equal(window, expected)


@pytest.mark.parametrize("horizon", [1, 4, 24])
def test_targets_are_the_forward_return_and_its_realised_volatility(bars: list[Bar], horizon: int) -> None:
    """Targets equal the formula of their docstring, written as a loop over the bars after the anchor."""
    data = Dataset.from_bars(bars, horizon=horizon, bar_interval=HOUR)
    anchors = np.array([119, 250, 699 - horizon])
    for (forward, volatility), anchor in zip(data.targets(anchors), anchors, strict=True):
        closes = [bars[i].close for i in range(anchor, anchor + horizon + 1)]
        steps = [math.log(after / before) for before, after in pairwise(closes)]
        assert forward == pytest.approx(sum(steps), rel=1e-4, abs=1e-9)
        assert volatility == pytest.approx(max(math.sqrt(sum(x * x for x in steps)), MIN_VOLATILITY), rel=1e-4)


def test_volatility_is_positive_even_without_movement() -> None:
    """Constant prices give the least volatility, not zero."""
    flat = [Bar(open_time=i * HOUR, open=1.0, high=1.0, low=1.0, close=1.0, volume=0.0) for i in range(130)]
    data = Dataset.from_bars(flat, horizon=4, bar_interval=HOUR)
    np.testing.assert_array_equal(data.targets(np.array([119]))[0], np.array([0.0, MIN_VOLATILITY], dtype=np.float32))


def test_labels_follow_the_thresholds() -> None:
    """Below the lower tercile is sell (0), above the upper buy (2), between and on them hold (1)."""
    returns = np.linspace(-1, 1, 301, dtype=np.float32)
    low, high = label_thresholds(returns)
    assert (low, high) == pytest.approx((-1 / 3, 1 / 3), abs=1e-6)
    classes = labels(np.array([-1.0, -0.5, -0.25, 0.5, 0.5, 1.0], dtype=np.float32), (-0.5, 0.5))
    np.testing.assert_array_equal(classes, [0, 1, 1, 1, 1, 2])
    np.testing.assert_allclose(np.bincount(labels(returns, (low, high))) / 301, 1 / 3, atol=0.01)


def test_lifeless_returns_form_no_classes() -> None:
    """Returns that are mostly one value are refused with a remedy."""
    with pytest.raises(LifelessBarsError, match="give bars"):
        label_thresholds(np.zeros(100, dtype=np.float32))


@pytest.mark.parametrize(("horizon", "embargo"), [(1, 61), (4, 64), (24, 200)])
def test_no_part_touches_bars_of_another(horizon: int, embargo: int) -> None:
    """No bar that a window or a label of one part reads is within the embargo of one that another part reads."""
    split = chronological_split(6225, horizon=horizon, embargo=embargo)
    touched = []
    for part in (split.train, split.validation, split.test):
        anchors = part.anchors(horizon)
        assert len(anchors) > 0
        touched.append((anchors[0] - SAMPLE_REACH + 1, anchors[-1] + horizon))
        assert touched[-1] == (part.start, part.stop - 1)
    for (_, last), (first, _) in pairwise(touched):
        assert first - last > embargo >= horizon + 60
    assert touched[0][0] == 0
    assert touched[-1][1] == 6224


def test_rows_of_one_part_do_not_see_another(bars: list[Bar]) -> None:
    """Rows computed over the whole sequence equal, inside a range, those computed from the range's bars alone."""
    part = BarRange(200, 400)
    whole = Dataset.from_bars(bars, horizon=4, bar_interval=HOUR).windows(part.anchors(4))
    alone = Dataset.from_bars(bars[200:400], horizon=4, bar_interval=HOUR).windows(BarRange(0, 200).anchors(4))
    assert whole.tobytes() == alone.tobytes()


def test_too_few_bars_say_how_many_are_needed() -> None:
    """The number of bars that a refusal names is enough."""
    with pytest.raises(NotEnoughBarsError) as caught:
        chronological_split(500, horizon=4, embargo=64)
    assert caught.value.have == 500
    assert len(chronological_split(caught.value.need, horizon=4, embargo=64).test) > 0


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"horizon": 0}, "prediction_horizon"), ({"embargo": 63}, "embargo"), ({"shares": (0.9, 0.1)}, "shares")],
)
def test_split_arguments_are_checked(changes: dict[str, object], field: str) -> None:
    """An argument out of range is refused by its name."""
    arguments = {"horizon": 4, "embargo": 64} | changes
    with pytest.raises(SettingError, match="give") as caught:
        chronological_split(6225, **arguments)  # type: ignore[arg-type]  # values of the wrong range, not type
    assert caught.value.field == field


def test_load_windows_gives_the_first_windows_of_a_file(bars: list[Bar]) -> None:
    """load_windows(path, n) gives n contiguous float32 windows, the first that the file's bars allow."""
    windows = load_windows(DATA, 16)
    data = Dataset.from_bars(bars, horizon=1, bar_interval=HOUR)
    np.testing.assert_array_equal(windows, data.windows(np.arange(119, 135)))
    assert windows.flags.c_contiguous


def test_short_sequences_are_refused(tmp_path: Path, bars: list[Bar]) -> None:
    """Too few bars for one row or one window, and a missing file, are typed errors."""
    with pytest.raises(NotEnoughBarsError):
        feature_rows(bars[:60], bar_interval=HOUR)
    short = tmp_path / "short.csv"
    short.write_text("".join(DATA.read_text().splitlines(keepends=True)[:120]))
    with pytest.raises(NotEnoughBarsError):
        load_windows(short)
    with pytest.raises(BarFileError):
        load_windows(tmp_path / "none.csv")
