"""Laws of a tick session that is fed with trades, watermarks and corrections: when bars close, and what is due then."""

from typing import Any

import numpy as np
import pytest

from model.bar import Bar
from server.config.window_settings import WindowSettings
from server.models.served_model import ServedModel
from server.refusal import Reason, Refusal
from server.ticks.tick_event import Correction, DuePrediction, Event, Progress, Reset, Tick
from server.ticks.tick_session import TickSession
from server.windows.memory_window_store import MemoryWindowStore
from tests.support.fakes import served_model
from tests.support.registry import real_bars, real_windows
from tests.support.sessions import Heard, bar_tick, due_of, open_session, refusal_of, trade_tick

NEED, HOUR, MINUTE = 120, 3600.0, 60.0


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars."""
    real_windows()
    return real_bars(200)


@pytest.fixture
def model(bars: tuple[Bar, ...]) -> ServedModel:
    """A model of the real schema, with bars of an hour."""
    return served_model()


async def warm(
    model: ServedModel, bars: tuple[Bar, ...], *symbols: str, lateness_bound: float = 0.0, **terms: Any
) -> tuple[TickSession, float]:
    """Returns a session whose next bars are due, sequences from 1, and the beginning of the next hour."""
    store = MemoryWindowStore(WindowSettings(lateness_bound=lateness_bound), max_symbols=10)
    session = await open_session(store, model, *symbols, **terms)
    for symbol in session.windows:
        await session.apply_history(symbol, bars[:NEED], 0)
    return session, bars[NEED - 1].open_time + HOUR


def applied(session: TickSession, *ticks: Tick) -> list[Event]:
    """Returns what the last of the ticks leads to."""
    events: list[Event] = []
    for tick in ticks:
        events = session.apply(tick)
    return events


async def closed(session: TickSession, event_time: float) -> list[Event]:
    """Returns what a watermark leads to."""
    return list(await session.close_until(event_time))


@pytest.mark.parametrize("lateness", [0.0, 300.0])
async def test_a_bar_closes_with_the_next_event_past_its_end(
    model: ServedModel, bars: tuple[Bar, ...], lateness: float
) -> None:
    """And past the lateness bound; its prediction is due to that trade and says the bar's own end."""
    session, start = await warm(model, bars, lateness_bound=lateness)
    end = start + HOUR + lateness
    for sequence, time in ((1, start), (2, end - 1)):
        [event] = session.apply(trade_tick(sequence, time))
        assert isinstance(event, Progress)
    assert due_of(session.apply(trade_tick(3, end))) == [(3, start + HOUR)]


