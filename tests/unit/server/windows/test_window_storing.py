"""Laws of how a window reaches a store and comes back: what is written, what is confirmed, what can be answered."""

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from model.bar import Bar
from model.bar_file import read_bars
from model.dataset import Dataset
from server.refusal import Reason, Refusal
from server.windows.stored_window import read_window
from server.windows.symbol_window import SymbolWindow
from server.windows.window_change import WindowChange
from server.windows.window_entry import WindowEntry, WindowStateError
from server.windows.window_head import WindowHead
from tests.support.registry import DATA, make_config, real_bars, real_windows

HOUR = 3600.0
CONFIG = make_config()


@pytest.fixture(scope="module")
def bars() -> tuple[Bar, ...]:
    """Real bars; bar 119 is the first that has a window."""
    real_windows()
    return real_bars(512)


def window_of(bars: tuple[Bar, ...], *, resume_depth: int = 60) -> SymbolWindow:
    """Returns a window that each of the bars was ticked into, numbered from 1."""
    window = SymbolWindow("EURUSD", CONFIG, resume_depth=resume_depth)
    for sequence, bar in enumerate(bars, 1):
        window.apply_bars([bar], sequence=sequence)
    return window


def change_of(window: SymbolWindow) -> WindowChange:
    """Returns what the store lacks, which is something."""
    change = window.take_change()
    assert change is not None
    return change


def row(value: float) -> NDArray[np.float32]:
    """Returns a row of features, all alike."""
    return np.full(50, value, np.float32)


def test_a_new_window_has_nothing_to_store(bars: tuple[Bar, ...]) -> None:
    """The first change replaces whatever the store has; once confirmed, nothing is left."""
    window = SymbolWindow("EURUSD", CONFIG)
    assert window.take_change() is None
    window.epoch = 4
    window.apply_bars(bars[:2], sequence=9)
    change = change_of(window)
    assert (change.symbol, change.epoch, change.replace, len(change.entries)) == ("EURUSD", 4, True, 2)
    assert (change.previous_sequence, change.sequence, change.previous_revision) == (0, 9, 0)
    assert window.durable_sequence == 0
    window.confirmed(change)
    assert window.durable_sequence == 9
    assert window.take_change() is None


def test_many_ticks_are_one_append(bars: tuple[Bar, ...]) -> None:
    """A change has what came since the last confirmed one; one that was not confirmed is covered by the next."""
    window = window_of(bars[:130])
    first = change_of(window)
    window.confirmed(first)
    for sequence in range(131, 141):
        window.apply_bars([bars[sequence - 1]], sequence=sequence)
        change = change_of(window)
        assert not change.replace
        assert len(change.entries) == sequence - 130
        assert (change.previous_revision, change.previous_sequence) == (first.revision, 130)
        assert change.sequence == sequence
    assert [WindowEntry.from_bytes(entry).sequence for entry in change.entries] == list(range(131, 141))
    assert change.byte_count == sum(map(len, change.entries)) + len(change.head)
    window.confirmed(change)
    window.confirmed(first)  # old news
    assert (window.take_change(), window.durable_sequence) == (None, 140)


def test_the_journal_holds_no_more_than_is_kept(bars: tuple[Bar, ...]) -> None:
    """However long a store is away, the next change is what the window keeps."""
    window = window_of(bars[:130])
    window.confirmed(change_of(window))
    for sequence in range(131, 400):
        window.apply_bars([bars[sequence - 1]], sequence=sequence)
    change = change_of(window)
    assert change.replace
    assert len(change.entries) == change.most_entries == 120


@pytest.mark.parametrize("cause", ["reset", "correction", "history", "lost track"])
def test_what_a_store_has_wrong_is_replaced(bars: tuple[Bar, ...], cause: str) -> None:
    """After these, everything kept is sent again, until it is confirmed."""
    window = window_of(bars[:130])
    window.confirmed(change_of(window))
    match cause:
        case "reset":
            window.reset(sequence=131)
        case "correction":
            window.correct(bars[129], sequence=131)
        case "history":
            window.apply_history(bars[:140])
        case "lost track":
            window.store_lost_track()
    change = change_of(window)
    assert change.replace
    assert len(change.entries) == (0 if cause == "reset" else 120)
    if cause != "reset":
        window.apply_bars([bars[150]], sequence=132)
        assert change_of(window).replace
        window.confirmed(change)
        assert [WindowEntry.from_bytes(entry).sequence for entry in change_of(window).entries] == [132]


