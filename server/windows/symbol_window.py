"""What ticks do to the window of one symbol: bars, trades or ready rows in, the model's input out.

Owns what each event changes, all or nothing. Pure state, no clock, no I/O; who may write to a window, and where it
survives, is the window store's business.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from model.bar import Bar
from server.refusal import Reason, Refusal
from server.windows.closed_row import ClosedRow
from server.windows.past_bars import PastBars
from server.windows.window_entry import WindowEntry
from server.windows.window_feed import ClosedBar, WindowFeed
from server.windows.window_state import WindowState

FloatArray = npt.NDArray[np.float32]


class SymbolWindow(WindowState):
    """One symbol's window, as ticks change it. Not safe between threads.

    Whatever raises leaves the window as it was. `sequence` is everywhere the number of the tick that brings the change,
    above those before it; left out, the sequence stands.
    """

    __slots__ = ()

    def reset(self, *, sequence: int | None = None) -> None:
        """Empties the window."""
        self._advance(sequence, replace=True)
        self._rows.forget(bars=True)
        self._rows.count = 0
        self._feed = WindowFeed(bar_interval=self._interval, lateness_bound=self._lateness_bound)
        self.as_of_time = None
        self.reset_count += 1

    def apply_bars(
        self, bars: Sequence[Bar], *, sequence: int | None = None, path: str = "bars[{index}]"
    ) -> tuple[ClosedRow, ...]:
        """Applies closed bars that came as ticks, all or none; returns their rows, none during warm-up.

        Args:
            bars: Oldest first.
            sequence: See the class.
            path: Where a bar lies in the request, for errors.

        Raises:
            Refusal: INVALID_TICK, where a bar is not later than the one before it, or the feed is another.
        """
        if not bars:
            return ()
        closed = self._feed.take_bars(bars, path=path)
        self._advance(sequence)
        return self._close(closed)

    def apply_history(self, bars: Sequence[Bar], *, sequence: int | None = None, path: str = "bars[{index}]") -> None:
        """Does all of `history_steps` at once."""
        for _ in self.history_steps(bars, sequence=sequence, path=path):
            pass

    def history_steps(
        self, bars: Sequence[Bar], *, sequence: int | None = None, path: str = "bars[{index}]"
    ) -> Generator[None, None, None]:
        """Applies past bars, all or none; those that the window has passed already are left out.

        So a client that comes back may send its history again. Bars that trades are building give way to past ones of
        the same intervals. Between two steps, each under a millisecond, an event loop may give way to others: they see
        the window as it was until the last step, and must not change it.

        Args:
            bars: Oldest first; however many, only the newest `need` become features.
            sequence: See the class; it may be that of the last tick applied.
            path: Where a bar lies in the request, for errors.

        Raises:
            Refusal: INVALID_TICK, as `apply_bars`; SYMBOL_NOT_OPEN, where another stream took the symbol meanwhile.
        """
        epoch, revision = self.epoch, self._journal.revision
        past = yield from self._feed.work_out(bars, steps=self._steps, path=path)
        if self.epoch != epoch:
            raise Refusal(
                Reason.SYMBOL_NOT_OPEN,
                "Another stream has opened this symbol and taken it over; open it anew to take it back.",
                field="symbol",
                metadata={"symbol": self.symbol},
            )
        if self._journal.revision != revision:
            msg = "a window was changed while a history was being applied to it"
            raise RuntimeError(msg)
        self._take_past(past, sequence)

    def apply_row(
        self, row: FloatArray, event_time: float | None, *, sequence: int | None = None
    ) -> tuple[ClosedRow, ...]:
        """Applies one ready row of features, `[feature_count]`, all finite; returns it as closed.

        Raises:
            Refusal: INVALID_TICK, where the feed is another.
        """
        self._feed.take_row()
        self._advance(sequence)
        self.as_of_time = event_time
        return self._keep(None, row)

    def apply_trade(
        self, price: float, size: float, event_time: float, *, sequence: int | None = None
    ) -> tuple[ClosedRow, ...]:
        """Applies one trade; returns the rows of the bars that it closed, none during warm-up.

        Args:
            price: Above zero.
            size: At least 0, in the units of the bars' volume.
            event_time: Seconds since the epoch.
            sequence: See the class.

        Raises:
            Refusal: INVALID_TICK, where a value is out of range, the trade's bar has closed, or the feed is another.
        """
        closed = self._feed.take_trade(price, size, event_time)
        self._advance(sequence)
        return self._close(closed)

    def close_until(self, watermark: float) -> tuple[ClosedRow, ...]:
        """Closes the bars from trades that end by `watermark`, seconds since the epoch; returns their rows.

        Trades before it are refused from now on. It means nothing to a window that bars or rows are ticked into.

        Raises:
            Refusal: INVALID_TICK, where the time is out of its range.
        """
        closed = self._feed.close_until(watermark)
        if closed is None:
            return ()
        self._advance(None)
        return self._close(closed)

    def correct(self, bar: Bar, *, sequence: int | None = None) -> tuple[ClosedRow, ...]:
        """Puts a bar in the newest one's place, as if it had come so at first; returns its row, none during warm-up.

        Raises:
            Refusal: INVALID_TICK, where the bar starts at another time than the newest, or there is none.
        """
        corrected = self._feed.correct(bar)
        revision = self._advance(sequence, replace=True)
        ring = self._rows.ring
        # The answer to a history's bar was due to nobody, so there is no earlier one to account for.
        first = ring.first_sequence(0) if ring.is_live(0) else None
        ring.amend(self._entry(bar, corrected.row, first_sequence=first), revision)
        return () if corrected.row is None else (self._rows.row(0),)

    def _advance(self, sequence: int | None, *, replace: bool = False) -> int:
        if sequence is not None:
            self.last_sequence = sequence
        return self._journal.advance(replace=replace)

    def _take_past(self, past: PastBars, sequence: int | None) -> None:
        if not past.bars:
            if sequence is not None and sequence != self.last_sequence:
                self._advance(sequence)
            return
        self._advance(sequence, replace=True)
        if past.has_gap or not past.has_all:
            self._rows.forget(bars=not past.has_all)
        self._feed.take_past(past)
        self._rows.count += past.row_count - sum(row is not None for row in past.rows)
        for bar, row in zip(past.bars, past.rows, strict=True):
            self._keep(bar, row, live=False)

    def _close(self, bars: Iterable[ClosedBar]) -> tuple[ClosedRow, ...]:
        return tuple(row for bar in bars for row in self._keep(bar.bar, bar.row))

    def _keep(self, bar: Bar | None, row: FloatArray | None, *, live: bool = True) -> tuple[ClosedRow, ...]:
        """Adds an entry; returns its row, if it has one."""
        closed = self._rows.keep(self._entry(bar, row, live=live), self._journal.revision)
        return () if closed is None else (closed,)

    def _entry(
        self, bar: Bar | None, row: FloatArray | None, *, live: bool = True, first_sequence: int | None = None
    ) -> WindowEntry:
        """Returns the entry that the last tick makes; with a bar, the window ends where it does from now on."""
        if bar is not None:
            self.as_of_time = bar.open_time + self._interval
        return WindowEntry(
            sequence=self.last_sequence,
            first_sequence=self.last_sequence if first_sequence is None else first_sequence,
            as_of_time=self.as_of_time,
            bar=bar,
            row=row,
            live=live,
        )
