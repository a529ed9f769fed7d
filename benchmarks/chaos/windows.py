"""The windows that callers send and the oracle computes again: each made from its key alone. Reads one file of bars."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import tickserve
from benchmarks.streams.bars import BarSource
from model.dataset import SAMPLE_REACH, TIME_STEPS, feature_rows, load_windows

Window = NDArray[np.float32]

BARS = Path(__file__).resolve().parent.parent.parent / "data" / "eurusd_1h.csv"
# Bars of a symbol before its first tick: with the first tick its window is full.
HISTORY = SAMPLE_REACH - 1
_REAL_WINDOWS = 256
_NOISE = 0.05


def unary_key(seed: int) -> str:
    """Returns the key of a unary call's window."""
    return f"w{seed}"


def tick_key(symbol: int, sequence: int) -> str:
    """Returns the key of the window of a symbol's tick number `sequence`, from 1."""
    return f"t{symbol}:{sequence}"


class Windows:
    """Makes windows.

    Args:
        bar_interval: Of the model, seconds.
    """

    def __init__(self, *, bar_interval: float) -> None:
        self._real = load_windows(BARS, limit=_REAL_WINDOWS)
        self._spread = self._real.std(axis=(0, 2), dtype=np.float64)[:, None]
        self._source = BarSource.from_file(BARS)
        self._bar_interval = bar_interval

    def window(self, key: str) -> Window:
        """Returns the float32 [50, 60] window of a key.

        A unary call's is random: two real windows mixed, and noise. A tick's is what its symbol's bars make offline.
        """
        if key.startswith("w"):
            return self._random(int(key[1:]))
        symbol, _, sequence = key[1:].partition(":")
        return self._of_bars(int(symbol), int(sequence))

    def bar(self, symbol: int, index: int) -> tickserve.Bar:
        """Returns a symbol's bar as the client library takes it; the tick with sequence n is bar `HISTORY + n - 1`."""
        bar = self._source.bar(symbol, index)
        return tickserve.Bar(
            start_time=datetime.fromtimestamp(bar.open_time, UTC),
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
        )

    def _random(self, seed: int) -> Window:
        draw = np.random.default_rng(seed)
        first, second = draw.integers(len(self._real), size=2)
        share = draw.random()
        noise = _NOISE * self._spread * draw.standard_normal(self._real.shape[1:])
        mixed = share * self._real[first] + (1 - share) * self._real[second] + noise
        return np.ascontiguousarray(mixed, dtype=np.float32)

    def _of_bars(self, symbol: int, sequence: int) -> Window:
        newest = HISTORY + sequence - 1
        bars = [self._source.bar(symbol, index) for index in range(newest - SAMPLE_REACH + 1, newest + 1)]
        rows = feature_rows(bars, bar_interval=self._bar_interval)[-TIME_STEPS:]
        return np.ascontiguousarray(rows.T, dtype=np.float32)


def digest(window: Window) -> str:
    """Returns the SHA-256 that an answer about this window names."""
    return hashlib.sha256(np.ascontiguousarray(window, dtype="<f4").tobytes()).hexdigest()
