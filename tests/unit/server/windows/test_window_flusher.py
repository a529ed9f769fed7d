"""Laws of the write-behind: nothing that changed is forgotten, one round at a time, and one failure is one window's."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from server.windows.held_windows import HeldWindow
from server.windows.store_word import StoreUnavailableError, StoreWord
from server.windows.symbol_window import SymbolWindow
from server.windows.window_flusher import Change, WindowFlusher
from server.windows.window_key import key_of
from tests.support.registry import make_config
from tests.support.windows import Listener, eventually

CONFIG = make_config()
Word = StoreWord | StoreUnavailableError


def accept(change: Change) -> Word:
    """Answers as a store that is well."""
    return StoreWord.ACCEPTED


class FakeStore:
    """A store that accepts everything, unless told otherwise.

    Attributes:
        rounds: Symbols of each chunk that arrived.
        answer: The word on one change; may raise to fail the chunk.
        most_at_once: Most chunks that were on their way together.
    """

    def __init__(self) -> None:
        self.rounds: list[list[str]] = []
        self.changes: list[Change] = []
        self.answer: Callable[[Change], Word] = accept
        self.most_at_once = 0
        self._at_once = 0

    async def write(self, chunk: Sequence[Change]) -> list[Word]:
        """Answers after others have had their turn."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0)
            self.rounds.append([change.symbol for _, change in chunk])
            words = [self.answer(change) for change in chunk]
            self.changes += chunk
            return words
        finally:
            self._at_once -= 1


class Setting:
    """A flusher, its store, and what it said."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.listener = Listener()
        self.stored: list[str] = []
        self.lost: list[str] = []
        self.lost_for_good = True
        self.flusher = WindowFlusher(
            self.store.write,
            on_stored=lambda held: self.stored.append(held.key.symbol),
            on_lost=self._on_lost,
            interval=0.0,
        )

    def _on_lost(self, held: HeldWindow) -> bool:
        self.lost.append(held.key.symbol)
        return self.lost_for_good

    def held(self, *symbols: str, rows: int = 1) -> list[HeldWindow]:
        """Returns windows that a stream holds, with so many rows each, told to have changed."""
        windows = []
        for symbol in symbols:
            held = HeldWindow(key_of(symbol, CONFIG, ""), SymbolWindow(symbol, CONFIG))
            held.take_over(self.listener)
            self.tick(held, rows)
            windows.append(held)
        return windows

    def tick(self, held: HeldWindow, rows: int = 1) -> None:
        """Applies rows to a window and tells of them."""
        for sequence in range(held.window.last_sequence + 1, held.window.last_sequence + rows + 1):
            held.window.apply_row(np.full(50, sequence, np.float32), float(sequence), sequence=sequence)
        self.flusher.changed(held)


@pytest.fixture
def setting() -> Setting:
    """Everything well."""
    return Setting()


async def test_every_window_is_written_once_in_bounded_chunks(setting: Setting) -> None:
    """However much has changed: no chunk is larger than one change beyond the bound, none is empty."""
    symbols = [f"S{index}" for index in range(150)]
    setting.held(*symbols, rows=40)
    await setting.flusher.flush()
    assert [symbol for chunk in setting.store.rounds for symbol in chunk] == symbols
    assert len(setting.store.rounds) > 2
    sizes = [change.byte_count for _, change in setting.store.changes]
    for chunk in setting.store.rounds:
        assert sum(sizes[: len(chunk)]) - sizes[len(chunk) - 1] < 256 * 1024
        assert len(chunk) <= 64
        del sizes[: len(chunk)]
    assert setting.flusher.counters.byte_count == sum(change.byte_count for _, change in setting.store.changes)
    assert sorted(setting.stored) == sorted(symbols)


async def test_a_window_without_news_is_not_written(setting: Setting) -> None:
    """It counts as stored at once."""
    [held] = setting.held("A")
    await setting.flusher.flush()
    setting.flusher.changed(held)
    await setting.flusher.flush()
    assert setting.store.rounds == [["A"]]
    assert setting.stored == ["A", "A"]


async def test_what_happens_during_a_write_is_written_next(setting: Setting) -> None:
    """Ticks that come while a change is on its way are durable by the following one, not by its answer."""
    [held] = setting.held("A")

    def tick_once(change: Change) -> Word:
        setting.store.answer = accept
        setting.tick(held)
        return StoreWord.ACCEPTED

    setting.store.answer = tick_once
    await setting.flusher.flush()
    assert setting.listener.durable_sequences == [("A", 1), ("A", 2)]
    assert [change.replace for _, change in setting.store.changes][1] is False


async def test_a_store_that_is_away_forgets_nothing(setting: Setting) -> None:
    """A failure in the middle of a round leaves what was stored and tries the rest again, with what came meanwhile."""
    windows = setting.held(*[f"S{index}" for index in range(100)])

    def fail_late(change: Change) -> Word:
        if change[1].symbol == "S80":
            raise StoreUnavailableError
        return StoreWord.ACCEPTED

    setting.store.answer = fail_late
    with pytest.raises(StoreUnavailableError):
        await setting.flusher.flush()
    assert {symbol for symbol, _ in setting.listener.durable_sequences} == {f"S{index}" for index in range(64)}
    setting.tick(windows[0])
    setting.store.answer = accept
    await setting.flusher.flush()
    assert setting.listener.durable_sequence("S0") == 2
    assert {symbol for symbol, _ in setting.listener.durable_sequences} == {f"S{index}" for index in range(100)}
    assert (setting.flusher.counters.failures, setting.flusher.counters.changes) == (1, 101)


async def test_one_window_that_fails_does_not_hold_up_the_others(setting: Setting) -> None:
    """The others are stored in the same round and go on at once; it is tried again after a delay."""
    bad, good = setting.held("BAD", "GOOD")
    setting.store.answer = lambda change: (
        StoreUnavailableError("full") if change[1].symbol == "BAD" else StoreWord.ACCEPTED
    )
    with pytest.raises(StoreUnavailableError):
        await setting.flusher.flush()
    running = asyncio.create_task(setting.flusher.run())
    try:
        for _ in range(5):
            setting.tick(good)
            await eventually(lambda: setting.listener.durable_sequence("GOOD") == good.window.last_sequence)
        setting.tick(bad)
        setting.store.answer = accept
        await eventually(lambda: setting.listener.durable_sequence("BAD") == 2)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        setting.flusher.close()


async def test_what_does_not_follow_is_sent_whole(setting: Setting) -> None:
    """MISMATCH leads to one full write; what is durable is told then, not before."""
    [held] = setting.held("A", rows=70)
    await setting.flusher.flush()
    setting.tick(held)
    setting.store.answer = lambda change: StoreWord.ACCEPTED if change[1].replace else StoreWord.MISMATCH
    await setting.flusher.flush()
    kinds = [(change.replace, len(change.entries)) for _, change in setting.store.changes]
    assert kinds[1:] == [(False, 1), (True, 71)]
    assert setting.listener.durable_sequences == [("A", 70), ("A", 71)]
    assert setting.flusher.counters.reseeds == 1


async def test_a_lost_window_is_told_of_once_and_written_no_more(setting: Setting) -> None:
    """Its change is dropped, the others' are not."""
    setting.held("A", "B")
    setting.store.answer = lambda change: StoreWord.LOST if change[1].symbol == "A" else StoreWord.ACCEPTED
    await setting.flusher.flush()
    await setting.flusher.flush()
    assert (setting.lost, setting.stored) == (["A"], ["B"])
    assert setting.store.rounds == [["A", "B"]]
    assert setting.flusher.counters.lost == 1


