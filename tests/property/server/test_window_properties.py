"""Properties of windows and their stores: however they are cut, delayed, repeated or lost, they are those of one go."""

import dataclasses
import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.bar import Bar
from server.refusal import Refusal
from server.windows.closed_row import ClosedRow
from server.windows.symbol_window import SymbolWindow
from server.windows.window_change import WindowChange
from tests.support.registry import SMALL, make_config

HOUR = 3600.0
# Four steps instead of 60: windows fill, and rows get lost, within few bars.
CONFIG = dataclasses.replace(make_config(), network=dataclasses.replace(SMALL, time_steps=4))
RESUME_DEPTH, LATENESS = 3, 2 * HOUR
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def bar_at(hour: int, salt: int = 0) -> Bar:
    """Returns the one bar of an hour; of another `salt`, another one."""
    level = 1.0 + 0.1 * math.sin(hour * 12.9898 + salt)
    move = 1.0 + 0.05 * math.sin(hour * 78.233 + 3 * salt)
    close = level * move
    return Bar(
        open_time=hour * HOUR,
        open=level,
        high=max(level, close) * 1.01,
        low=min(level, close) * 0.99,
        close=close,
        volume=float(hour % 7 + salt),
    )


# Each event is a name and two small numbers; hours lie relative to a clock that only the event itself moves.
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(
            ["bar"] * 4
            + ["trade"] * 6
            + ["watermark"] * 2
            + ["correct", "correct", "history", "medium", "long", "row", "reset"]
        ),
        st.integers(0, 3),
        st.integers(0, 9),
    ),
    max_size=25,
)
# Bars before the first event, and whether they were ticks: only then somebody is owed their answers. 61 rows are kept:
# of 122 ticked bars the first is lost.
STARTS = st.tuples(st.sampled_from([0, 59, 60, 63, 64, 68, 125, 150]), st.booleans())


class Feeder:
    """Turns events into calls on a window; two feeders of the same events make the same calls."""

    def __init__(self, start: tuple[int, bool]) -> None:
        count, ticked = start
        self.window = SymbolWindow("A", CONFIG, resume_depth=RESUME_DEPTH, lateness_bound=LATENESS)
        self.clock = 1000 + count
        self.sequence = count
        bars = [bar_at(hour) for hour in range(1000, self.clock)]
        if not ticked:
            self.window.apply_history(bars, sequence=count or None)
        self.closed = [
            row
            for number, bar in enumerate(bars, 1)
            if ticked
            for row in self.window.apply_bars([bar], sequence=number)
        ]

    def feed(self, event: tuple[str, int, int]) -> tuple[ClosedRow, ...] | str:
        """Returns the rows that closed, or how the event was refused."""
        kind, step, salt = event
        window, number = self.window, self.sequence + 1
        try:
            match kind:
                case "bar":
                    self.clock += step
                    closed = window.apply_bars([bar_at(self.clock, salt)], sequence=number)
                case "trade":
                    self.clock += step // 2
                    late = step % 2 * 1.5 * HOUR
                    closed = window.apply_trade(1.0 + salt / 10, salt, self.clock * HOUR - late, sequence=number)
                case "watermark":
                    return window.close_until((self.clock + step - 1) * HOUR + salt)
                case "correct":
                    newest = window.as_of_time or 0.0
                    closed = window.correct(bar_at(int(newest / HOUR) - (step > 2) - 1, salt), sequence=number)
                case "row":
                    closed = window.apply_row(np.full(50, salt, np.float32), float(step), sequence=number)
                case "reset":
                    window.reset(sequence=number)
                    closed = ()
                case _:
                    count = {"history": 0, "medium": 8}.get(kind, 70) + step
                    window.apply_history(
                        [bar_at(hour, 1) for hour in range(self.clock - 2, self.clock + count)], sequence=number
                    )
                    self.clock += count
                    closed = ()
        except Refusal as refusal:
            return str(refusal)
        self.sequence = number
        return closed