async def test_trades_give_the_windows_of_their_bars(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Whether a bar comes ready or in trades makes no bit of difference."""
    session, _ = await warm(model, bars)
    due: list[DuePrediction] = []
    sequence = 0
    for bar in bars[NEED:150]:
        for number, price in enumerate((bar.open, bar.high, bar.low, bar.close)):
            sequence += 1
            tick = trade_tick(sequence, bar.open_time + number * MINUTE, price)
            due += [event for event in session.apply(tick) if isinstance(event, DuePrediction)]
    assert len(due) == 29
    ready, _ = await warm(model, bars)
    for number, bar in enumerate(bars[NEED:149], 1):
        four = Bar(open_time=bar.open_time, open=bar.open, high=bar.high, low=bar.low, close=bar.close, volume=4.0)
        [expected] = ready.apply(bar_tick(number, four))
        assert isinstance(expected, DuePrediction)
        assert np.array_equal(due[number - 1].window, expected.window)


async def test_empty_intervals_make_no_bars(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """After a weekend without a trade one bar closes, the one before it."""
    session, start = await warm(model, bars)
    assert due_of(applied(session, trade_tick(1, start), trade_tick(2, start + 60 * HOUR))) == [(2, start + HOUR)]
    assert session.windows["A"].row_count == NEED - 60 + 1


async def test_a_watermark_closes_the_bars_of_all_symbols(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Each is due with its symbol's last sequence, which stays; several bars of one symbol come oldest first."""
    session, start = await warm(model, bars, "A", "B", "C", lateness_bound=HOUR)
    applied(session, trade_tick(1, start), trade_tick(2, start + HOUR))
    applied(session, trade_tick(5, start + MINUTE, symbol="B"))
    events = await closed(session, start + 2 * HOUR)
    assert [(event.symbol, event.sequence) for event in events] == [("A", 2), ("A", 2), ("B", 5)]
    assert [time for _, time in due_of(events)] == [start + HOUR, start + 2 * HOUR, start + HOUR]
    assert [window.last_sequence for window in session.windows.values()] == [2, 5, 0]
    assert await closed(session, start + 2 * HOUR) == []
    assert await closed(session, start) == []


async def test_a_watermark_is_taken_before_any_question_of_prediction(
    model: ServedModel, bars: tuple[Bar, ...]
) -> None:
    """Windows of all symbols have it even if nobody takes what is due."""
    session, start = await warm(model, bars, "A", "B")
    applied(session, trade_tick(1, start), trade_tick(1, start, symbol="B"))
    await session.close_until(start + HOUR)
    assert [window.as_of_time for window in session.windows.values()] == [start + HOUR] * 2


async def test_a_watermark_passes_lost_symbols_over(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """What another stream holds is not this one's to close, nor to be told of."""
    store = MemoryWindowStore(max_symbols=5)
    heard = Heard()
    session = await open_session(store, model, "A", "B", heard=heard)
    start = bars[NEED - 1].open_time + HOUR
    for symbol in "AB":
        await session.apply_history(symbol, bars[:NEED], 0)
        session.apply(trade_tick(1, start, symbol=symbol))
    other = await open_session(store, model, "A")
    assert due_of(await closed(session, start + HOUR)) == [(1, start + HOUR)]
    assert other.windows["A"].as_of_time == start
    # Lost between the watermark and its answers.
    session.apply(trade_tick(2, start + HOUR, symbol="B"))
    events = await session.close_until(start + 2 * HOUR)
    await open_session(store, model, "B")
    assert (list(events), heard.lost) == ([], ["A", "B"])


async def test_a_late_trade_changes_nothing(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """It is refused with what is closed; its number may be used again, and the bar in the making goes on."""
    session, start = await warm(model, bars)
    applied(session, trade_tick(1, start), trade_tick(2, start + HOUR))
    before = session.windows["A"].partial_window()
    refusal = refusal_of(session, trade_tick(3, start + HOUR - 1, 9.9))
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "event_time")
    assert refusal.metadata == {"closed_until": f"{start + HOUR:.3f}"}
    after = session.windows["A"].partial_window()
    assert before is not None
    assert after is not None
    assert np.array_equal(before, after)
    assert due_of(applied(session, trade_tick(3, start + 2 * HOUR))) == [(3, start + 2 * HOUR)]


async def test_a_trade_within_the_lateness_bound_enters_its_bar(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Whatever the order of arrival, the window is the same."""
    windows = []
    for order in ((0, 1, 2), (0, 2, 1)):
        session, start = await warm(model, bars, lateness_bound=300.0)
        trades = [(start, 1.1), (start + HOUR - 1, 1.3), (start + HOUR + 1, 1.2)]
        applied(session, *(trade_tick(number, *trades[index]) for number, index in enumerate(order, 1)))
        [event] = applied(session, trade_tick(4, start + HOUR + 300, 1.2))
        assert isinstance(event, DuePrediction)
        windows.append(event.window)
    assert np.array_equal(windows[0], windows[1])


async def test_a_trade_needs_a_time(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Nothing else says which bar it is in."""
    session, _ = await warm(model, bars)
    refusal = refusal_of(session, trade_tick(1, None))
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "event_time")


async def test_a_correction_makes_the_answer_due_again(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Its window is that of a bar which came right at first, and so are all that follow."""
    session, _ = await warm(model, bars)
    wrong = Bar(open_time=bars[NEED].open_time, open=2.0, high=2.0, low=2.0, close=2.0, volume=0.0)
    [first, again, following] = (
        applied(session, bar_tick(1, wrong))
        + applied(session, Tick(symbol="A", sequence=2, event=Correction(bars[NEED])))
        + applied(session, bar_tick(3, bars[NEED + 1]))
    )
    assert due_of([first, again]) == [(1, bars[NEED].open_time + HOUR), (2, bars[NEED].open_time + HOUR)]
    assert isinstance(again, DuePrediction)
    assert isinstance(following, DuePrediction)
    expected = real_windows()
    assert np.array_equal(again.window, expected[1])
    assert np.array_equal(following.window, expected[2])


async def test_only_the_newest_bar_can_be_corrected(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """An older one is refused with the newest's time, and nothing changes."""
    session, _ = await warm(model, bars)
    before = session.windows["A"].window()
    refusal = refusal_of(session, Tick(symbol="A", sequence=1, event=Correction(bars[NEED - 2])))
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "correction.bar.start_time")
    assert np.array_equal(session.windows["A"].window(), before)
    assert session.windows["A"].last_sequence == 0


async def test_a_reset_ends_the_bars_in_the_making(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Afterwards another kind of feed may begin, and earlier times may come again."""
    session, start = await warm(model, bars)
    applied(session, trade_tick(1, start))
    refused = refusal_of(session, bar_tick(2, bars[NEED]))
    assert refused.metadata == {"fed_with": "trades", "have": "bars"}
    applied(session, Tick(symbol="A", sequence=2, event=Reset()))
    assert await closed(session, start + 9 * HOUR) == []
    assert applied(session, bar_tick(3, bars[0])) == [Progress(symbol="A", sequence=3, have=1, need=NEED)]


async def test_partial_predictions_come_only_where_asked_for(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """With every trade that makes nothing else due; the closed window does not change by them."""
    session, start = await warm(model, bars, predict_partial=True)
    partial = applied(session, trade_tick(1, start), trade_tick(2, start + MINUTE, 1.5))
    [event] = partial
    assert isinstance(event, DuePrediction)
    assert (event.partial, event.sequence, event.origin.last_sequence) == (True, 2, 2)
    [full] = applied(session, trade_tick(3, start + HOUR))
    assert isinstance(full, DuePrediction)
    assert not full.partial
    assert np.array_equal(full.window, event.window)  # the bar closed as it stood
    without, _ = await warm(model, bars)
    assert applied(without, trade_tick(1, start)) == [Progress(symbol="A", sequence=1, have=NEED, need=NEED)]


async def test_partial_predictions_need_a_full_window(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """Before it, a trade is acknowledged."""
    session = await open_session(MemoryWindowStore(max_symbols=1), model, predict_partial=True)
    await session.apply_history("A", bars[: NEED - 2], 0)
    [event] = session.apply(trade_tick(1, bars[NEED - 2].open_time))
    assert event == Progress(symbol="A", sequence=1, have=NEED - 2, need=NEED)


async def test_a_watermark_out_of_range_is_refused(model: ServedModel, bars: tuple[Bar, ...]) -> None:
    """No window takes it."""
    session, start = await warm(model, bars)
    applied(session, trade_tick(1, start))
    with pytest.raises(Refusal) as caught:
        await session.close_until(1e300)
    assert caught.value.reason is Reason.INVALID_TICK
    assert session.windows["A"].as_of_time == start
