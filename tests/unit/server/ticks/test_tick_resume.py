"""Laws of coming back: a client is owed what was due since it left, once and in order, and what is lost it is told."""

import itertools

import numpy as np
import pytest

from model.bar import Bar
from server.config.window_settings import WindowSettings
from server.models.served_model import ServedModel
from server.ticks.tick_event import Correction, DuePrediction, Reset, ResumePoint, Tick
from server.ticks.tick_session import TickSession
from server.windows.memory_window_store import MemoryWindowStore
from tests.support.fakes import served_model
from tests.support.registry import real_bars, real_windows
from tests.support.sessions import Heard, bar_tick, missed_by, open_session, trade_tick

NEED, HOUR = 120, 3600.0


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars."""
    real_windows()
    return real_bars(300)


@pytest.fixture
def model(bars: tuple[Bar, ...]) -> ServedModel:
    """A model of the real schema, with bars of an hour."""
    return served_model()


@pytest.fixture
def store() -> MemoryWindowStore:
    """Keeps the windows of ten more bars."""
    return MemoryWindowStore(WindowSettings(resume_depth=10, lateness_bound=2 * HOUR), max_symbols=5)


async def fed(store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...], count: int) -> TickSession:
    """Returns a session that was given `count` bars beyond a full window, sequences from 1; not full before them."""
    session = await open_session(store, model)
    await session.apply_history("A", bars[: NEED - 1], 0)
    for number in range(count):
        session.apply(bar_tick(number + 1, bars[NEED - 1 + number]))
    return session


async def missed(
    store: MemoryWindowStore, model: ServedModel, sequence: int, as_of_time: float | None = None, **terms: int
) -> list[object]:
    """Returns what a client with that place is owed."""
    point = ResumePoint(symbol="A", sequence=sequence, as_of_time=as_of_time)
    return [*missed_by(await open_session(store, model, resume=[point], predict_every=terms.get("predict_every", 1)))]


def end(bars: tuple[Bar, ...], sequence: int) -> float:
    """Returns the end of a tick's bar."""
    return bars[NEED - 2 + sequence].open_time + HOUR


async def test_what_was_due_is_computed_again(
    store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """From the very windows that were due, in order, before anything new; what the client has is not repeated."""
    await fed(store, model, bars, 8)
    heard = Heard()
    session = await open_session(store, model, resume=[ResumePoint(symbol="A", sequence=5)], heard=heard)
    due = list(session.missed())
    assert [event.sequence for event in due] == [6, 7, 8]
    for event in due:
        assert isinstance(event, DuePrediction)
        assert not event.partial
        assert event.origin.last_sequence == event.sequence
        assert event.origin.as_of_time == end(bars, event.sequence)
        assert np.array_equal(event.window, real_windows()[event.sequence - 1])
    assert (heard.counters.resumed, heard.counters.recomputed) == (1, 3)
    [new] = session.apply(bar_tick(9, bars[NEED + 7]))
    assert isinstance(new, DuePrediction)


@pytest.mark.parametrize("sequence", [8, 9, 999])
async def test_a_client_that_has_all_is_owed_nothing(
    store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...], sequence: int
) -> None:
    """Nor is one whose ticks the server has lost: it hears where to go on, and sends them again."""
    await fed(store, model, bars, 8)
    assert await missed(store, model, sequence) == []


