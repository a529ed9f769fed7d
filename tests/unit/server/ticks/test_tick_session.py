"""Laws of a tick session: each tick is applied once, in order, before anything else is asked of it."""

import itertools

import numpy as np
import pytest

from model.bar import Bar
from server.models.served_model import ServedModel
from server.refusal import Reason, Refusal
from server.ticks.tick_event import DuePrediction, Event, FeatureRow, Gap, Progress, Reset, ResumePoint, Tick
from server.windows.memory_window_store import MemoryWindowStore
from server.windows.window_store import WindowStore
from tests.support.fakes import served_model
from tests.support.registry import real_bars, real_windows
from tests.support.sessions import Heard, bar_tick, open_session, refusal_of

NEED = 120


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars."""
    real_windows()
    return real_bars(300)


@pytest.fixture
def store() -> WindowStore:
    """A store with room."""
    return MemoryWindowStore(max_symbols=10)


@pytest.fixture
def model(bars: tuple[Bar, ...]) -> ServedModel:
    """A model of the real schema."""
    return served_model()


async def test_every_bar_past_the_warm_up_is_due(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """119 acknowledgements, then one prediction a bar, each with the training set's window and its own evidence."""
    session = await open_session(store, model)
    expected = real_windows(200 - NEED + 1)
    for index, bar in enumerate(bars[:200]):
        [event] = session.apply(bar_tick(index + 1, bar))
        if index < NEED - 1:
            assert event == Progress(symbol="A", sequence=index + 1, have=index + 1, need=NEED)
        else:
            assert isinstance(event, DuePrediction)
            assert (event.symbol, event.sequence, event.origin.last_sequence) == ("A", index + 1, index + 1)
            assert event.origin.as_of_time == bar.open_time + 3600
            assert np.array_equal(event.window, expected[index - NEED + 1])


