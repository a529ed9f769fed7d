"""A tick session numbers ticks and builds messages; it needs no connection."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickserve import Bar, BarCorrection, FeatureRow, ModelVersion, Opened, SymbolState, Trade, WindowReset
from tickserve.session import BARS_PER_MESSAGE, TickSession

START = datetime(2026, 1, 2, tzinfo=UTC)
BAR = Bar(START, 1.0, 2.0, 0.5, 1.5, 10.0)


def bars(count: int) -> list[Bar]:
    """Returns hourly bars."""
    return [Bar(START + timedelta(hours=n), 1.0, 1.0, 1.0, 1.0) for n in range(count)]


def opened(**next_sequences: int) -> Opened:
    """Returns the service's word that each symbol expects a number next."""
    states = {symbol: SymbolState(number - 1, number, 0, 3) for symbol, number in next_sequences.items()}
    return Opened(ModelVersion("m", 1, ""), "", 3600.0, 0.0, states)


def test_the_first_message_says_it_all() -> None:
    """`open` carries each choice."""
    session = TickSession(
        ["A", "B"], model="m:2", priority="real_time", predict_every=3, predict_partial=True, conflate=True
    )
    message = session.open_request().open
    assert list(message.symbols) == ["A", "B"]
    assert (message.model.name, message.model.version, message.priority) == ("m", 2, 1)
    assert (message.predict_every, message.predict_partial, message.conflate) == (3, True, True)


def test_one_symbol_needs_no_list() -> None:
    """A bare name is one symbol, not one per letter."""
    assert list(TickSession("EURUSD").open_request().open.symbols) == ["EURUSD"]


def test_a_session_needs_a_symbol() -> None:
    """An empty session is the caller's mistake."""
    with pytest.raises(ValueError, match="at least one symbol"):
        TickSession([])


@given(st.dictionaries(st.sampled_from("ABC"), st.integers(1, 1000), min_size=1), st.lists(st.sampled_from("ABC")))
def test_each_symbol_counts_on_from_where_the_service_stands(states: dict[str, int], ticks: list[str]) -> None:
    """Numbers of a symbol follow each other without a gap, whatever the other symbols do."""
    session = TickSession("ABC")
    session.accept(opened(**states))
    numbers: dict[str, list[int]] = {}
    for symbol in ticks:
        numbers.setdefault(symbol, []).append(session.tick(symbol, BAR)[0])
    for symbol, got in numbers.items():
        first = states.get(symbol, 1)
        assert got == list(range(first, first + len(got)))


def test_a_number_of_the_callers_own_moves_the_count_on() -> None:
    """Feeds that number their own ticks may jump; the count never goes back."""
    session = TickSession("A")
    session.accept(opened(A=5))
    assert [session.tick("A", BAR, sequence=n)[0] for n in (5, 9, 2)] == [5, 9, 2]
    assert session.tick("A", BAR)[0] == 10


def test_a_tick_that_cannot_be_written_spends_no_number() -> None:
    """A refused event leaves no gap behind."""
    session = TickSession("A")
    with pytest.raises(ValueError, match="time zone"):
        session.tick("A", Bar(datetime(2026, 1, 2), 1.0, 1.0, 1.0, 1.0))  # noqa: DTZ001  # the point of the test
    assert session.tick("A", BAR)[0] == 1


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (BAR, "bar"),
        (Trade(1.5, 2.0), "trade"),
        (FeatureRow(np.arange(3), "schema-1"), "features"),
        (BarCorrection(BAR), "correction"),
        (WindowReset("halt"), "reset"),
    ],
)
def test_every_kind_of_event_has_its_field(event: Any, kind: str) -> None:
    """Each event is sent as what it is."""
    _, request = TickSession("A").tick("A", event, event_time=START, valid_duration=0.25)
    assert request.tick.WhichOneof("event") == kind
    assert request.tick.event_time.ToDatetime(tzinfo=UTC) == START
    assert request.tick.valid_duration.nanos == 250_000_000


def test_a_bar_keeps_its_prices_apart() -> None:
    """No price is mistaken for another."""
    message = BAR.to_proto()
    assert (message.open_price, message.high_price, message.low_price, message.close_price, message.volume) == (
        1.0,
        2.0,
        0.5,
        1.5,
        10.0,
    )


def test_features_are_one_row() -> None:
    """A table of features is not a tick."""
    with pytest.raises(ValueError, match="features"):
        TickSession("A").tick("A", FeatureRow(np.zeros((2, 3))))


@pytest.mark.parametrize("count", [0, 1, BARS_PER_MESSAGE, BARS_PER_MESSAGE + 1, 2 * BARS_PER_MESSAGE])
def test_history_is_cut_into_messages(count: int) -> None:
    """All bars are sent once, in order, in messages of bounded size; only the last moves the sequence."""
    session = TickSession("A")
    messages = [request.history for request in session.history("A", iter(bars(count)), last_sequence=77)]
    assert [bar for message in messages for bar in message.bars] == [bar.to_proto() for bar in bars(count)]
    assert all(0 < len(message.bars) <= BARS_PER_MESSAGE for message in messages)
    assert [message.last_sequence for message in messages] == [0] * (len(messages) - 1) + [77] * bool(messages)


def test_ticks_continue_behind_a_numbered_history() -> None:
    """A history that ends at a number is followed by the next one."""
    session = TickSession("A")
    list(session.history("A", bars(3), last_sequence=41))
    assert session.tick("A", BAR)[0] == 42