async def test_a_client_without_resume_point_is_owed_nothing(
    store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """It begins anew."""
    await fed(store, model, bars, 8)
    assert missed_by(await open_session(store, model)) == []


async def test_what_lies_too_far_back_is_a_gap(
    store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """The gap comes first, and names what is lost from the client's place on; the rest is computed."""
    session = await fed(store, model, bars, 14)
    kept = 14 - 10
    assert await missed(store, model, 0) == [
        (1, kept - 1, "gap"),
        *((sequence, end(bars, sequence)) for sequence in range(kept, 15)),
    ]
    assert (await missed(store, model, 2))[0] == (3, 3, "gap")
    assert (await missed(store, model, 3))[0] == (kept, end(bars, kept))
    assert session.windows["A"].last_sequence == 14


async def test_only_every_nth_row_is_owed(store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """As it was due at first."""
    await fed(store, model, bars, 9)
    owed = await missed(store, model, 0, predict_every=4)
    # The first full window has row number 60.
    assert owed == [(sequence, end(bars, sequence)) for sequence in (1, 5, 9)]


async def test_bars_of_one_watermark_are_told_apart_by_their_ends(
    store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """All have the last tick's sequence: with the end of the newest answered bar only the others are owed."""
    session = await open_session(store, model)
    await session.apply_history("A", bars[:NEED], 0)
    start = bars[NEED - 1].open_time + HOUR
    for number in range(3):
        session.apply(trade_tick(number + 1, start + number * HOUR))
    closed = [(event.sequence, event.origin.as_of_time) for event in await due(session, start + 3 * HOUR)]
    assert closed == [(3, start + hours * HOUR) for hours in (1, 2, 3)]
    assert await missed(store, model, 2) == closed
    assert await missed(store, model, 3, start + HOUR) == closed[1:]
    assert await missed(store, model, 3, start + 3 * HOUR) == []
    assert await missed(store, model, 3) == []
    assert await missed(store, model, 3, 0.0) == closed


async def due(session: TickSession, event_time: float) -> list[DuePrediction]:
    """Returns what a watermark makes due."""
    return [event for event in await session.close_until(event_time) if isinstance(event, DuePrediction)]


@pytest.mark.parametrize(
    ("place", "gap"),
    [
        ((0, None), [(1, None), (2, 3, "gap")]),
        ((1, None), [(2, 3, "gap")]),
        ((2, None), [(3, 3, "gap")]),
        ((3, None), []),
    ],
)
async def test_the_answers_of_a_corrected_bar_are_a_gap(
    store: MemoryWindowStore,
    model: ServedModel,
    bars: tuple[Bar, ...],
    place: tuple[int, None],
    gap: list[tuple[int, ...]],
) -> None:
    """What it was before cannot be computed any more: the client hears which answers it will not have."""
    session = await fed(store, model, bars, 2)
    for sequence, close in ((3, 1.01), (4, 1.02)):
        bar = Bar(open_time=bars[NEED].open_time, open=1.0, high=1.1, low=0.9, close=close, volume=1.0)
        session.apply(Tick(symbol="A", sequence=sequence, event=Correction(bar)))
    owed = await missed(store, model, *place)
    expected = [(one[0], end(bars, 1)) if len(one) == 2 else one for one in gap]
    assert owed == [*expected, (4, end(bars, 2))]


async def test_a_corrected_bar_of_a_watermark_is_accounted_for(
    store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """Its first answer had the sequence of other bars, too, and the client may have had those."""
    session = await open_session(store, model)
    await session.apply_history("A", bars[:NEED], 0)
    start = bars[NEED - 1].open_time + HOUR
    session.apply(trade_tick(1, start))
    session.apply(trade_tick(2, start + HOUR))
    await session.close_until(start + 2 * HOUR)
    bar = Bar(open_time=start + HOUR, open=1.0, high=1.1, low=0.9, close=1.0, volume=1.0)
    session.apply(Tick(symbol="A", sequence=3, event=Correction(bar)))
    first, second = (2, start + HOUR), (3, start + 2 * HOUR)
    assert await missed(store, model, 1) == [first, (2, 2, "gap"), second]
    assert await missed(store, model, 2, start + HOUR) == [(2, 2, "gap"), second]
    assert await missed(store, model, 2, start + 2 * HOUR) == [second]


async def test_a_reset_loses_what_was_owed(store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """The windows before it are gone: a gap up to the newest of them, not up to the reset."""
    session = await fed(store, model, bars, 5)
    session.apply(Tick(symbol="A", sequence=6, event=Reset()))
    assert await missed(store, model, 3) == [(4, 5, "gap")]
    assert await missed(store, model, 5) == []


async def test_a_history_is_owed_to_nobody(store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Whatever its sequence says, no answer was due for its bars."""
    session = await open_session(store, model)
    await session.apply_history("A", bars[: NEED + 5], 5)
    assert await missed(store, model, 0) == []


async def test_a_symbol_that_is_lost_meanwhile_is_owed_no_more(
    store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """Its window is another stream's from then on; the others' answers still come."""
    session = await open_session(store, model, "A", "B")
    for symbol in "AB":
        await session.apply_history(symbol, bars[: NEED - 1], 0)
        for number in range(1, 4):
            session.apply(bar_tick(number, bars[NEED - 2 + number], symbol))
    points = [ResumePoint(symbol=symbol, sequence=0) for symbol in "AB"]
    returned = await open_session(store, model, "A", "B", resume=points)
    owed = returned.missed()
    first = next(owed)
    await open_session(store, model, "A")
    assert [(event.symbol, event.sequence) for event in (first, *owed)] == [("A", 1), ("B", 1), ("B", 2), ("B", 3)]


async def test_reconnecting_after_each_tick_loses_nothing(
    store: MemoryWindowStore, model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """A client that never hears an answer before its stream breaks hears each of them at the next one."""
    await fed(store, model, bars, 0)
    heard = []
    for number in itertools.count(1):
        session = await open_session(store, model, resume=[ResumePoint(symbol="A", sequence=max(0, number - 2))])
        heard += [event.sequence for event in session.missed()]
        if number > 30:
            break
        session.apply(bar_tick(number, bars[NEED - 2 + number]))
        session.close()
    assert heard == list(range(1, 31))