def test_trades_inside_a_bar_change_the_head_alone(bars: tuple[Bar, ...]) -> None:
    """A change without entries still brings the sequence and the bar in the making."""
    window = SymbolWindow("EURUSD", CONFIG)
    window.apply_trade(1.0, 1.0, 10.0, sequence=1)
    window.confirmed(change_of(window))
    window.apply_trade(3.0, 1.0, 20.0, sequence=2)
    change = change_of(window)
    assert (change.entries, change.replace, change.sequence) == ((), False, 2)
    # A watermark moves no sequence, but the revision.
    window.confirmed(change)
    window.close_until(HOUR)
    later = change_of(window)
    assert (later.sequence, later.previous_sequence, len(later.entries)) == (2, 2, 1)
    assert later.revision > later.previous_revision == change.revision


def test_a_history_that_is_known_brings_its_sequence_only(bars: tuple[Bar, ...]) -> None:
    """Sent again, it changes nothing; with a later last sequence, that."""
    window = window_of(bars[:130])
    window.confirmed(change_of(window))
    window.apply_history(bars[:130])
    window.apply_history(bars[:130], sequence=130)
    assert window.take_change() is None
    window.apply_history(bars[:130], sequence=140)
    assert (change_of(window).sequence, window.last_sequence) == (140, 140)


def test_older_windows_are_kept_for_those_who_come_back(bars: tuple[Bar, ...]) -> None:
    """As many as the resume depth before the newest; what lies further back is known to be lost."""
    window = window_of(bars[:400], resume_depth=60)
    kept = window.entries_after(0, None)
    assert [item.sequence for item in kept] == list(range(340, 401))
    for item in kept:
        values = window.window_at(item.row_number)
        assert values is not None
        assert np.array_equal(values, real_windows(281)[item.sequence - 120])
    assert window.window_at(kept[0].row_number - 1) is None
    assert window.window_at(window.row_count + 1) is None
    assert [item.sequence for item in window.entries_after(395, None)] == [396, 397, 398, 399, 400]
    lost = window.lost_after(0, None)
    assert lost is not None
    assert (lost.sequence, lost.row_number, lost.as_of_time) == (339, 279, bars[338].open_time + HOUR)
    assert window.lost_after(338, None) == lost
    assert window.lost_after(339, None) is None
    assert window.lost_after(339, bars[338].open_time) == lost


def test_rows_before_the_first_window_are_not_lost(bars: tuple[Bar, ...]) -> None:
    """Nobody was to be answered for them."""
    window = window_of(bars[:179], resume_depth=60)
    assert window.entries_after(0, None)[0].sequence == 120
    assert window.lost_after(0, None) is None
    window.apply_bars([bars[179]], sequence=180)
    window.apply_bars([bars[180]], sequence=181)
    lost = window.lost_after(0, None)
    assert lost is not None
    assert lost.sequence == 120


def test_nobody_is_answered_for_a_history(bars: tuple[Bar, ...]) -> None:
    """Its rows are no answers due, kept or lost; what was ticked before a long one is lost."""
    window = SymbolWindow("EURUSD", CONFIG)
    window.apply_history(bars[:150], sequence=150)
    assert window.entries_after(0, None) == ()
    window.apply_bars([bars[150]], sequence=151)
    assert [item.sequence for item in window.entries_after(0, None)] == [151]
    window.apply_history(bars[151:160])
    assert [item.sequence for item in window.entries_after(0, None)] == [151]
    window.apply_history(bars[160:330], sequence=330)
    assert window.entries_after(0, None) == ()
    lost = window.lost_after(0, None)
    assert lost is not None
    assert lost.sequence == 151


def test_a_reset_loses_what_was_not_answered(bars: tuple[Bar, ...]) -> None:
    """The newest full row before it is known to be gone; rows that made no window are not."""
    window = window_of(bars[:130])
    window.reset(sequence=131)
    lost = window.lost_after(129, None)
    assert lost is not None
    assert lost.sequence == 130
    assert (window.reset_count, window.lost_after(130, None)) == (1, None)
    other = window_of(bars[:100])
    other.reset()
    assert other.lost_after(0, None) is None


def test_the_whole_file_gives_the_training_sets_windows() -> None:
    """Ticked through all real bars, stored and restored on the way, every window is the offline one, bit for bit."""
    everything = read_bars(DATA)
    dataset = Dataset.from_bars(everything, horizon=1, bar_interval=HOUR)
    offline = np.lib.stride_tricks.sliding_window_view(dataset.rows, 60, axis=0)
    window = SymbolWindow("EURUSD", CONFIG)
    for index, bar in enumerate(everything):
        window.apply_bars([bar], sequence=index + 1)
        if index % 97 == 0:
            window.store_lost_track()
            change = change_of(window)
            window = SymbolWindow.restore("EURUSD", CONFIG, change.head, change.entries)
        if index >= 119:
            assert np.array_equal(window.window(), offline[index - 119])


