"""Laws of reading ticks: what is valid is read exactly, what is not is refused with its path, reason and figures.

Each refusal of a bar and a tick is also told over a socket: `tests.support.bad_input`.
"""

import math
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from model.bar import Bar
from server.refusal import Reason, Refusal
from server.rpc.decode_ticks import read_bar, read_history, read_resume, read_tick, read_watermark
from server.ticks.tick_event import Correction, FeatureRow, Reset, ResumePoint, Trade
from tests.support import messages as m
from tests.support.registry import make_config
from tickserve.v1 import tick_pb2

LATE = Timestamp(seconds=m.START + 3600)


def refusal_of(function: Any, *arguments: Any, **options: Any) -> Refusal:
    """Returns how a call is refused."""
    with pytest.raises(Refusal) as caught:
        function(*arguments, **options)
    return caught.value


def test_a_bar_is_read_exactly() -> None:
    """Every field lands in its place, unrounded."""
    message = m.bar(
        start_time=Timestamp(seconds=m.START, nanos=500_000_000), open_price=0.1, high_price=0.3, low_price=0.05,
        close_price=0.2, volume=1 / 3,
    )  # fmt: skip
    expected = Bar(open_time=m.START + 0.5, open=0.1, high=0.3, low=0.05, close=0.2, volume=1 / 3)
    assert read_bar(message) == expected


def test_a_bars_fault_is_told_in_the_contracts_words() -> None:
    """The refusal names the contract's field and says what is wrong with it."""
    refusal = refusal_of(read_bar, m.bar(high_price=1.0))
    assert refusal.field == "high_price"
    assert refusal.message.startswith("high_price is 1.0")


def test_a_historys_bad_bar_is_found() -> None:
    """The index of the first bad bar is in the path."""
    refusal = refusal_of(read_history, m.history("A", [m.bar(0), m.bar(1, volume=-1), m.bar(2, volume=-1)]).history)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "bars[1].volume")


def test_ticks_become_domain_values() -> None:
    """Bars, trades, feature rows, corrections and resets, with times and validity."""
    config = make_config()
    bar = read_tick(m.tick("A", 7, event_time=Timestamp(seconds=5), valid_duration=m.duration(2)).tick, config)
    assert (bar.symbol, bar.sequence, bar.event_time, bar.valid_duration) == ("A", 7, 5.0, 2.0)
    assert isinstance(bar.event, Bar)
    row = read_tick(m.tick("A", features=tick_pb2.FeatureRow(values=range(50))).tick, config)
    assert isinstance(row.event, FeatureRow)
    assert row.event.values.tolist() == list(range(50))
    trade = read_tick(m.tick("A", trade=tick_pb2.Trade(price=1.5, size=0.25)).tick, config)
    assert trade.event == Trade(price=1.5, size=0.25)
    correction = read_tick(m.tick("A", correction=tick_pb2.BarCorrection(bar=m.bar(3))).tick, config)
    assert correction.event == Correction(read_bar(m.bar(3)))
    assert isinstance(read_tick(m.tick("A", reset=tick_pb2.WindowReset()).tick, config).event, Reset)


@pytest.mark.parametrize("sequence", [1, 2**63 - 2])
def test_sequences_leave_room_for_the_next(sequence: int) -> None:
    """The greatest sequence is one below int64's end, because answers name the next one."""
    assert read_tick(m.tick("A", sequence, bar=m.bar()).tick, make_config()).sequence == sequence
    assert read_history(m.history("A", [], sequence).history) == []


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_rows_bad_value_is_found(value: float) -> None:
    """The index of the first bad value is told."""
    values = [0.0] * 50
    values[17] = values[40] = value
    refusal = refusal_of(read_tick, m.tick("A", features=tick_pb2.FeatureRow(values=values)).tick, make_config())
    assert (refusal.field, refusal.metadata) == ("features.values", {"index": "17"})


def test_resume_points_are_read() -> None:
    """With the end of the newest answered bar where it is given; zero is a time like others."""
    points = [
        tick_pb2.ResumePoint(symbol="A", last_answered_sequence=7),
        tick_pb2.ResumePoint(symbol="B", last_answered_as_of_time=Timestamp()),
    ]
    assert read_resume(points) == [
        ResumePoint(symbol="A", sequence=7),
        ResumePoint(symbol="B", sequence=0, as_of_time=0.0),
    ]
    points[1].last_answered_as_of_time.nanos = -1
    refusal = refusal_of(read_resume, points)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "resume[1].last_answered_as_of_time")


@pytest.mark.parametrize(
    ("read", "message", "field"),
    [
        (read_watermark, tick_pb2.Watermark(event_time=LATE), "event_time"),
        (read_history, m.history("A", [m.bar(0), m.bar(1)]).history, "bars[1].start_time"),
        *(
            (lambda tick, latest: read_tick(tick, make_config(), latest=latest), tick.tick, field)
            for tick, field in (
                (m.tick("A", bar=m.bar(1)), "bar.start_time"),
                (m.tick("A", bar=m.bar(0), event_time=LATE), "event_time"),
                (m.tick("A", trade=tick_pb2.Trade(price=1, size=1), event_time=LATE), "event_time"),
                (m.tick("A", features=tick_pb2.FeatureRow(values=[0.0] * 50), event_time=LATE), "event_time"),
                (m.tick("A", correction=tick_pb2.BarCorrection(bar=m.bar(1))), "correction.bar.start_time"),
            )
        ),
    ],
)
def test_times_far_ahead_are_refused(read: Callable[..., object], message: Any, field: str) -> None:
    """The latest time itself is taken, one just after it is not: it would close every bar for good."""
    read(message, latest=m.START + 3600.0)
    refusal = refusal_of(read, message, latest=m.START + 3599.9)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, field)
    assert refusal.metadata == {"have": f"{m.START + 3600}.000", "latest": f"{m.START + 3599}.900"}


def test_a_watermark_needs_a_time() -> None:
    """Without one it would say nothing."""
    refusal = refusal_of(read_watermark, tick_pb2.Watermark())
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "event_time")