@pytest.mark.parametrize("raised_meanwhile", [True, False])
async def test_a_takeover_within_the_replica_is_no_loss(setting: Setting, raised_meanwhile: bool) -> None:
    """Where the epoch rose while the change was on its way, or soon will, the window is written again under the new."""
    [held] = setting.held("A")
    setting.lost_for_good = False

    def refuse_once(change: Change) -> Word:
        setting.store.answer = accept
        if raised_meanwhile:
            held.window.epoch += 1
        return StoreWord.LOST

    setting.store.answer = refuse_once
    await setting.flusher.flush()
    assert setting.listener.durable_sequences == [("A", 1)]
    assert setting.lost == ([] if raised_meanwhile else ["A"])
    assert setting.flusher.counters.lost == 0


async def test_one_round_at_a_time(setting: Setting) -> None:
    """The background's rounds and whoever flushes wait for each other."""
    running = asyncio.create_task(setting.flusher.run())
    windows = setting.held("A", "B")
    for _ in range(20):
        for held in windows:
            setting.tick(held)
        await asyncio.gather(setting.flusher.flush(), setting.flusher.flush())
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert setting.store.most_at_once == 1
    assert setting.listener.durable_sequence("A") == setting.listener.durable_sequence("B") == 21


async def test_a_cancelled_round_forgets_nothing(setting: Setting) -> None:
    """Wherever it is cut, the next round has all that was not answered."""
    symbols = [f"S{index}" for index in range(100)]
    for steps in range(6):
        setting.held(*symbols)
        flushing = asyncio.create_task(setting.flusher.flush())
        for _ in range(steps):
            await asyncio.sleep(0)
        flushing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await flushing
        await setting.flusher.flush()
    assert [setting.listener.durable_sequences.count((symbol, 1)) for symbol in symbols] == [6] * 100


async def test_a_fault_of_ours_does_not_end_the_writing(setting: Setting, caplog: pytest.LogCaptureFixture) -> None:
    """It is told in the log, with its cause, and tried again."""
    setting.held("A")

    def fail_once(change: Change) -> Word:
        setting.store.answer = accept
        raise ValueError("ours")

    setting.store.answer = fail_once
    running = asyncio.create_task(setting.flusher.run())
    try:
        await eventually(lambda: setting.listener.durable_sequence("A") == 1)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert "ours" in caplog.text
