"""The rolling window of one symbol: bars or ready rows in, the model's input out.

Owns order and content of one symbol's window: what was applied last, how far it is filled, what the newest rows are.
Pure state, no clock, no I/O; who may write to it is the window store's business.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.bar import Bar
from model.features import FeatureExtractor
from model.model_config import ModelConfig
from server.refusal import Reason, Refusal

FloatArray = npt.NDArray[np.float32]


class SymbolWindow:
    """One symbol's newest feature rows.

    Attributes:
        symbol: Name.
        last_sequence: Sequence number of the last tick applied; 0 before the first.
        as_of_time: End of the newest bar, seconds since the epoch; None before the first.
        row_count: Rows applied since the last reset; at most `time_steps` of them are kept.
        epoch: Raised by each `open`; a stream with an older one has lost the symbol.
        holders: Open streams that use the window; only a window without any may be forgotten.
    """

    __slots__ = (
        "_buffer", "_end", "_extractor", "_fed_with_rows", "_interval", "_steps", "as_of_time", "epoch", "holders",
        "last_sequence", "row_count", "symbol",
    )  # fmt: skip

    def __init__(self, symbol: str, config: ModelConfig) -> None:
        self.symbol = symbol
        self.last_sequence = 0
        self.epoch = 0
        self.holders = 0
        self._steps = config.network.time_steps
        self._interval = config.bar_interval_seconds
        # Rows are written left to right; at the end of the buffer the newest window moves to its beginning. So a window
        # is always one slice, and moving costs one row's share per bar.
        self._buffer = np.zeros((config.network.feature_count, 2 * self._steps), dtype=np.float32)
        self.reset()

    def reset(self) -> None:
        """Empties the window; the sequence stands."""
        self._extractor = FeatureExtractor(bar_interval=self._interval)
        self._fed_with_rows: bool | None = None
        self._end = 0
        self.row_count = 0
        self.as_of_time: float | None = None

    @property
    def need(self) -> int:
        """Bars that the first window needs: the features' warm-up and the window's steps."""
        return self._extractor.warmup_bars + self._steps

    @property
    def have(self) -> int:
        """Bars applied so far towards the first window, at most `need`."""
        if self.row_count:
            return min(self.need, self._extractor.warmup_bars + self.row_count)
        return self._extractor.bar_count

    def apply_history(self, bars: Sequence[Bar], *, path: str = "bars[{index}]") -> None:
        """Applies past bars, all or none; those that the window has passed already are left out.

        So a client that comes back may send its history again.

        Args:
            bars: Oldest first.
            path: Where a bar lies in the request, for errors.

        Raises:
            Refusal: As `apply_bars`.
        """
        newest = self._extractor.last_open_time
        known = 0
        while newest is not None and known < len(bars) and bars[known].open_time <= newest:
            known += 1
        self.apply_bars(bars[known:], path=path, first=known)

    def apply_bars(self, bars: Sequence[Bar], *, path: str = "bars[{index}]", first: int = 0) -> None:
        """Applies bars, all or none.

        Args:
            bars: Oldest first.
            path: Where a bar lies in the request, for errors.
            first: Index of the first of the bars in the request.

        Raises:
            Refusal: INVALID_TICK, where a bar is not later than the one before it, or the window is fed with rows.
        """
        self._check_feed(with_rows=False, field=path.format(index=first))
        newest = self._extractor.last_open_time
        for index, bar in enumerate(bars, first):
            if newest is not None and bar.open_time <= newest:
                raise Refusal(
                    Reason.INVALID_TICK,
                    "The bar's start_time must be later than that of the bar before it; send bars in order, once each.",
                    field=f"{path.format(index=index)}.start_time",
                    metadata={"index": str(index), "newest": f"{newest:.3f}", "have": f"{bar.open_time:.3f}"},
                )
            newest = bar.open_time
        if not bars:
            return
        self._fed_with_rows = False
        missing = max(0, self._extractor.warmup_bars - self._extractor.bar_count)
        row_count = self.row_count + max(0, len(bars) - missing)
        if len(bars) > self.need:
            # A window depends on its newest `need` bars alone: a long history costs no more than that many rows.
            self._extractor = FeatureExtractor(bar_interval=self._interval)
        for bar in bars[-self.need :]:
            row = self._extractor.update(bar)
            if row is not None:
                self._append(row)
        self.row_count = row_count
        self.as_of_time = bars[-1].open_time + self._interval

    def apply_row(self, row: FloatArray, event_time: float | None) -> None:
        """Applies one ready row of features, `[feature_count]`, all finite.

        Raises:
            Refusal: INVALID_TICK, where the window was filled from bars.
        """
        self._check_feed(with_rows=True, field="features")
        self._fed_with_rows = True
        self._append(row)
        self.row_count += 1
        self.as_of_time = event_time

    def window(self) -> FloatArray:
        """Returns a copy of the newest window, `[feature_count, time_steps]`, oldest step first.

        Raises:
            Refusal: WINDOW_INCOMPLETE, with `have` and `need` in its metadata.
        """
        if self.row_count < self._steps:
            raise Refusal(
                Reason.WINDOW_INCOMPLETE,
                f"The symbol has {self.have} of the {self.need} bars that a first window needs; send more, or history.",
                field="symbol",
                metadata={"have": str(self.have), "need": str(self.need)},
            )
        return self._buffer[:, self._end - self._steps : self._end].copy()

    def is_full(self) -> bool:
        """Tells whether the window can be answered."""
        return self.row_count >= self._steps

    def _append(self, row: FloatArray) -> None:
        if self._end == self._buffer.shape[1]:
            kept = self._steps - 1
            self._buffer[:, :kept] = self._buffer[:, self._end - kept :]
            self._end = kept
        self._buffer[:, self._end] = row
        self._end += 1

    def _check_feed(self, *, with_rows: bool, field: str) -> None:
        """Refuses to mix bars and ready rows: their rows would not follow from one another."""
        if self._fed_with_rows is not None and self._fed_with_rows is not with_rows:
            raise Refusal(
                Reason.INVALID_TICK,
                "The symbol's window is fed with the other kind, bars or feature rows; send a reset before changing.",
                field=field,
            )
