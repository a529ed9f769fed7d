"""Properties of bars from trades: any interleaving within the lateness bound gives the bars of the sorted trades."""

from itertools import groupby
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.bar import Bar
from model.bar_aggregator import BarAggregator
from model.data_errors import InvalidTradeError

MINUTE = 60.0


class Trade(NamedTuple):
    """A trade; `delay` is how much later than `time` it arrives."""

    time: float
    price: float
    size: float
    delay: float


@st.composite
def arrivals(draw: st.DrawFn, *, bound: int) -> list[Trade]:
    """Trades in the order of their arrival, each less than `bound` seconds late, or in time where it is 0."""
    trade = st.builds(
        Trade,
        time=st.integers(0, 1200).map(float),
        price=st.integers(1, 50).map(float),
        size=st.sampled_from([0.0, 0.1, 1.0, 3.7]),
        delay=st.integers(0, max(0, bound - 1)).map(float),
    )
    return sorted(draw(st.lists(trade, max_size=60)), key=lambda t: t.time + t.delay)


def offline(trades: list[Trade]) -> list[Bar]:
    """Groups all trades, given in order of arrival, into their bars."""
    bars = []
    by_interval = sorted(trades, key=lambda t: t.time // MINUTE)  # stable: arrival within an interval
    for interval, group in groupby(by_interval, key=lambda t: t.time // MINUTE):
        members = list(group)
        by_time = sorted(members, key=lambda t: t.time)
        prices = [t.price for t in members]
        volume = 0.0
        for t in members:
            volume += t.size
        bars.append(
            Bar(
                open_time=interval * MINUTE,
                open=by_time[0].price,
                high=max(prices),
                low=min(prices),
                close=by_time[-1].price,
                volume=volume,
            )
        )
    return bars


@given(data=st.data(), bound=st.sampled_from([0, 1, 30, 60, 90, 600]))
@settings(deadline=None, max_examples=200)
def test_any_interleaving_within_the_bound_gives_the_same_bars(data: st.DataObject, bound: int) -> None:
    """No trade is refused, each bar closes once, in order, complete; open bars stay within the bound."""
    trades = data.draw(arrivals(bound=bound))
    cuts = data.draw(st.sets(st.integers(0, 60)))
    aggregator = BarAggregator(bar_interval=MINUTE, lateness_bound=float(bound))
    closed: list[Bar] = []
    for index, trade in enumerate(trades):
        closed += aggregator.apply(trade.price, trade.size, trade.time)
        expected = offline(trades[: index + 1])
        assert closed + list(aggregator.partial()) == expected
        newest = max(t.time for t in trades[: index + 1])
        assert len(closed) == sum(bar.open_time + MINUTE + bound <= newest for bar in expected)
        assert len(aggregator.partial()) <= aggregator.max_open_bars
        if index in cuts:
            state = aggregator.to_bytes()
            aggregator = BarAggregator.from_bytes(state, bar_interval=MINUTE, lateness_bound=float(bound))
            assert aggregator.to_bytes() == state
    closed += aggregator.close_until(10_000.0)
    assert closed == offline(trades)
    assert aggregator.partial() == ()


EVENTS = st.lists(
    st.tuples(st.sampled_from(["trade", "trade", "trade", "watermark", "skip"]), st.integers(0, 900)), max_size=50
)


@given(events=EVENTS, bound=st.sampled_from([0, 45, 130]))
@settings(deadline=None, max_examples=200)
def test_any_events_keep_the_order_of_bars(events: list[tuple[str, int]], bound: int) -> None:
    """Refused exactly if the interval is closed; intervals never open again; bars leave in order, each once."""
    aggregator = BarAggregator(bar_interval=MINUTE, lateness_bound=float(bound))
    left: list[float] = []
    until = float("-inf")
    for kind, time in events:
        before = aggregator.to_bytes()
        if kind == "watermark":
            left += [bar.open_time for bar in aggregator.close_until(float(time))]
            until = max(until, time // MINUTE * MINUTE)
        elif kind == "skip":
            aggregator.skip(float(time))
            until = max(until, (time // MINUTE + 1) * MINUTE)
        elif time // MINUTE * MINUTE < until:
            with pytest.raises(InvalidTradeError, match="event_time"):
                aggregator.apply(1.0, 1.0, float(time))
            assert aggregator.to_bytes() == before
        else:
            left += [bar.open_time for bar in aggregator.apply(1.0, 1.0, float(time))]
            until = max(until, (time - bound) // MINUTE * MINUTE)
        assert (aggregator.closed_until or float("-inf")) == (until or float("-inf"))
        assert all(bar.open_time >= until for bar in aggregator.partial())
    assert left == sorted(set(left))