def seen(window: SymbolWindow) -> object:
    """Returns all that can be seen of a window, as it stands."""
    kept = window.entries_after(-1, None)
    values = [window.window_at(number) for number in range(max(0, window.row_count - 90), window.row_count + 1)]
    partial = window.partial_window()
    return (
        (window.last_sequence, window.as_of_time, window.row_count, window.have, window.reset_count),
        (kept, window.lost_after(-1, None)),
        [None if value is None else value.tobytes() for value in values],
        None if partial is None else partial.tobytes(),
        window._feed.open_bars(),  # which trades will be refused, too
    )


class Store:
    """The rules of `WindowChange`, as plainly as they can be written."""

    def __init__(self) -> None:
        self.revision = 0
        self.head = b""
        self.entries: tuple[bytes, ...] = ()

    def accept(self, change: WindowChange) -> bool:
        """Writes a change if it follows what is stored."""
        if change.replace:
            if self.revision >= change.revision:
                return False
            self.entries = change.entries
        else:
            if self.revision != change.previous_revision:
                return False
            self.entries = (*self.entries, *change.entries)[-change.most_entries :]
        self.revision, self.head = change.revision, change.head
        return True

    def forget(self) -> None:
        """Starts anew, empty."""
        self.__init__()  # type: ignore[misc]  # all of it


def flush(window: SymbolWindow, store: Store) -> None:
    """Brings a store up to date, as a holder does whose store answers."""
    while (change := window.take_change()) is not None:
        if store.accept(change):
            window.confirmed(change)
        else:
            window.store_lost_track()


FAULTS = st.lists(
    st.sampled_from(["none"] * 3 + ["flush"] * 3 + ["answer lost", "late write", "forgets", "move", "move"]),
    min_size=25,
    max_size=25,
)


@given(start=STARTS, events=EVENTS, faults=FAULTS)
@settings(deadline=None, max_examples=150, suppress_health_check=SLOW)
def test_any_cuts_and_faults_of_the_store_change_no_window(
    start: tuple[int, bool], events: list[tuple[str, int, int]], faults: list[str]
) -> None:
    """Flushed, repeated, re-seeded or moved to another replica at any points, a window goes on as if it never was."""
    alone, stored = Feeder(start), Feeder(start)
    store = Store()
    delayed: list[WindowChange] = []
    for event, fault in zip(events, faults, strict=False):
        assert stored.feed(event) == alone.feed(event)
        window = stored.window
        match fault:
            case "flush":
                flush(window, store)
                assert window.take_change() is None
                assert window.durable_sequence == window.last_sequence
            case "answer lost":
                if (change := window.take_change()) is not None:
                    store.accept(change)
                    delayed.append(change)
            case "late write":
                for change in delayed:
                    store.accept(change)
                    window.confirmed(change) if store.revision == change.revision else None
            case "forgets":
                store.forget()
                delayed.clear()
                window.store_lost_track()
            case "move":
                flush(window, store)
                delayed.clear()  # the other replica raised the epoch
                if store.head:
                    stored.window = SymbolWindow.restore(
                        "A", CONFIG, store.head, store.entries, resume_depth=RESUME_DEPTH, lateness_bound=LATENESS
                    )
                    assert stored.window.take_change() is None
                    assert stored.window.durable_sequence == window.last_sequence
        assert seen(stored.window) == seen(alone.window)
    flush(stored.window, store)
    if store.head:
        back = SymbolWindow.restore(
            "A", CONFIG, store.head, store.entries, resume_depth=RESUME_DEPTH, lateness_bound=LATENESS
        )
        assert seen(back) == seen(alone.window)


