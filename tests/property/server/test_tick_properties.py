"""Properties of tick sessions: however a stream is cut, delayed or repeated, the windows are those of one go."""

import asyncio
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.refusal import Refusal
from server.ticks.tick_event import DuePrediction, Event, Gap, Progress, ResumePoint
from server.ticks.tick_session import TickSession
from server.windows.memory_window_store import MemoryWindowStore
from tests.support.fakes import served_model
from tests.support.registry import real_bars, real_windows
from tests.support.sessions import bar_tick, open_session
from tests.support.windows import Listener

COUNT, NEED = 170, 120


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()
    real_bars(COUNT)


def applied(session: TickSession, sequence: int) -> list[Event]:
    """Applies a bar under its own number, from 1."""
    return session.apply(bar_tick(sequence, real_bars(COUNT)[sequence - 1]))


@given(
    cuts=st.lists(st.integers(1, COUNT - 1), max_size=5),
    overlap=st.integers(0, 10),
    history=st.integers(0, COUNT - 1),
    crowded=st.booleans(),
)
@settings(deadline=None, max_examples=40)
def test_reconnecting_changes_no_window(cuts: list[int], overlap: int, history: int, crowded: bool) -> None:
    """A client that comes back at any points, re-sending some ticks, gets each due window once, as in one go."""

    async def run() -> list[DuePrediction]:
        store, model = MemoryWindowStore(max_symbols=1 if crowded else 5), served_model()
        session = await open_session(store, model)
        due: list[DuePrediction] = []
        if history:
            await session.apply_history("A", real_bars(COUNT)[:history], history)
        sequence = history
        for end in [*sorted(cut for cut in cuts if cut > history), COUNT]:
            for number in range(max(1, sequence - overlap + 1), end + 1):
                [event] = applied(session, number)
                if number <= sequence:
                    assert isinstance(event, Progress)
                    assert event.duplicate
                elif isinstance(event, DuePrediction):
                    due.append(event)
            sequence = end
            session.close()
            session = await open_session(store, model, resume=[ResumePoint(symbol="A", sequence=sequence)])
            assert list(session.missed()) == []
            assert session.windows["A"].last_sequence == sequence
        return due

    due = asyncio.run(run())
    assert [event.sequence for event in due] == list(range(max(NEED, history + 1), COUNT + 1))
    expected = real_windows(COUNT)
    assert all(np.array_equal(event.window, expected[event.sequence - NEED]) for event in due)


@given(sequences=st.lists(st.integers(1, COUNT), max_size=60))
@settings(deadline=None, max_examples=100)
def test_any_order_is_told_truthfully(sequences: list[int]) -> None:
    """A tick is applied if and only if its number is new; numbers jumped over are told as a gap, once."""
    session = asyncio.run(open_session(MemoryWindowStore(max_symbols=5), served_model()))
    last, told, taken = 0, set[int](), []
    for sequence in sequences:
        events = applied(session, sequence)
        gaps = [event for event in events if isinstance(event, Gap)]
        if sequence <= last:
            assert not gaps
            assert [getattr(event, "duplicate", False) for event in events] == [True]
            continue
        for gap in gaps:
            missing = set(range(gap.first_missing, gap.last_missing + 1))
            assert not missing & told
            told |= missing
        taken.append(sequence)
        last = sequence
    assert told == set(range(1, last)) - set(taken)
    assert session.windows["A"].have == min(len(taken), NEED)


@given(
    operations=st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(("hold", "release", "use"))), max_size=60),
    limit=st.integers(1, 4),
)
@settings(deadline=None, max_examples=100)
def test_the_store_keeps_its_bounds(operations: list[tuple[str, str]], limit: int) -> None:
    """Never more windows than allowed; what is held is kept; a refusal comes only where everything is held."""

    async def run() -> None:
        store, config = MemoryWindowStore(max_symbols=limit), served_model().config
        held: dict[str, list[Any]] = {name: [] for name in "abcdef"}
        for name, operation in operations:
            if operation == "hold":
                try:
                    held[name] += await store.hold([name], config, listener=Listener())
                except Refusal:
                    assert sum(bool(windows) for windows in held.values()) == limit
                    assert not held[name]
            elif operation == "release" and held[name]:
                store.release(held[name].pop())
            elif operation == "use":
                with pytest.raises(Refusal):
                    await store.window(name, config, max_age=None)
            assert len(store) <= limit
            kept = {entry.key.symbol: entry for entry in store._held}
            for symbol, windows in held.items():
                assert all(kept[symbol].window is window for window in windows)
            assert {symbol for symbol, entry in kept.items() if entry.holders} == {s for s in held if held[s]}

    asyncio.run(run())
