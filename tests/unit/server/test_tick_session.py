"""Laws of a tick session: each tick is applied once, in order, before anything else is asked of it."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from batching import PriorityClass
from model.bar import Bar
from server.refusal import Reason, Refusal
from server.served_model import ServedModel
from server.tick_session import DuePrediction, Event, FeatureRow, Gap, Progress, Reset, Tick, TickSession
from server.window_store import WindowStore
from tests.support.fakes import served_model
from tests.support.registry import real_bars, real_windows

NEED = 120


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars."""
    real_windows()
    return real_bars(300)


@pytest.fixture
def store() -> WindowStore:
    """A store with room."""
    return WindowStore(max_symbols=10)


@pytest.fixture
def model(bars: tuple[Bar, ...]) -> ServedModel:
    """A model of the real schema."""
    return served_model()


def open_session(
    store: WindowStore,
    model: ServedModel,
    *symbols: str,
    predict_every: int = 1,
    resume: Sequence[tuple[str, int]] = (),
) -> TickSession:
    """Returns a session of the symbols, or of A."""
    return TickSession(
        store=store,
        model=model,
        priority=PriorityClass.STANDARD,
        symbols=symbols or ("A",),
        predict_every=predict_every,
        resume=resume,
    )


def tick(sequence: int, bar: Bar, symbol: str = "A") -> Tick:
    """Returns a bar's tick."""
    return Tick(symbol=symbol, sequence=sequence, event=bar)


def refusal_of(session: TickSession, event: Tick) -> Refusal:
    """Returns how a tick is refused."""
    with pytest.raises(Refusal) as caught:
        session.apply(event)
    return caught.value


