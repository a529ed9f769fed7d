"""A tick session numbers ticks and builds messages; it needs no connection."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.client.fake_service import rich_status
from tickserve import (
    AuthenticationError,
    Bar,
    BarCorrection,
    FeatureRow,
    Gap,
    ModelVersion,
    NotFoundError,
    Opened,
    PreconditionError,
    ResumePolicy,
    StreamClosedError,
    SymbolState,
    TickserveError,
    Trade,
    TransportError,
    UnavailableError,
    WindowReset,
)
from tickserve.reconnect import BackOff, is_transient
from tickserve.session import BARS_PER_MESSAGE, TickSession
from tickserve.v1 import prediction_service_pb2, tick_pb2

response = prediction_service_pb2.StreamTicksResponse

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
        numbers.setdefault(symbol, []).append(session.tick(symbol, BAR))
    for symbol, got in numbers.items():
        first = states.get(symbol, 1)
        assert got == list(range(first, first + len(got)))


def test_a_number_of_the_callers_own_moves_the_count_on() -> None:
    """Feeds that number their own ticks may jump; the count never goes back."""
    session = TickSession("A")
    session.accept(opened(A=5))
    assert [session.tick("A", BAR, sequence=n) for n in (5, 9, 2)] == [5, 9, 2]
    assert session.tick("A", BAR) == 10


def test_a_tick_that_cannot_be_written_spends_no_number() -> None:
    """A refused event leaves no gap behind."""
    session = TickSession("A")
    with pytest.raises(ValueError, match="time zone"):
        session.tick("A", Bar(datetime(2026, 1, 2), 1.0, 1.0, 1.0, 1.0))  # noqa: DTZ001  # the point of the test
    assert session.tick("A", BAR) == 1


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
    session = TickSession("A")
    session.accept(opened(A=1))
    session.tick("A", event, event_time=START, valid_duration=0.25)
    request = session.take()
    assert request is not None
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
    messages = list(session.history(iter(bars(count)), last_sequence=77))
    assert [bar for chunk, _ in messages for bar in chunk] == [bar.to_proto() for bar in bars(count)]
    assert all(0 < len(chunk) <= BARS_PER_MESSAGE for chunk, _ in messages)
    assert [sequence for _, sequence in messages] == [0] * (len(messages) - 1) + [77] * bool(messages)


def test_ticks_continue_behind_a_numbered_history() -> None:
    """A history that ends at a number is followed by the next one."""
    session = TickSession("A")
    session.accept(opened(A=1))
    for chunk, last_sequence in session.history(bars(3), 41):
        session.put_history("A", chunk, last_sequence)
    assert session.tick("A", BAR) == 42


def test_a_stream_without_answers_holds_its_writer() -> None:
    """Unanswered ticks are never dropped; answered ones make room, oldest first, and their loss is told."""
    session = TickSession("A", buffer_size=3)
    session.accept(opened(A=1))
    for _ in range(3):
        session.tick("A", BAR)
    assert not session.has_room("A")
    while session.take():
        pass
    session.read(response(progress=tick_pb2.TickProgress(symbol="A", sequence=1)))
    assert session.has_room("A")
    session.tick("A", BAR)
    assert (session.buffered_count, session.has_room("A")) == (3, False)
    session.events.clear()
    session.disconnected()
    session.accept(opened(A=1))  # a service that has lost all
    assert list(session.events) == [Gap("A", 2, 1, 1)]
    assert [message.tick.sequence for message in iter(session.take, None)] == [2, 3, 4]


def test_what_is_durable_and_answered_is_forgotten() -> None:
    """Neither alone will do."""
    session = TickSession("A")
    session.accept(opened(A=1))
    for _ in range(3):
        session.tick("A", BAR)
    session.read(response(durable=tick_pb2.TickDurable(symbol="A", sequence=2)))
    assert session.buffered_count == 3
    for number in (1, 2, 3):
        session.read(response(progress=tick_pb2.TickProgress(symbol="A", sequence=number)))
    assert session.buffered_count == 1


def test_a_symbol_that_was_taken_over_is_not_taken_back() -> None:
    """Two clients must not tear a symbol from each other at every break; with no symbol left, the session is over."""
    session = TickSession("AB")
    session.accept(opened(A=1, B=1))
    error = rich_status(grpc.StatusCode.FAILED_PRECONDITION, "SYMBOL_NOT_OPEN")
    assert session.read(response(error=tick_pb2.TickError(symbol="A", error=error))) is not None
    session.disconnected()
    assert list(session.open_request().open.symbols) == ["B"]
    session.read(response(error=tick_pb2.TickError(symbol="B", error=error)))
    with pytest.raises(PreconditionError, match="SYMBOL_NOT_OPEN"):
        session.open_request()


@pytest.mark.parametrize(
    "error",
    [
        rich_status(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_TICK", fields={"tick.bar": "bad"}),
        rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_delay=0.5),
    ],
)
def test_a_refused_tick_is_not_sent_again_and_its_number_is_free(error: Any) -> None:
    """The service has not applied it: mended, or later, it goes under the same number."""
    session = TickSession("A")
    session.accept(opened(A=1))
    session.tick("A", BAR)
    assert session.read(response(error=tick_pb2.TickError(symbol="A", sequence=1, error=error))) is not None
    assert session.buffered_count == 0
    assert session.tick("A", BAR, sequence=1) == 1
    assert session.buffered_count == 1


def test_no_more_bars_are_on_their_way_than_can_be_made_good() -> None:
    """Each answer lets one more go; trades do not count, since many make one bar."""
    session = TickSession("A", max_unanswered=2)
    session.accept(opened(A=1))
    for _ in range(4):
        session.tick("A", BAR)
    assert [message.tick.sequence for message in iter(session.take, None)] == [1, 2]
    session.read(response(progress=tick_pb2.TickProgress(symbol="A", sequence=1)))
    assert [message.tick.sequence for message in iter(session.take, None)] == [3]
    trades = TickSession("A", max_unanswered=2)
    trades.accept(opened(A=1))
    for _ in range(4):
        trades.tick("A", Trade(1.0, 1.0), event_time=START)
    assert len(list(iter(trades.take, None))) == 4


def test_another_writer_in_between_is_a_gap() -> None:
    """What somebody else sent meanwhile is not taken for our own."""
    session = TickSession("A")
    session.accept(opened(A=1))
    session.tick("A", BAR)
    session.take()
    session.events.clear()
    session.disconnected()
    session.accept(opened(A=5))
    assert list(session.events) == [Gap("A", 5, 2, 4)]
    assert session.tick("A", BAR) == 5


def test_a_wait_is_drawn_from_twice_the_last_and_starts_anew_after_an_answer() -> None:
    """Full jitter up to a bound; the service's own delay is kept to; giving up counts from the last answer."""
    now = 0.0
    policy = ResumePolicy(initial_delay=1.0, max_delay=4.0, give_up_after=10.0)
    back_off = BackOff(policy, chance=lambda: 1.0, clock=lambda: now)
    error = UnavailableError("gone")
    assert [back_off.next_delay(error) for _ in range(4)] == [1.0, 2.0, 4.0, 4.0]
    back_off.succeeded()
    assert back_off.next_delay(UnavailableError("later", retry_delay=0.5)) == 1.5
    now = 10.0
    assert back_off.next_delay(error) is None


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (UnavailableError("draining"), True),
        (TransportError("reset", code=grpc.StatusCode.UNAVAILABLE), True),
        (TransportError("no application", code=grpc.StatusCode.NOT_FOUND), True),
        (NotFoundError("no model", reason="MODEL_NOT_FOUND"), False),
        (TransportError("too large", code=grpc.StatusCode.RESOURCE_EXHAUSTED), False),
        (AuthenticationError("who?"), False),
        (PreconditionError("not open"), False),
        (StreamClosedError("closed"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: TickserveError, transient: bool) -> None:
    """A caller's mistake stays one."""
    assert is_transient(error) is transient