@given(start=STARTS, events=EVENTS, point=st.integers(-1, 40), position=st.sampled_from([0.0, 0.0, 0.2, 0.6, 1.0]))
@settings(deadline=None, max_examples=150, suppress_health_check=SLOW)
def test_every_row_after_a_point_is_kept_or_known_to_be_lost(
    start: tuple[int, bool], events: list[tuple[str, int, int]], point: int, position: float
) -> None:
    """Of all full rows that ticks closed, one after what a client has is kept, replaced, or not after the lost one."""
    feeder = Feeder(start)
    steps = CONFIG.network.time_steps
    due: list[tuple[ClosedRow, bytes | None]] = [(row, None) for row in feeder.closed if row.row_number >= steps]
    for event in events:
        closed = feeder.feed(event)
        for row in () if isinstance(closed, str) else closed:
            if row.row_number >= steps:
                values = feeder.window.window_at(row.row_number)
                assert values is not None
                due.append((row, values.tobytes()))
    window = feeder.window
    have = due[int(position * (len(due) - 1))][0] if due else None
    sequence, time = (start[0] + point, None) if have is None or point < 0 else (have.sequence, have.as_of_time)
    kept = window.entries_after(sequence, time)
    lost = window.lost_after(sequence, time)
    answered = {(row.sequence, row.as_of_time): number for number, (row, _) in enumerate(due)}
    for row in kept:
        values = window.window_at(row.row_number)
        assert values is not None
        assert due[answered[row.sequence, row.as_of_time]][1] in (None, values.tobytes())
        assert row.follows(sequence, time)
        assert lost is None or row.follows(lost.sequence, lost.as_of_time)
    for row, _ in due:
        if row.follows(sequence, time):
            assert (
                row in kept
                or any(later.first_sequence <= row.sequence < later.sequence for later in kept)
                or (lost is not None and not row.follows(lost.sequence, lost.as_of_time))
            )
    assert list(kept) == sorted(kept, key=lambda row: (row.sequence, row.row_number))


@given(start=STARTS, events=EVENTS)
@settings(deadline=None, max_examples=75, suppress_health_check=SLOW)
def test_a_corrected_stream_is_the_right_stream(start: tuple[int, bool], events: list[tuple[str, int, int]]) -> None:
    """Correcting every bar right after it came leaves the windows of a stream that never was wrong."""
    wrong, right = Feeder(start), Feeder(start)
    for _, step, salt in events:
        for feeder in (wrong, right):
            feeder.clock += step + 1
        wrong.feed(("bar", 0, salt + 1))
        wrong.window.correct(bar_at(wrong.clock, salt))
        right.feed(("bar", 0, salt))
        assert seen(wrong.window)[0] == seen(right.window)[0]  # type: ignore[index]  # the tuple that `seen` returns
        assert seen(wrong.window)[2:] == seen(right.window)[2:]  # type: ignore[index]  # as above


@given(start=STARTS, events=EVENTS, later=EVENTS)
@settings(deadline=None, max_examples=75, suppress_health_check=SLOW)
def test_a_reset_forgets(
    start: tuple[int, bool], events: list[tuple[str, int, int]], later: list[tuple[str, int, int]]
) -> None:
    """After it the window is a new one, but for its sequence, its count of resets and what it owes."""
    feeder, fresh = Feeder(start), Feeder((0, False))
    for event in events:
        feeder.feed(event)
    feeder.feed(("reset", 0, 0))
    fresh.clock, fresh.sequence = feeder.clock, feeder.sequence
    owed = feeder.window.lost_after(-1, None)
    resets = feeder.window.reset_count
    for event in later:
        assert feeder.feed(event) == fresh.feed(event)
        assert feeder.window.reset_count - resets == fresh.window.reset_count
        assert feeder.window.have == fresh.window.have
        assert feeder.window.entries_after(-1, None) == fresh.window.entries_after(-1, None)
        assert feeder.window.lost_after(-1, None) in (owed, fresh.window.lost_after(-1, None))
        one, other = feeder.window.window_at(fresh.window.row_count), fresh.window.window_at(fresh.window.row_count)
        assert (one is None) == (other is None)
        assert one is None or other is None or one.tobytes() == other.tobytes()