def test_every_bar_past_the_warm_up_is_due(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """119 acknowledgements, then one prediction a bar, each with the training set's window and its own evidence."""
    session = open_session(store, model)
    expected = real_windows(200 - NEED + 1)
    for index, bar in enumerate(bars[:200]):
        [event] = session.apply(tick(index + 1, bar))
        if index < NEED - 1:
            assert event == Progress(symbol="A", sequence=index + 1, have=index + 1, need=NEED)
        else:
            assert isinstance(event, DuePrediction)
            assert (event.symbol, event.sequence, event.origin.last_sequence) == ("A", index + 1, index + 1)
            assert event.origin.as_of_time == bar.open_time + 3600
            assert np.array_equal(event.window, expected[index - NEED + 1])


def test_predictions_are_due_at_every_nth_bar(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """The bars between are applied all the same."""
    session = open_session(store, model, predict_every=7)
    due = [
        event
        for index, bar in enumerate(bars[:200])
        for event in session.apply(tick(index + 1, bar))
        if isinstance(event, DuePrediction)
    ]
    assert {later.sequence - earlier.sequence for earlier, later in itertools.pairwise(due)} == {7}
    assert np.array_equal(due[-1].window, real_windows(200)[due[-1].sequence - NEED])


def test_history_leads_to_no_prediction(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """It fills the window and sets the sequence; the next bar is due."""
    session = open_session(store, model)
    assert session.apply_history("A", bars[:150], 150) == [Progress(symbol="A", sequence=150, have=NEED, need=NEED)]
    [event] = session.apply(tick(151, bars[150]))
    assert isinstance(event, DuePrediction)
    assert np.array_equal(event.window, real_windows(200)[150 - NEED + 1])


def test_history_without_sequence_leaves_it(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Zero means: as it stands."""
    session = open_session(store, model)
    session.apply_history("A", bars[:10], 7)
    session.apply_history("A", bars[10:20], 0)
    assert session.windows["A"].last_sequence == 7


def test_history_may_be_sent_again(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Bars that the window holds already are passed over; only the newer ones are applied."""
    session = open_session(store, model)
    session.apply_history("A", bars[:130], 130)
    session.apply_history("A", bars[100:150], 150)
    assert np.array_equal(session.windows["A"].window(), real_windows(200)[150 - NEED])
    session.apply_history("A", bars[:150], 0)
    assert np.array_equal(session.windows["A"].window(), real_windows(200)[150 - NEED])


@pytest.mark.parametrize(("bad", "sequence"), [("disorder", 200), ("sequence", 99)])
def test_a_refused_history_leaves_all_as_it_was(
    store: WindowStore, model: ServedModel, bars: tuple[Bar, ...], bad: str, sequence: int
) -> None:
    """Neither its bars nor its sequence count, and the right one can follow."""
    session = open_session(store, model)
    session.apply_history("A", bars[:130], 130)
    before = session.windows["A"].window()
    batch = [*bars[130:140], bars[135]] if bad == "disorder" else list(bars[130:140])
    with pytest.raises(Refusal) as caught:
        session.apply_history("A", batch, sequence)
    assert caught.value.reason is Reason.INVALID_TICK
    assert np.array_equal(session.windows["A"].window(), before)
    assert session.windows["A"].last_sequence == 130
    session.apply_history("A", bars[130:140], 140)


def test_a_refused_tick_may_be_sent_again_mended(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """It leaves sequence and window where they were; the path names the tick's bar."""
    session = open_session(store, model)
    session.apply(tick(1, bars[5]))
    refusal = refusal_of(session, tick(2, bars[5]))
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "bar.start_time")
    assert session.windows["A"].last_sequence == 1
    assert session.apply(tick(2, bars[6])) == [Progress(symbol="A", sequence=2, have=2, need=NEED)]


def test_duplicates_are_acknowledged_and_ignored(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Whatever a repeated number carries, the window does not change and nothing is due again."""
    session = open_session(store, model)
    session.apply_history("A", bars[:150], 150)
    before = session.windows["A"].window()
    for sequence in (150, 1):
        [event] = session.apply(tick(sequence, bars[200]))
        assert event == Progress(symbol="A", sequence=sequence, have=NEED, need=NEED, duplicate=True)
    assert np.array_equal(session.windows["A"].window(), before)


def test_a_gap_is_told_before_its_tick(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Numbers jumped over are named, then the tick is applied."""
    session = open_session(store, model)
    session.apply(tick(1, bars[0]))
    assert session.apply(tick(5, bars[1])) == [
        Gap(symbol="A", sequence=5, first_missing=2, last_missing=4),
        Progress(symbol="A", sequence=5, have=2, need=NEED),
    ]
    first: list[Event] = open_session(store, model, "B").apply(tick(3, bars[0], "B"))
    assert first[0] == Gap(symbol="B", sequence=3, first_missing=1, last_missing=2)


def test_a_reset_counts_as_a_tick(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """It empties the window, takes its number, and nothing is due until the window is full again."""
    session = open_session(store, model)
    session.apply_history("A", bars[:150], 150)
    assert session.apply(Tick(symbol="A", sequence=151, event=Reset())) == [
        Progress(symbol="A", sequence=151, have=0, need=NEED)
    ]
    [event] = session.apply(tick(152, bars[0]))
    assert event == Progress(symbol="A", sequence=152, have=1, need=NEED)


def test_rows_need_no_warm_up(store: WindowStore, model: ServedModel) -> None:
    """Sixty ready rows make the first prediction due; its time is the tick's."""
    session = open_session(store, model)
    events = [
        session.apply(Tick(symbol="A", sequence=n, event=FeatureRow(np.full(50, n, np.float32)), event_time=float(n)))[
            -1
        ]
        for n in range(1, 62)
    ]
    due = [event for event in events if isinstance(event, DuePrediction)]
    assert [event.sequence for event in due] == [60, 61]
    assert due[0].window[0].tolist() == list(range(1, 61))
    assert due[1].origin.as_of_time == 61.0


def test_unopened_symbols_are_refused(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Ticks and histories alike."""
    session = open_session(store, model)
    assert refusal_of(session, tick(1, bars[0], "B")).reason is Reason.SYMBOL_NOT_OPEN
    with pytest.raises(Refusal) as caught:
        session.apply_history("B", [], 0)
    assert caught.value.reason is Reason.SYMBOL_NOT_OPEN


def test_a_later_open_takes_the_symbol_over(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """The old stream's ticks and histories change nothing any more; its other symbols are still its own."""
    old = open_session(store, model, "A", "B")
    old.apply(tick(1, bars[0]))
    new = open_session(store, model, "A")
    assert refusal_of(old, tick(2, bars[1])).metadata == {"symbol": "A"}
    with pytest.raises(Refusal):
        old.apply_history("A", bars[:5], 0)
    old.apply(tick(1, bars[0], "B"))
    assert new.apply(tick(2, bars[1])) == [Progress(symbol="A", sequence=2, have=2, need=NEED)]
    old.close()
    assert refusal_of(old, tick(3, bars[2])).reason is Reason.SYMBOL_NOT_OPEN


@pytest.mark.parametrize(
    ("symbols", "resume", "reason", "field"),
    [
        (("A", "B B"), (), Reason.INVALID_SYMBOL, "symbols[1]"),
        (("A", *map(str, range(10))), (), Reason.LIMIT_EXCEEDED, "symbols"),
        (("A",), (("A", 1), ("B", 1)), Reason.SYMBOL_NOT_OPEN, ""),
        (("A",), (("A", -1),), Reason.INVALID_TICK, "resume[0].last_answered_sequence"),
    ],
)
def test_a_refused_open_takes_no_symbol_over(
    store: WindowStore,
    model: ServedModel,
    bars: tuple[Bar, ...],
    symbols: tuple[str, ...],
    resume: tuple[tuple[str, int], ...],
    reason: Reason,
    field: str,
) -> None:
    """The stream that has the symbol goes on as if nothing had been tried."""
    session = open_session(store, model)
    with pytest.raises(Refusal) as caught:
        open_session(store, model, *symbols, resume=resume)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    session.apply(tick(1, bars[0]))
    session.close()
    assert len(store) == 1


def test_a_returning_client_hears_what_it_missed(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Ticks that were applied and not answered are a gap, never silence; it goes on at the next number."""
    first = open_session(store, model)
    first.apply_history("A", bars[:130], 130)
    first.close()
    second = open_session(store, model, resume=[("A", 127)])
    assert second.missed == [Gap(symbol="A", sequence=130, first_missing=128, last_missing=130)]
    assert open_session(store, model, resume=[("A", 130)]).missed == []
    assert open_session(store, model, resume=[("A", 999)]).missed == []


def test_closing_twice_lets_go_once(store: WindowStore, model: ServedModel) -> None:
    """A second close does not free another stream's hold."""
    first, second = open_session(store, model), open_session(store, model)
    first.close()
    first.close()
    [window] = second.windows.values()
    assert window.holders == 1
