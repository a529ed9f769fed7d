"""Laws of bars from trades: event time decides bars, and nothing else does."""

import math

import pytest

from model.bar import MAX_VOLUME, Bar
from model.bar_aggregator import BarAggregator
from model.data_errors import AggregatorStateError, InvalidTradeError

HOUR = 3600.0
FRIDAY = 1_484_945_999.0 - 1_484_945_999.0 % HOUR  # 2017-01-20 20:00 UTC
MONDAY = FRIDAY + 50 * HOUR


@pytest.fixture
def hourly() -> BarAggregator:
    """Hourly bars that wait for nobody."""
    return BarAggregator(bar_interval=HOUR)


@pytest.fixture
def patient() -> BarAggregator:
    """Hourly bars that wait for ten minutes."""
    return BarAggregator(bar_interval=HOUR, lateness_bound=600.0)


def bar(start: float, prices: tuple[float, float, float, float], volume: float) -> Bar:
    """Returns a bar of open, high, low and close."""
    o, h, lo, c = prices
    return Bar(open_time=start, open=o, high=h, low=lo, close=c, volume=volume)


def test_a_bar_holds_its_trades(hourly: BarAggregator) -> None:
    """Open and close are the first and the last price, high and low the extremes, the volume is the sum."""
    for seconds, price, size in ((0.0, 2.0, 1.0), (10.0, 5.0, 2.0), (20.0, 1.0, 0.0), (3599.9, 3.0, 4.0)):
        assert hourly.apply(price, size, FRIDAY + seconds) == ()
    expected = bar(FRIDAY, (2.0, 5.0, 1.0, 3.0), 7.0)
    assert hourly.partial() == (expected,)
    assert hourly.apply(9.0, 1.0, FRIDAY + HOUR) == (expected,)
    assert hourly.partial() == (bar(FRIDAY + HOUR, (9.0, 9.0, 9.0, 9.0), 1.0),)


def test_event_time_decides_open_and_close_and_arrival_breaks_ties(hourly: BarAggregator) -> None:
    """However trades of a bar arrive, the earliest opens and the latest closes; at one time, the first and the last."""
    for seconds, price in ((20.0, 3.0), (30.0, 4.0), (30.0, 5.0), (10.0, 2.0), (10.0, 1.0), (25.0, 9.0)):
        hourly.apply(price, 1.0, FRIDAY + seconds)
    assert hourly.partial() == (bar(FRIDAY, (2.0, 9.0, 1.0, 5.0), 6.0),)


def test_a_jump_over_a_weekend_leaves_no_phantoms(hourly: BarAggregator) -> None:
    """Fifty hours without a trade yield no bar: the last before them closes, the first after them opens."""
    hourly.apply(1.0, 1.0, FRIDAY)
    assert [closed.open_time for closed in hourly.apply(2.0, 1.0, MONDAY + 1.0)] == [FRIDAY]
    assert [closed.open_time for closed in hourly.close_until(MONDAY + HOUR)] == [MONDAY]
    assert hourly.close_until(MONDAY + 900 * HOUR) == ()


def test_late_trades_enter_their_bar_within_the_bound(patient: BarAggregator) -> None:
    """A bar closes when an event time reaches its end plus the bound, not before."""
    patient.apply(1.0, 1.0, FRIDAY)
    assert patient.apply(2.0, 1.0, FRIDAY + HOUR + 599.0) == ()
    assert patient.apply(3.0, 1.0, FRIDAY + HOUR - 1.0) == ()
    assert patient.apply(4.0, 1.0, FRIDAY + HOUR + 600.0) == (bar(FRIDAY, (1.0, 3.0, 1.0, 3.0), 2.0),)
    assert patient.partial() == (bar(FRIDAY + HOUR, (2.0, 4.0, 2.0, 4.0), 2.0),)


def test_a_trade_for_a_closed_interval_is_refused_and_changes_nothing(patient: BarAggregator) -> None:
    """Also where the interval had no trade and so no bar; the error names the field and the remedy."""
    patient.apply(1.0, 1.0, FRIDAY)
    patient.apply(1.0, 1.0, MONDAY)
    state = patient.to_bytes()
    for late in (FRIDAY, FRIDAY + 10 * HOUR, MONDAY - 2 * HOUR):
        with pytest.raises(InvalidTradeError, match=r"event_time .* closed until .*; send trades in order") as caught:
            patient.apply(1.0, 1.0, late)
        assert caught.value.field == "event_time"
    assert patient.to_bytes() == state
    assert patient.apply(1.0, 1.0, MONDAY - 1.0) == ()


def test_a_watermark_closes_what_ends_by_it(patient: BarAggregator) -> None:
    """It overrides the bound, closes bars that end exactly at it, and never goes back."""
    patient.apply(1.0, 1.0, FRIDAY)
    patient.apply(2.0, 1.0, FRIDAY + HOUR)
    assert patient.close_until(FRIDAY + HOUR - 0.001) == ()
    assert [closed.open_time for closed in patient.close_until(FRIDAY + HOUR)] == [FRIDAY]
    assert patient.closed_until == FRIDAY + HOUR
    assert patient.close_until(FRIDAY) == ()
    assert patient.closed_until == FRIDAY + HOUR
    assert [closed.open_time for closed in patient.close_until(FRIDAY + 9 * HOUR)] == [FRIDAY + HOUR]