async def test_predictions_are_due_at_every_nth_bar(
    store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """The bars between are applied all the same."""
    session = await open_session(store, model, predict_every=7)
    due = [
        event
        for index, bar in enumerate(bars[:200])
        for event in session.apply(bar_tick(index + 1, bar))
        if isinstance(event, DuePrediction)
    ]
    assert {later.sequence - earlier.sequence for earlier, later in itertools.pairwise(due)} == {7}
    assert np.array_equal(due[-1].window, real_windows(200)[due[-1].sequence - NEED])


async def test_history_leads_to_no_prediction(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """It fills the window and sets the sequence; the next bar is due."""
    session = await open_session(store, model)
    assert await session.apply_history("A", bars[:150], 150) == [
        Progress(symbol="A", sequence=150, have=NEED, need=NEED)
    ]
    [event] = session.apply(bar_tick(151, bars[150]))
    assert isinstance(event, DuePrediction)
    assert np.array_equal(event.window, real_windows(200)[150 - NEED + 1])


async def test_history_without_sequence_leaves_it(
    store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """Zero means: as it stands."""
    session = await open_session(store, model)
    await session.apply_history("A", bars[:10], 7)
    await session.apply_history("A", bars[10:20], 0)
    assert session.windows["A"].last_sequence == 7


async def test_history_may_be_sent_again(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Bars that the window holds already are passed over; only the newer ones are applied."""
    session = await open_session(store, model)
    await session.apply_history("A", bars[:130], 130)
    await session.apply_history("A", bars[100:150], 150)
    assert np.array_equal(session.windows["A"].window(), real_windows(200)[150 - NEED])
    await session.apply_history("A", bars[:150], 0)
    assert np.array_equal(session.windows["A"].window(), real_windows(200)[150 - NEED])


@pytest.mark.parametrize(("bad", "sequence"), [("disorder", 200), ("sequence", 99)])
async def test_a_refused_history_leaves_all_as_it_was(
    store: WindowStore, model: ServedModel, bars: tuple[Bar, ...], bad: str, sequence: int
) -> None:
    """Neither its bars nor its sequence count, and the right one can follow."""
    session = await open_session(store, model)
    await session.apply_history("A", bars[:130], 130)
    before = session.windows["A"].window()
    batch = [*bars[130:140], bars[135]] if bad == "disorder" else list(bars[130:140])
    with pytest.raises(Refusal) as caught:
        await session.apply_history("A", batch, sequence)
    assert caught.value.reason is Reason.INVALID_TICK
    assert np.array_equal(session.windows["A"].window(), before)
    assert session.windows["A"].last_sequence == 130
    await session.apply_history("A", bars[130:140], 140)


async def test_a_refused_tick_may_be_sent_again_mended(
    store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """It leaves sequence and window where they were; the path names the tick's bar."""
    session = await open_session(store, model)
    session.apply(bar_tick(1, bars[5]))
    refusal = refusal_of(session, bar_tick(2, bars[5]))
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "bar.start_time")
    assert session.windows["A"].last_sequence == 1
    assert session.apply(bar_tick(2, bars[6])) == [Progress(symbol="A", sequence=2, have=2, need=NEED)]


async def test_duplicates_are_acknowledged_and_ignored(
    store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """Whatever a repeated number carries, the window does not change and nothing is due again."""
    session = await open_session(store, model)
    await session.apply_history("A", bars[:150], 150)
    before = session.windows["A"].window()
    for sequence in (150, 1):
        [event] = session.apply(bar_tick(sequence, bars[200]))
        assert event == Progress(symbol="A", sequence=sequence, have=NEED, need=NEED, duplicate=True)
    assert np.array_equal(session.windows["A"].window(), before)


async def test_a_gap_is_told_before_its_tick(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Numbers jumped over are named, then the tick is applied."""
    session = await open_session(store, model)
    session.apply(bar_tick(1, bars[0]))
    assert session.apply(bar_tick(5, bars[1])) == [
        Gap(symbol="A", sequence=5, first_missing=2, last_missing=4),
        Progress(symbol="A", sequence=5, have=2, need=NEED),
    ]
    other = await open_session(store, model, "B")
    first: list[Event] = other.apply(bar_tick(3, bars[0], "B"))
    assert first[0] == Gap(symbol="B", sequence=3, first_missing=1, last_missing=2)


async def test_a_reset_counts_as_a_tick(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """It empties the window, takes its number, and nothing is due until the window is full again."""
    session = await open_session(store, model)
    await session.apply_history("A", bars[:150], 150)
    assert session.apply(Tick(symbol="A", sequence=151, event=Reset())) == [
        Progress(symbol="A", sequence=151, have=0, need=NEED)
    ]
    [event] = session.apply(bar_tick(152, bars[0]))
    assert event == Progress(symbol="A", sequence=152, have=1, need=NEED)


async def test_rows_need_no_warm_up(store: WindowStore, model: ServedModel) -> None:
    """Sixty ready rows make the first prediction due; its time is the tick's."""
    session = await open_session(store, model)
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


async def test_unopened_symbols_are_refused(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Ticks and histories alike."""
    session = await open_session(store, model)
    assert refusal_of(session, bar_tick(1, bars[0], "B")).reason is Reason.SYMBOL_NOT_OPEN
    with pytest.raises(Refusal) as caught:
        await session.apply_history("B", [], 0)
    assert caught.value.reason is Reason.SYMBOL_NOT_OPEN


async def test_a_later_open_takes_the_symbol_over(
    store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """The old stream's ticks and histories change nothing any more; its other symbols are still its own."""
    old = await open_session(store, model, "A", "B")
    old.apply(bar_tick(1, bars[0]))
    new = await open_session(store, model, "A")
    assert refusal_of(old, bar_tick(2, bars[1])).metadata == {"symbol": "A"}
    with pytest.raises(Refusal):
        await old.apply_history("A", bars[:5], 0)
    old.apply(bar_tick(1, bars[0], "B"))
    assert new.apply(bar_tick(2, bars[1])) == [Progress(symbol="A", sequence=2, have=2, need=NEED)]
    old.close()
    assert refusal_of(old, bar_tick(3, bars[2])).reason is Reason.SYMBOL_NOT_OPEN


@pytest.mark.parametrize(
    ("symbols", "reason", "field"),
    [
        (("A", "B B"), Reason.INVALID_SYMBOL, "symbols[1]"),
        (("A", *map(str, range(10))), Reason.LIMIT_EXCEEDED, "symbols"),
    ],
)
async def test_a_refused_open_takes_no_symbol_over(
    store: WindowStore,
    model: ServedModel,
    bars: tuple[Bar, ...],
    symbols: tuple[str, ...],
    reason: Reason,
    field: str,
) -> None:
    """The stream that has the symbol goes on as if nothing had been tried."""
    session = await open_session(store, model)
    with pytest.raises(Refusal) as caught:
        await open_session(store, model, *symbols)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    session.apply(bar_tick(1, bars[0]))
    session.close()
    assert len(store) == 1


async def test_closing_twice_lets_go_once(model: ServedModel) -> None:
    """A second close does not free another stream's hold; after that one's own, there is room."""
    store = MemoryWindowStore(max_symbols=1)
    first, second = await open_session(store, model), await open_session(store, model)
    first.close()
    first.close()
    with pytest.raises(Refusal):
        await open_session(store, model, "B")
    second.close()
    await open_session(store, model, "B")


async def test_a_lost_symbol_is_told_once(store: WindowStore, model: ServedModel) -> None:
    """Each session hears of its own loss, once, and not after it has let go."""
    first, second, third = Heard(), Heard(), Heard()
    old = await open_session(store, model, "A", "B", heard=first)
    await open_session(store, model, "A", heard=second)
    assert (first.lost, second.lost) == (["A"], [])
    old.lost(old.windows["A"])
    assert first.lost == ["A"]
    newest = await open_session(store, model, "A", heard=third)
    assert (first.lost, second.lost, third.lost) == (["A"], ["A"], [])
    [window] = newest.windows.values()
    newest.close()
    newest.lost(window)
    newest.durable(window, 1)
    assert (third.lost, third.durable) == ([], [])


async def test_only_its_own_windows_are_told_to_be_durable(store: WindowStore, model: ServedModel) -> None:
    """News of a window that another stream has opened since, or that was never the session's, reach nobody."""
    heard = Heard()
    session = await open_session(store, model, heard=heard)
    other = await open_session(MemoryWindowStore(max_symbols=1), model)
    session.durable(other.windows["A"], 5)
    session.lost(other.windows["A"])
    session.durable(session.windows["A"], 7)
    assert (heard.durable, heard.lost) == ([("A", 7)], [])


async def test_counts_say_what_happened(store: WindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Refused ticks count as nothing; a jump counts the numbers that it left out."""
    heard = Heard()
    session = await open_session(store, model, heard=heard, resume=[ResumePoint(symbol="A", sequence=0)])
    assert list(session.missed()) == []
    for sequence, bar in ((1, bars[0]), (1, bars[0]), (5, bars[1])):
        session.apply(bar_tick(sequence, bar))
    refusal_of(session, bar_tick(6, bars[0]))
    counters = heard.counters
    assert (counters.applied, counters.duplicates, counters.missing, counters.resumed) == (2, 1, 3, 1)
