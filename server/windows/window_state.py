"""What is known of one symbol's window, how it is read, and how it reaches a store and comes back.

Owns the window's parts and their stored form as a whole. What changes it is `symbol_window`'s business.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from model.feature_schema import MAX_LOOKBACK
from model.model_config import ModelConfig
from server.windows.closed_row import ClosedRow
from server.windows.stored_window import check_stored, have_bars, incomplete
from server.windows.window_change import WindowChange
from server.windows.window_entry import WindowEntry
from server.windows.window_feed import WindowFeed
from server.windows.window_head import WindowHead
from server.windows.window_journal import WindowJournal
from server.windows.window_rows import WindowRows

FloatArray = npt.NDArray[np.float32]
DEFAULT_RESUME_DEPTH: Final = 60


class WindowState:
    """One symbol's newest bars and feature rows. Not safe between threads.

    Args:
        symbol: Name.
        config: Of the models that read the window.
        resume_depth: Rows before the newest whose windows are kept for a client that comes back, >= 0.
        lateness_bound: Seconds for which a bar waits for late trades, >= 0.

    Attributes:
        symbol: Name.
        last_sequence: Sequence number of the last tick applied; 0 before the first. Not to be set from outside.
        as_of_time: End of the newest bar, seconds since the epoch; None before the first. Not to be set from outside.
        epoch: Raised by each `open`; a stream with an older one has lost the symbol.
        reset_count: Resets so far.
    """

    __slots__ = (
        "_feed", "_interval", "_journal", "_lateness_bound", "_rows", "_steps", "as_of_time", "epoch",
        "last_sequence", "reset_count", "symbol",
    )  # fmt: skip

    def __init__(
        self,
        symbol: str,
        config: ModelConfig,
        *,
        resume_depth: int = DEFAULT_RESUME_DEPTH,
        lateness_bound: float = 0.0,
    ) -> None:
        self.symbol = symbol
        self.last_sequence = 0
        self.as_of_time: float | None = None
        self.epoch = 0
        self.reset_count = 0
        self._steps = config.network.time_steps
        self._interval = config.bar_interval_seconds
        self._lateness_bound = lateness_bound
        self._feed = WindowFeed(bar_interval=self._interval, lateness_bound=lateness_bound)
        # A watermark may close all open bars at once, and each must still be answered; a restored symbol needs the bars
        # that its features look back to.
        most = max(self._steps + max(resume_depth, self._feed.max_open_bars), MAX_LOOKBACK)
        self._rows = WindowRows(feature_count=config.network.feature_count, steps=self._steps, most=most)
        self._journal = WindowJournal()

    @classmethod
    def restore(
        cls,
        symbol: str,
        config: ModelConfig,
        head: bytes,
        entries: Iterable[bytes],
        *,
        resume_depth: int = DEFAULT_RESUME_DEPTH,
        lateness_bound: float = 0.0,
    ) -> Self:
        """Returns the window that a store has; it goes on, bit for bit, as the one that was stored.

        Args:
            symbol: As it was.
            config: As it was, as far as it decides features and window.
            head: The newest head.
            entries: All entries that are kept, oldest first.
            resume_depth: As it is now; it may have changed.
            lateness_bound: As it is now; it may have changed.

        Raises:
            WindowStateError: The bytes are damaged, of another version, or do not belong together.
        """
        stored = WindowHead.from_bytes(head)
        kept = [WindowEntry.from_bytes(entry) for entry in entries]
        check_stored(stored, kept, config)
        window = cls(symbol, config, resume_depth=resume_depth, lateness_bound=lateness_bound)
        bars = [entry.bar for entry in kept if entry.bar is not None]
        window._feed = WindowFeed.restore(
            stored.feed,
            bars[len(bars) - stored.bar_count :],
            stored.open_bars,
            bar_interval=window._interval,
            lateness_bound=lateness_bound,
        )
        window._rows.count = stored.row_count - sum(entry.row is not None for entry in kept)
        window._rows.lost = stored.lost
        for entry in kept:
            window._rows.keep(entry, stored.revision)
        window._journal = WindowJournal(revision=stored.revision, sequence=stored.sequence)
        window.last_sequence, window.as_of_time = stored.sequence, stored.as_of_time
        window.reset_count = stored.reset_count
        return window

    @property
    def row_count(self) -> int:
        """Rows applied since the last reset."""
        return self._rows.count

    @property
    def need(self) -> int:
        """Bars that the first window needs: the features' warm-up and the window's steps."""
        return self._feed.warmup_bars + self._steps

    @property
    def have(self) -> int:
        """Bars applied so far towards the first window, at most `need`."""
        return have_bars(self.row_count, self._feed.bar_count, self._steps)

    def is_full(self) -> bool:
        """Tells whether the window can be answered."""
        return self.row_count >= self._steps

    def window(self) -> FloatArray:
        """Returns a copy of the newest window, `[feature_count, time_steps]`, oldest step first.

        Raises:
            Refusal: WINDOW_INCOMPLETE, with `have` and `need` in its metadata.
        """
        window = self.window_at(self.row_count)
        if window is None:
            raise incomplete(self.have, self.need)
        return window

    def has_window_at(self, row_number: int) -> bool:
        """Tells whether `window_at` has a window for that number."""
        return self._rows.has_window(row_number)

    def window_at(self, row_number: int) -> FloatArray | None:
        """Returns a copy of the window whose newest row has that number; None if it is not kept, or never was full."""
        return self._rows.window(row_number)

    def partial_window(self) -> FloatArray | None:
        """Returns the window as if the bars from trades closed now; None if none is open, or it would not be full."""
        return self._rows.ahead(self._feed.preview(self._steps))

    def entries_after(self, sequence: int, as_of_time: float | None) -> tuple[ClosedRow, ...]:
        """Returns the rows, oldest first, that came with ticks after a place and whose windows are kept.

        Args:
            sequence: Of the last row that a client has the answer to; 0 for none.
            as_of_time: End of that row's bar; None if unknown, then all rows of that sequence count as answered.
        """
        return self._rows.after(sequence, as_of_time)

    def lost_after(self, sequence: int, as_of_time: float | None) -> ClosedRow | None:
        """Returns the newest row after that place that came with a tick, was full, and whose window is gone."""
        lost = self._rows.lost
        return lost if lost is not None and lost.follows(sequence, as_of_time) else None

    @property
    def durable_sequence(self) -> int:
        """Sequence number of the last tick that the store has confirmed; 0 for none."""
        return self._journal.durable_sequence

    @property
    def stored_revision(self) -> int:
        """Newest revision that the store has confirmed; 0 for none."""
        return self._journal.stored_revision

    def take_change(self) -> WindowChange | None:
        """Returns all that the store has not confirmed yet; None if that is nothing. Changes nothing."""
        return self._journal.take_change(
            symbol=self.symbol, epoch=self.epoch, sequence=self.last_sequence, ring=self._rows.ring, head=self._head
        )

    def confirmed(self, change: WindowChange) -> None:
        """Notes that the store has a change that was taken here, and so all before it."""
        self._journal.confirmed(change)

    def store_lost_track(self) -> None:
        """Notes that the store has not what it had confirmed: the next change replaces everything."""
        self._journal.store_lost_track()

    def _head(self) -> bytes:
        return WindowHead(
            revision=self._journal.revision,
            sequence=self.last_sequence,
            feed=self._feed.kind,
            row_count=self.row_count,
            bar_count=self._feed.bar_count,
            reset_count=self.reset_count,
            as_of_time=self.as_of_time,
            lost=self._rows.lost,
            open_bars=self._feed.open_bars(),
        ).to_bytes()