def test_rows_of_callers_are_stored_too() -> None:
    """Entries without bars, of times known or not, come back as the same window."""
    window = SymbolWindow("EURUSD", CONFIG)
    for number in range(1, 200):
        window.apply_row(row(number), None if number % 3 else 1000.0 + number, sequence=number)
    change = change_of(window)
    back = SymbolWindow.restore("EURUSD", CONFIG, change.head, change.entries)
    assert np.array_equal(back.window(), window.window())
    assert (back.as_of_time, back.have, back.row_count) == (window.as_of_time, 120, 199)
    assert back.entries_after(0, None) == window.entries_after(0, None)
    with pytest.raises(Refusal):
        back.apply_trade(1.0, 1.0, 1.0)


@pytest.mark.parametrize(("before", "after"), [(60, 5), (5, 60), (0, 0), (200, 60)])
def test_the_resume_depth_may_change_on_the_way(bars: tuple[Bar, ...], before: int, after: int) -> None:
    """A window comes back under another depth with what there is, and knows what it lost."""
    window = window_of(bars[:450], resume_depth=before)
    change = change_of(window)
    back = SymbolWindow.restore("EURUSD", CONFIG, change.head, change.entries, resume_depth=after)
    kept = back.entries_after(0, None)
    assert kept[-1].sequence == 450
    assert len(kept) == min(max(before, 2), max(after, 2)) + 1
    lost = back.lost_after(0, None)
    assert lost is not None
    assert lost.sequence == kept[0].sequence - 1
    assert lost.row_number == kept[0].row_number - 1
    for bar in bars[450:]:
        window.apply_bars([bar])
        back.apply_bars([bar])
        assert np.array_equal(back.window(), window.window())


def test_a_stored_window_is_read_without_a_symbol(bars: tuple[Bar, ...]) -> None:
    """The newest entries suffice; what is missing is told as by the window itself."""
    window = window_of(bars[:200])
    change = change_of(window)
    stored = read_window(CONFIG, change.head, change.entries[-60:])
    assert np.array_equal(stored.values, window.window())
    assert stored.values.flags.c_contiguous
    assert (stored.last_sequence, stored.as_of_time) == (200, bars[199].open_time + HOUR)
    for count in (0, 1, 59, 60, 61, 119):
        short = window_of(bars[:count])
        short.store_lost_track()
        change = change_of(short)
        refusals = []
        for read in (
            lambda kept=short: kept.window(),
            lambda kept=change: read_window(CONFIG, kept.head, kept.entries),
        ):
            with pytest.raises(Refusal) as caught:
                read()
            refusals.append((caught.value.reason, caught.value.metadata))
        assert refusals[0] == refusals[1] == (Reason.WINDOW_INCOMPLETE, {"have": str(count), "need": "120"})


def test_parts_that_do_not_belong_together_are_refused(bars: tuple[Bar, ...]) -> None:
    """Entries that are missing, foreign, disordered or of another model's width bring no window back."""
    change = change_of(window_of(bars[:200]))
    entries, head = change.entries, change.head
    other = WindowEntry.from_bytes(entries[-1])
    assert other.row is not None
    narrow = dataclasses.replace(other, row=other.row[:49]).to_bytes()
    no_row = dataclasses.replace(other, row=None).to_bytes()
    wrong: list[tuple[bytes, ...]] = [
        (),
        entries[-59:],
        entries[:-1],
        entries[::-1],
        (*entries[:-1], narrow),
        (*entries[:-1], no_row),
        (*entries[:60], b"", *entries[61:]),
    ]
    for bad in wrong:
        with pytest.raises(WindowStateError):
            SymbolWindow.restore("EURUSD", CONFIG, head, bad)
        with pytest.raises(WindowStateError):
            read_window(CONFIG, head, bad[-59:])
    with pytest.raises(WindowStateError):
        SymbolWindow.restore("EURUSD", CONFIG, head[:-1], entries)
    state = WindowHead.from_bytes(head)
    with pytest.raises(WindowStateError):
        SymbolWindow.restore("EURUSD", CONFIG, dataclasses.replace(state, open_bars=b"x").to_bytes(), entries)
