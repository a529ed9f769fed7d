"""From a sequence of bars to windows and targets, split in time.

Owns windowing, targets and the split with its embargo. Knows nothing of networks. An *anchor* is the index of the
newest bar of a sample: its window reads the `SAMPLE_REACH` bars up to the anchor, its targets the `horizon` bars after.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from model.bar import Bar
from model.bar_file import common_interval, read_bars
from model.data_errors import LifelessBarsError, NotEnoughBarsError, SettingError
from model.feature_schema import FEATURE_COUNT, MAX_LOOKBACK
from model.features import FeatureExtractor

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

TIME_STEPS: Final = 60

# Bars a window reads in all: 60 rows, the oldest of which reads 60 bars more.
SAMPLE_REACH: Final = TIME_STEPS + MAX_LOOKBACK - 1

# A horizon of constant prices has volatility 0; a tenth of a basis point keeps the target positive.
MIN_VOLATILITY: Final = 1e-5


@dataclass(frozen=True, slots=True)
class BarRange:
    """The bars `start <= i < stop` that one part of a split may touch, for windows and targets alike."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def anchors(self, horizon: int) -> Integers:
        """Returns the anchors of all samples that lie wholly inside, ascending, int64 [n]."""
        return np.arange(self.start + SAMPLE_REACH - 1, self.stop - horizon, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Split:
    """Three ranges of bars in order of time, with `embargo` bars between them that none of them touches."""

    train: BarRange
    validation: BarRange
    test: BarRange


def chronological_split(
    bar_count: int, *, horizon: int, embargo: int, shares: tuple[float, float] = (0.7, 0.15)
) -> Split:
    """Splits `bar_count` bars into training, validation and test ranges.

    The ranges share no bar, and samples lie wholly inside theirs ("purging"); the embargo between them keeps serial
    correlation from leaking across: Lopez de Prado, Advances in Financial Machine Learning (2018), chapter 7.

    Args:
        bar_count: Bars in the sequence.
        horizon: Bars the targets look ahead, >= 1.
        embargo: Bars left out between two ranges, at least `horizon + 60`.
        shares: Shares of the training and validation ranges, each > 0, together < 1; the test range has the rest.

    Raises:
        NotEnoughBarsError: A range would hold no sample.
        SettingError: An argument is out of its range.
    """
    if horizon < 1:
        raise SettingError("prediction_horizon", f"is {horizon}", "give at least 1 bar")
    if embargo < horizon + TIME_STEPS:
        least = horizon + TIME_STEPS
        raise SettingError(
            "embargo", f"is {embargo}", f"give at least prediction_horizon + {TIME_STEPS} = {least} bars"
        )
    if min(shares) <= 0.0 or sum(shares) >= 1.0:
        raise SettingError("shares", f"are {shares}", "give two above 0 that sum to less than 1")
    usable = bar_count - 2 * embargo
    train = int(usable * shares[0])
    validation = int(usable * shares[1])
    sample = SAMPLE_REACH + horizon
    if min(train, validation, usable - train - validation) < sample:
        smallest = min(*shares, 1.0 - sum(shares))
        raise NotEnoughBarsError(bar_count, int(sample / smallest) + 2 * embargo + 3, "training")
    start = train + embargo
    return Split(
        BarRange(0, train),
        BarRange(start, start + validation),
        BarRange(start + validation + embargo, bar_count),
    )


def feature_rows(bars: Sequence[Bar], *, bar_interval: float) -> Floats:
    """Returns the feature rows of all bars past warm-up, float32 [len(bars) - 60, 50]; row `i` is bar `i + 60`'s.

    Raises:
        NotEnoughBarsError: There are fewer than 61 bars.
        InvalidBarError: The bars are out of order.
    """
    if len(bars) < MAX_LOOKBACK:
        raise NotEnoughBarsError(len(bars), MAX_LOOKBACK, "one feature row")
    extractor = FeatureExtractor(bar_interval=bar_interval)
    rows = [row for bar in bars if (row := extractor.update(bar)) is not None]
    return np.stack(rows)


@dataclass(frozen=True, slots=True)
class Dataset:
    """The samples of a sequence of bars, by anchor.

    Attributes:
        rows: Feature rows, float32 [bars - 60, 50]; row `i` is that of bar `i + 60`.
        log_closes: float64 [bars].
        open_times: Starts of the bars in seconds since the epoch, float64 [bars].
        horizon: Bars the targets look ahead.
    """

    rows: Floats
    log_closes: npt.NDArray[np.float64]
    open_times: npt.NDArray[np.float64]
    horizon: int

    @classmethod
    def from_bars(cls, bars: Sequence[Bar], *, horizon: int, bar_interval: float) -> "Dataset":
        """Computes the rows of `bars`, oldest first; raises what `feature_rows` raises."""
        closes = np.array([log(bar.close) for bar in bars])
        times = np.array([bar.open_time for bar in bars])
        return cls(feature_rows(bars, bar_interval=bar_interval), closes, times, horizon)

    def windows(self, anchors: Integers) -> Floats:
        """Returns windows, float32 [len(anchors), 50, 60], feature-major, the newest bar last.

        Every anchor must be at least `SAMPLE_REACH - 1`.
        """
        views = np.lib.stride_tricks.sliding_window_view(self.rows, TIME_STEPS, axis=0)  # [n, 50, 60], no copy
        return np.ascontiguousarray(views[anchors - (SAMPLE_REACH - 1)])

    def targets(self, anchors: Integers) -> Floats:
        """Returns return and volatility over the horizon, float32 [len(anchors), 2].

        The return is the log return from the anchor's close to the close `horizon` bars later. The volatility is the
        realised volatility of that span, the root of the sum of its squared one-bar log returns (Andersen et al.,
        Econometrica 71 (2003)), at least `MIN_VOLATILITY`; so it is in the return's unit and on its scale.
        Every anchor must be less than `bars - horizon`.
        """
        forward = self.log_closes[anchors + self.horizon] - self.log_closes[anchors]
        squares = np.diff(self.log_closes) ** 2  # [i] is the square of bar i + 1's return
        sums = np.lib.stride_tricks.sliding_window_view(squares, self.horizon)[anchors].sum(axis=1)
        return np.stack([forward, np.maximum(np.sqrt(sums), MIN_VOLATILITY)], axis=1).astype(np.float32)


def label_thresholds(returns: Floats) -> tuple[float, float]:
    """Returns the lower and upper tercile of forward returns: below is sell, above is buy, between is hold.

    Raises:
        LifelessBarsError: The terciles coincide, as with prices that hardly move.
    """
    low, high = (float(value) for value in np.quantile(returns.astype(np.float64), [1 / 3, 2 / 3]))
    if not low < high:
        msg = f"a third of all forward returns is {low}: prices hardly move; give bars of a traded symbol"
        raise LifelessBarsError(msg)
    return low, high


def labels(returns: Floats, thresholds: tuple[float, float]) -> Integers:
    """Returns classes of forward returns, int64 [n]: 0 sell (< lower), 1 hold, 2 buy (> upper)."""
    return 1 + (returns > thresholds[1]).astype(np.int64) - (returns < thresholds[0]).astype(np.int64)


def load_windows(path: str | Path, limit: int | None = None) -> Floats:
    """Returns the first windows of a bar file, float32 [n <= limit, 50, 60], for parity tests and benchmarks.

    Raises:
        BarFileError: The file cannot be read.
        NotEnoughBarsError: The file has fewer than 120 bars.
    """
    bars = read_bars(path, limit=None if limit is None else limit + SAMPLE_REACH - 1)
    if len(bars) < SAMPLE_REACH:
        raise NotEnoughBarsError(len(bars), SAMPLE_REACH, "one window")
    rows = feature_rows(bars, bar_interval=common_interval(bars))
    views = np.lib.stride_tricks.sliding_window_view(rows, TIME_STEPS, axis=0)
    windows = np.ascontiguousarray(views)
    assert windows.shape[1:] == (FEATURE_COUNT, TIME_STEPS), windows.shape
    return windows
