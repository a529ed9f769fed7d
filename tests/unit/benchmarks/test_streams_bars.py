"""Ticks made of real bars are valid, in order, and give every symbol windows of its own."""

import hashlib
import math
from itertools import pairwise

import pytest

from benchmarks.peers import catalogue
from benchmarks.streams.bars import BarSource, symbol_name
from benchmarks.streams.exactness import offline_window
from model.bar import Bar
from model.bar_file import read_bars
from model.dataset import SAMPLE_REACH
from tickserve.v1 import tick_pb2
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest

BARS = read_bars(catalogue.ROOT / "data" / "eurusd_1h.csv", limit=400)
HOUR = 3600.0


@pytest.fixture
def source() -> BarSource:
    """Makes ticks of 400 bars."""
    return BarSource(BARS)


def test_a_symbol_s_bars_go_on_for_ever(source: BarSource) -> None:
    """Over the file's end, too: each bar begins after the one before it, at the same hour of the week as there."""
    times = [source.bar(3, index).open_time for index in range(1300)]
    assert all(before < after for before, after in pairwise(times))
    for index in range(0, 1300, 97):
        original = BARS[(3 * 7 + index) % 400].open_time
        assert math.isclose((times[index] - original) % (7 * 86_400), 0.0, abs_tol=1e-6)


def test_no_window_comes_twice(source: BarSource) -> None:
    """Not from symbol to symbol, nor from lap to lap of the file."""
    places = [(number, 0) for number in (0, 1, 2, 57, 58, 9_999)] + [(0, 400), (0, 800), (57, 1), (58, 400)]
    digests = set()
    for number, first in places:
        bars = [source.bar(number, index) for index in range(first, first + SAMPLE_REACH)]
        digests.add(hashlib.sha256(offline_window(bars, bar_interval=HOUR).raw_float32).hexdigest())
    assert len(digests) == len(places)


def test_a_tick_carries_the_bar(source: BarSource) -> None:
    """To the last bit, under the sequence that belongs to it."""
    tick = StreamTicksRequest.FromString(source.tick(5, 390, valid_duration=1.5)).tick
    assert (tick.symbol, tick.sequence) == (symbol_name(5), 390)
    assert tick.valid_duration.ToNanoseconds() == 1_500_000_000
    assert _bar(tick.bar) == source.bar(5, 389)


def test_a_history_is_what_ticks_would_have_been(source: BarSource) -> None:
    """The next tick follows it."""
    history = StreamTicksRequest.FromString(source.history(8, 200)).history
    assert (history.symbol, history.last_sequence) == (symbol_name(8), 200)
    assert [_bar(bar) for bar in history.bars] == [source.bar(8, index) for index in range(200)]


def test_no_duration_is_no_duration(source: BarSource) -> None:
    """The server's default holds."""
    assert not StreamTicksRequest.FromString(source.tick(0, 1)).tick.HasField("valid_duration")


def _bar(message: tick_pb2.Bar) -> Bar:
    return Bar(
        open_time=message.start_time.ToNanoseconds() / 1e9,
        open=message.open_price,
        high=message.high_price,
        low=message.low_price,
        close=message.close_price,
        volume=message.volume,
    )
