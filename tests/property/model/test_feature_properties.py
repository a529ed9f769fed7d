"""Properties of the feature extractor for arbitrary sequences of valid bars."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.bar import Bar
from model.feature_schema import FEATURE_LIMIT, FEATURES, MAX_LOOKBACK
from model.features import FeatureExtractor

HOUR = 3600.0
Rows = list[bytes | None]

# Generating a hundred bars is slow by Hypothesis's standards and fine by ours.
LONG = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@st.composite
def sequences(draw: st.DrawFn, *, least: int = MAX_LOOKBACK, most: int = 110) -> list[Bar]:
    """Bars with quiet stretches, jumps, empty volumes and gaps, prices on a tick grid or anywhere."""
    count = draw(st.integers(least, most))
    seed = draw(st.integers(0, 2**32 - 1))
    scale = draw(st.sampled_from([0.0, 1e-9, 1e-5, 1e-3, 0.1, 3.0]))
    still = draw(st.sampled_from([0.0, 0.3, 0.95, 1.0]))
    empty = draw(st.sampled_from([0.0, 0.5, 1.0]))
    gap = draw(st.sampled_from([0.0, 0.05, 0.5]))
    ticks = draw(st.sampled_from([None, 2, 5]))
    random = np.random.default_rng(seed)
    price, when, bars = float(draw(st.sampled_from([1e-6, 1.05, 98_765.4]))), 0.0, []
    for _ in range(count):
        moves = np.where(random.random(4) < still, 0.0, random.standard_normal(4) * scale)
        # Kept within 1e-100..1e100, so that a wild walk stays a positive float.
        prices = [math.exp(min(230.0, max(-230.0, math.log(price) + float(move)))) for move in moves]
        if ticks is not None:
            prices = [max(10.0**-ticks, round(p, ticks)) if p < 1e12 else p for p in prices]
        opening, closing = prices[0], prices[1]
        volume = 0.0 if random.random() < empty else float(random.exponential(1e8))
        bars.append(Bar(open_time=when, open=opening, high=max(prices), low=min(prices), close=closing, volume=volume))
        price = closing
        when += HOUR * (49 if random.random() < gap else 1)
    return bars


def rows_of(bars: list[Bar], extractor: FeatureExtractor | None = None) -> Rows:
    """The bytes of each row, None during warm-up."""
    extractor = extractor or FeatureExtractor(bar_interval=HOUR)
    return [None if (row := extractor.update(bar)) is None else row.tobytes() for bar in bars]


@LONG
@given(sequences())
def test_rows_are_finite_and_bounded_after_warm_up(bars: list[Bar]) -> None:
    """Whatever valid bars come, the first 60 give None and every later row is finite and within +-10."""
    rows = rows_of(bars)
    assert rows[: MAX_LOOKBACK - 1] == [None] * (MAX_LOOKBACK - 1)
    for row in rows[MAX_LOOKBACK - 1 :]:
        assert row is not None
        values = np.frombuffer(row, dtype=np.float32)
        assert np.isfinite(values).all()
        assert np.abs(values).max() <= FEATURE_LIMIT


@LONG
@given(sequences(), st.data())
def test_later_bars_change_no_earlier_row(bars: list[Bar], data: st.DataObject) -> None:
    """No look-ahead: replacing all bars after any point leaves the rows up to it as they were."""
    cut = data.draw(st.integers(0, len(bars)))
    later = [
        replace(
            bar, high=bar.high * 2, close=bar.high * 1.5, volume=bar.volume + 1.0, open_time=bar.open_time + 7 * HOUR
        )
        for bar in bars[cut:]
    ]
    assert rows_of([*bars[:cut], *later])[:cut] == rows_of(bars)[:cut]


@LONG
@given(sequences(), st.data())
def test_a_prefix_gives_a_prefix(bars: list[Bar], data: st.DataObject) -> None:
    """The rows of a prefix of the bars are the prefix of their rows."""
    cut = data.draw(st.integers(0, len(bars)))
    assert rows_of(bars[:cut]) == rows_of(bars)[:cut]


@LONG
@given(sequences(), st.lists(st.integers(0, 110), max_size=6))
def test_any_splits_through_the_state_give_the_same_bits(bars: list[Bar], cuts: list[int]) -> None:
    """Storing and restoring the extractor at any points of the sequence changes no bit of any row."""
    extractor, rows = FeatureExtractor(bar_interval=HOUR), []
    for index, bar in enumerate(bars):
        if index in cuts:
            extractor = FeatureExtractor.from_state(extractor.state())
        rows += rows_of([bar], extractor)
    assert rows == rows_of(bars)


@LONG
@given(sequences(), st.data())
def test_a_row_depends_on_its_last_61_bars_only(bars: list[Bar], data: st.DataObject) -> None:
    """Starting anywhere, 61 bars give the same last row as any longer history of them."""
    end = data.draw(st.integers(MAX_LOOKBACK, len(bars)))
    assert rows_of(bars[end - MAX_LOOKBACK : end])[-1] == rows_of(bars[:end])[-1]


@LONG
@given(sequences(least=MAX_LOOKBACK, most=MAX_LOOKBACK), st.data())
def test_a_feature_reads_no_bar_beyond_its_lookback(bars: list[Bar], data: st.DataObject) -> None:
    """Replacing the bars older than a feature's documented lookback leaves the feature as it is."""
    feature = data.draw(st.integers(0, len(FEATURES) - 1))
    kept = FEATURES[feature].lookback
    older = [
        replace(bar, open=bar.low, close=bar.high, high=bar.high * 1.01, volume=bar.volume * 3 + 5.0)
        for bar in bars[: MAX_LOOKBACK - kept]
    ]
    values: list[npt.NDArray[np.float32]] = []
    for sequence in (bars, [*older, *bars[MAX_LOOKBACK - kept :]]):
        row = rows_of(sequence)[-1]
        assert row is not None
        values.append(np.frombuffer(row, dtype=np.float32))
    assert values[0][feature] == values[1][feature], FEATURES[feature].name
