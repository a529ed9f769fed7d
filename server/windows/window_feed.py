"""What a window is filled from: events in, closed bars with their features out.

Owns which events may follow which, the bars in the making, and the features' history. Knows no window: what becomes of
the rows is `symbol_window`'s business. Whatever raises changes nothing.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from model.bar import Bar
from model.bar_aggregator import BarAggregator
from model.data_errors import InvalidTradeError
from model.features import FeatureExtractor
from server.refusal import Reason, Refusal
from server.windows.past_bars import PastBars, check_order, work_out
from server.windows.window_entry import WindowStateError
from server.windows.window_head import FeedKind

FloatArray = npt.NDArray[np.float32]

# What a feed may have been before an event of a kind comes. A history is bars that are no ticks: either kind may go on.
_MAY_FOLLOW: Final = {
    FeedKind.HISTORY: {FeedKind.NOTHING, FeedKind.HISTORY, FeedKind.BARS, FeedKind.TRADES},
    FeedKind.BARS: {FeedKind.NOTHING, FeedKind.HISTORY, FeedKind.BARS},
    FeedKind.TRADES: {FeedKind.NOTHING, FeedKind.HISTORY, FeedKind.TRADES},
    FeedKind.ROWS: {FeedKind.NOTHING, FeedKind.ROWS},
}
_TRADE_FIELDS: Final = {"price": "trade.price", "size": "trade.size", "event_time": "event_time"}


class ClosedBar(NamedTuple):
    """A closed bar and its row of features, float32 [feature_count]; None during warm-up."""

    bar: Bar
    row: FloatArray | None


class WindowFeed:
    """The feed of one symbol since its last reset.

    Args:
        bar_interval: Length of a bar in seconds, > 0.
        lateness_bound: Seconds for which a bar waits for late trades, >= 0.

    Attributes:
        kind: What has come so far.
    """

    __slots__ = ("_aggregator", "_extractor", "kind")

    def __init__(self, *, bar_interval: float, lateness_bound: float) -> None:
        self.kind = FeedKind.NOTHING
        self._extractor = FeatureExtractor(bar_interval=bar_interval)
        self._aggregator = BarAggregator(bar_interval=bar_interval, lateness_bound=lateness_bound)

    @classmethod
    def restore(
        cls, kind: FeedKind, bars: Iterable[Bar], open_bars: bytes, *, bar_interval: float, lateness_bound: float
    ) -> WindowFeed:
        """Returns the feed that was stored.

        Args:
            kind: As it was.
            bars: The newest that the features look back to, oldest first.
            open_bars: What `open_bars` gave.
            bar_interval: As it was.
            lateness_bound: As it is now.

        Raises:
            WindowStateError: The parts are damaged.
        """
        feed = cls(bar_interval=bar_interval, lateness_bound=lateness_bound)
        feed.kind = kind
        try:
            feed._extractor.seed(bars)
            feed._aggregator = BarAggregator.from_bytes(
                open_bars, bar_interval=bar_interval, lateness_bound=lateness_bound
            )
        except ValueError as error:  # out of order, or AggregatorStateError
            msg = f"the bars of a stored window are damaged ({error})"
            raise WindowStateError(msg) from error
        return feed

    @property
    def warmup_bars(self) -> int:
        """Bars that yield no row yet."""
        return self._extractor.warmup_bars

    @property
    def bar_count(self) -> int:
        """Bars that the features' history holds, 0 to 61."""
        return self._extractor.bar_count

    @property
    def max_open_bars(self) -> int:
        """Most bars from trades that can be open at once."""
        return self._aggregator.max_open_bars

    def open_bars(self) -> bytes:
        """Returns the stored form of the bars in the making."""
        return self._aggregator.to_bytes()

    def take_bars(self, bars: Sequence[Bar], *, path: str) -> list[ClosedBar]:
        """Takes closed bars that came as ticks, oldest first, all or none.

        Raises:
            Refusal: INVALID_TICK, where a bar is not later than the one before it, or the feed is another.
        """
        self._check(FeedKind.BARS, field=path.format(index=0))
        for _ in check_order(bars, self._extractor.last_open_time, path=path):
            pass
        self.kind = FeedKind.BARS
        return self._close(bars)

    def take_row(self) -> None:
        """Notes that a ready row of features came.

        Raises:
            Refusal: INVALID_TICK, where the feed is another.
        """
        self._check(FeedKind.ROWS, field="features")
        self.kind = FeedKind.ROWS

    def take_trade(self, price: float, size: float, event_time: float) -> list[ClosedBar]:
        """Takes one trade; returns the bars that it closed, oldest first.

        Raises:
            Refusal: INVALID_TICK, where a value is out of range, the trade's bar has closed, or the feed is another.
        """
        self._check(FeedKind.TRADES, field="trade")
        try:
            bars = self._aggregator.apply(price, size, event_time)
        except InvalidTradeError as error:
            raise self._invalid_trade(error) from None
        self.kind = FeedKind.TRADES
        return self._close(bars)

    def close_until(self, watermark: float) -> list[ClosedBar] | None:
        """Closes the bars in the making that end by `watermark`; None if it changes nothing, not even for later trades.

        Raises:
            Refusal: INVALID_TICK, where the time is out of its range.
        """
        if self.kind in (FeedKind.BARS, FeedKind.ROWS):
            return None
        before = self._aggregator.closed_until
        try:
            bars = self._aggregator.close_until(watermark)
        except InvalidTradeError as error:
            raise self._invalid_trade(error) from None
        return None if self._aggregator.closed_until == before else self._close(bars)

    def correct(self, bar: Bar) -> ClosedBar:
        """Puts a bar in the newest one's place, as if it had come so at first.

        Raises:
            Refusal: INVALID_TICK, where the bar starts at another time than the newest, or there is none.
        """
        newest = self._extractor.last_open_time
        if newest is None or bar.open_time != newest:
            raise Refusal(
                Reason.INVALID_TICK,
                "Only the newest closed bar can be corrected; give its start_time, or send a reset and a history.",
                field="correction.bar.start_time",
                metadata={"newest": "none" if newest is None else f"{newest:.3f}", "have": f"{bar.open_time:.3f}"},
            )
        return ClosedBar(bar, self._extractor.amend(bar))

    def preview(self, most: int) -> list[FloatArray]:
        """Returns the rows of the newest `most` bars in the making as they stand, oldest first; none in warm-up."""
        rows = self._extractor.preview_all(self._aggregator.partial())
        return [row for row in rows[-most:] if row is not None]

    def work_out(self, bars: Sequence[Bar], *, steps: int, path: str) -> Generator[None, None, PastBars]:
        """Works out a history aside, in slices.

        Raises:
            Refusal: INVALID_TICK, where a bar is not later than the one before it, or the feed is another.
        """
        self._check(FeedKind.HISTORY, field=path.format(index=0))
        return work_out(self._extractor, bars, steps=steps, path=path)

    def take_past(self, past: PastBars) -> None:
        """Takes a history that was worked out since the last change. Bars in the making of its intervals give way."""
        if not past.bars:
            return
        self._extractor = past.extractor
        if self.kind is FeedKind.NOTHING:
            self.kind = FeedKind.HISTORY
        self._aggregator.skip(past.bars[-1].open_time)

    def _close(self, bars: Sequence[Bar]) -> list[ClosedBar]:
        return [ClosedBar(bar, self._extractor.update(bar)) for bar in bars]

    def _check(self, kind: FeedKind, *, field: str) -> None:
        """Refuses to mix kinds: their rows would not follow from one another."""
        if self.kind not in _MAY_FOLLOW[kind]:
            raise Refusal(
                Reason.INVALID_TICK,
                "The symbol's window is fed with another kind: bars, trades or feature rows; send a reset to change.",
                field=field,
                metadata={"fed_with": self.kind.name.lower(), "have": kind.name.lower()},
            )

    def _invalid_trade(self, error: InvalidTradeError) -> Refusal:
        until = self._aggregator.closed_until
        return Refusal(
            Reason.INVALID_TICK,
            f"{error}.",
            field=_TRADE_FIELDS[error.field],
            metadata={} if until is None else {"closed_until": f"{until:.3f}"},
        )
