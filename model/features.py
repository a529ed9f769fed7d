"""The feature extractor: bars in, one row of 50 features a bar out, the same code offline and online.

Owns one symbol's way from bars to rows; the formulas are those of `feature_row`. Knows nothing of windows, files or
networks.

Each row is a function of the newest 61 bars and the bar interval alone, so a symbol can be rebuilt from its last 61
bars, and rows do not depend on where a stream was cut.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from model.bar import Bar
from model.bar_history import BarHistory
from model.feature_row import SPAN, feature_row
from model.feature_schema import MAX_LOOKBACK, SCHEMA_ID

FloatRow = npt.NDArray[np.float32]


class FeatureExtractor:
    """Turns the bars of one symbol into rows of features, one at a time. Not safe between threads.

    Attributes:
        warmup_bars: Bars that yield no row yet: the first 60 updates return None, the 61st the first row.
        schema_id: Id of the ordered feature table the rows follow.
    """

    __slots__ = ("_history",)

    warmup_bars: Final = SPAN
    schema_id: Final = SCHEMA_ID

    def __init__(self, *, bar_interval: float = 3600.0) -> None:
        """Starts without history.

        Args:
            bar_interval: Length of a bar in seconds, > 0; starts further apart than 1.5 of it are a gap.
        """
        self._history = BarHistory(bar_interval)

    @property
    def bar_interval(self) -> float:
        """Length of a bar in seconds."""
        return self._history.bar_interval

    @property
    def last_open_time(self) -> float | None:
        """Start of the newest bar in seconds since the epoch, None before the first."""
        return self._history.last_open_time

    @property
    def bar_count(self) -> int:
        """Bars of history held, 0 to 61; a row comes out of every update from the 61st on."""
        return len(self._history)

    def update(self, bar: Bar) -> FloatRow | None:
        """Takes the next bar; returns its row, float32 [50], each value in [-10, 10], or None during warm-up.

        Raises:
            InvalidBarError: The bar does not start after the last one; the extractor is unchanged.
        """
        self._history.append(bar)
        return _newest_row(self._history)

    def preview(self, bar: Bar) -> FloatRow | None:
        """Returns what `update` would, and changes nothing; for a bar that has not closed yet.

        Raises:
            InvalidBarError: As `update`.
        """
        return self.preview_all((bar,))[0]

    def preview_all(self, bars: Iterable[Bar]) -> list[FloatRow | None]:
        """Returns what `update` would for each of `bars`, one after the other, and changes nothing.

        Raises:
            InvalidBarError: As `update`.
        """
        ahead = self._history.copy()
        rows = []
        for bar in bars:
            ahead.append(bar)
            rows.append(_newest_row(ahead))
        return rows

    def seed(self, bars: Iterable[Bar]) -> None:
        """Takes bars, oldest first, without computing their rows; later rows are bit-identical to those after `update`.

        Raises:
            InvalidBarError: A bar does not start after the one before it; those before it were taken.
        """
        for bar in bars:
            self._history.append(bar)

    def amend(self, bar: Bar) -> FloatRow | None:
        """Puts `bar` in the newest bar's place; returns its row, as if it had been the one given to `update`.

        Raises:
            InvalidBarError: It starts at another time than the newest bar, or there is none; nothing is changed.
        """
        self._history.amend(bar)
        return _newest_row(self._history)

    def copy(self) -> "FeatureExtractor":
        """Returns an extractor that goes its own way from here."""
        twin = FeatureExtractor.__new__(FeatureExtractor)
        twin._history = self._history.copy()
        return twin

    def state(self) -> bytes:
        """Returns all that later rows depend on, at most 3 KB, for `from_state`."""
        return self._history.to_bytes()

    @classmethod
    def from_bars(cls, bars: Iterable[Bar], *, bar_interval: float) -> "FeatureExtractor":
        """Returns an extractor that has taken `bars`, oldest first; the newest 61 decide all of its later rows.

        Raises:
            InvalidBarError: A bar does not start after the one before it.
        """
        extractor = cls(bar_interval=bar_interval)
        extractor.seed(bars)
        return extractor

    @classmethod
    def from_state(cls, state: bytes) -> "FeatureExtractor":
        """Restores an extractor whose later rows are bit-identical to those of the one stored.

        Raises:
            FeatureStateError: The state is damaged, or was stored under another feature schema.
        """
        extractor = cls.__new__(cls)
        extractor._history = BarHistory.from_bytes(state)
        return extractor


def _newest_row(history: BarHistory) -> FloatRow | None:
    """Returns the row of the newest bar, float32 [50], or None during warm-up."""
    newest = history.last_open_time
    if newest is None or len(history) < MAX_LOOKBACK:
        return None
    return np.array(feature_row(history.series(), newest, history.since_gap), dtype=np.float32)