def test_a_watermark_before_the_first_trade_holds(hourly: BarAggregator) -> None:
    """What was declared over is over, even if nothing had come."""
    assert hourly.closed_until is None
    hourly.close_until(FRIDAY + HOUR)
    with pytest.raises(InvalidTradeError, match="event_time"):
        hourly.apply(1.0, 1.0, FRIDAY)


def test_skipped_intervals_are_dropped_and_closed(patient: BarAggregator) -> None:
    """What came as a finished bar is not built again from trades."""
    patient.apply(1.0, 1.0, FRIDAY)
    patient.apply(2.0, 1.0, FRIDAY + HOUR)
    patient.skip(FRIDAY)
    assert [partial.open_time for partial in patient.partial()] == [FRIDAY + HOUR]
    with pytest.raises(InvalidTradeError, match="event_time"):
        patient.apply(1.0, 1.0, FRIDAY + HOUR - 1.0)


@pytest.mark.parametrize(
    ("trade", "field"),
    [
        ((0.0, 1.0, FRIDAY), "price"),
        ((-1.0, 1.0, FRIDAY), "price"),
        ((math.nan, 1.0, FRIDAY), "price"),
        ((math.inf, 1.0, FRIDAY), "price"),
        ((1.0, -1.0, FRIDAY), "size"),
        ((1.0, math.nan, FRIDAY), "size"),
        ((1.0, math.inf, FRIDAY), "size"),
        ((1.0, MAX_VOLUME, FRIDAY), "size"),  # with what the bar has, above what a bar may have
        ((1.0, 1.0, math.nan), "event_time"),
        ((1.0, 1.0, -math.inf), "event_time"),
        ((1.0, 1.0, 1e300), "event_time"),
    ],
)
def test_bad_trades_are_refused_and_change_nothing(
    hourly: BarAggregator, trade: tuple[float, float, float], field: str
) -> None:
    """The error names the field and the remedy."""
    hourly.apply(1.0, MAX_VOLUME / 2, FRIDAY)
    hourly.apply(1.0, MAX_VOLUME / 2, FRIDAY)
    state = hourly.to_bytes()
    with pytest.raises(InvalidTradeError, match=f"^{field} .*; send") as caught:
        hourly.apply(*trade)
    assert caught.value.field == field
    assert hourly.to_bytes() == state


def test_an_impossible_watermark_is_refused(hourly: BarAggregator) -> None:
    """NaN and times beyond the year 9999 close nothing."""
    for time in (math.nan, math.inf, 1e300):
        with pytest.raises(InvalidTradeError, match="event_time"):
            hourly.close_until(time)
    assert hourly.closed_until is None


@pytest.mark.parametrize("interval", [0.1, 60.0, 86_400.0, 604_800.0, 0.7])
def test_the_grid_is_aligned_to_the_epoch(interval: float) -> None:
    """A trade at the start of any interval opens that interval's bar, whatever the rounding of the quotient."""
    for index in (-3, 0, 1, 2, 3, 7, 24_713):
        aggregator = BarAggregator(bar_interval=interval)
        aggregator.apply(1.0, 1.0, index * interval)
        assert [partial.open_time for partial in aggregator.partial()] == [index * interval]


def test_settings_out_of_range_are_refused() -> None:
    """An interval is above zero, a bound at least zero, both finite."""
    for interval in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="bar_interval"):
            BarAggregator(bar_interval=interval)
    for bound in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="lateness_bound"):
            BarAggregator(bar_interval=HOUR, lateness_bound=bound)


def test_damaged_states_are_refused(patient: BarAggregator) -> None:
    """A state that is cut, foreign, of another interval or of impossible bars is refused."""
    patient.close_until(FRIDAY)
    patient.apply(2.0, 1.0, FRIDAY)
    patient.apply(3.0, 1.0, FRIDAY + HOUR)
    state = patient.to_bytes()
    header = len(state) - 2 * 64
    damaged = [
        b"",
        state[:10],
        state[:-1],
        state + b"\0",
        b"XXXX" + state[4:],
        state[:header] + state[header + 64 :] + state[header : header + 64],  # the bars in the wrong order
        state[: header + 8] + b"\0" * 8 + state[header + 16 :],  # an open price of zero
        state[: header + 48] + b"\0" * 8 + state[header + 56 :],  # a first trade in another interval
    ]
    for bad in damaged:
        with pytest.raises(AggregatorStateError):
            BarAggregator.from_bytes(bad, bar_interval=HOUR)
    with pytest.raises(AggregatorStateError, match="3600"):
        BarAggregator.from_bytes(state, bar_interval=60.0)
    assert BarAggregator.from_bytes(state, bar_interval=HOUR).to_bytes() == state
