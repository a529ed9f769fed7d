"""Ticks and histories of any number of symbols, made of one file of real bars. Pure but for reading the file.

Each symbol starts at another place of the file and has its prices shifted by an amount of its own, and so has each lap
through the file: returns differ from symbol to symbol, and no window comes twice. Times go on from lap to lap by whole
weeks, so that nights and weekends stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from model.bar import Bar
from model.bar_file import read_bars
from tickserve.v1 import tick_pb2
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest

_WEEK = 7 * 86_400
# Bars between the places where two neighbours begin; prime to the file's length, as good as ever.
_STRIDE = 7
# Of the price unit: a pip a symbol, and a fraction of it a lap, so that no lap of one symbol is another symbol.
_SYMBOL_SHIFT = 1e-4
_LAP_SHIFT = 0.37e-4


def symbol_name(number: int) -> str:
    """Returns the name of a symbol by its number."""
    return f"SYM{number:05d}"


class BarSource:
    """Makes the bars of all symbols. A symbol's bar number `i`, from 0, is its tick with sequence `i + 1`.

    Args:
        bars: Real bars, oldest first, at least one.
    """

    def __init__(self, bars: Sequence[Bar]) -> None:
        self._bars = [(bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars]
        # A week more than the file lasts: the next lap begins after its end.
        self._lap_seconds = (math.floor((bars[-1].open_time - bars[0].open_time) / _WEEK) + 1) * _WEEK

    @classmethod
    def from_file(cls, path: Path) -> BarSource:
        """Reads the bars.

        Raises:
            model.data_errors.BarFileError: The file cannot be read.
        """
        return cls(read_bars(path))

    def bar(self, number: int, index: int) -> Bar:
        """Returns a symbol's bar."""
        start, o, h, lo, c, volume = self._values(number, index)
        return Bar(open_time=start, open=o, high=h, low=lo, close=c, volume=volume)

    def tick(self, number: int, sequence: int, *, valid_duration: float = 0.0) -> bytes:
        """Returns the serialised request with a symbol's tick.

        Args:
            number: Of the symbol.
            sequence: At least 1.
            valid_duration: Seconds; 0: not set.
        """
        tick = tick_pb2.Tick(symbol=symbol_name(number), sequence=sequence, bar=self._message(number, sequence - 1))
        if valid_duration:
            whole = int(valid_duration)
            tick.valid_duration.CopyFrom(Duration(seconds=whole, nanos=int((valid_duration - whole) * 1e9)))
        return StreamTicksRequest(tick=tick).SerializeToString()

    def history(self, number: int, count: int) -> bytes:
        """Returns the serialised request with a symbol's first `count` bars, whose last one has sequence `count`."""
        bars = [self._message(number, index) for index in range(count)]
        history = tick_pb2.BarHistory(symbol=symbol_name(number), bars=bars, last_sequence=count)
        return StreamTicksRequest(history=history).SerializeToString()

    def _message(self, number: int, index: int) -> tick_pb2.Bar:
        start, o, h, lo, c, volume = self._values(number, index)
        whole = int(start)
        return tick_pb2.Bar(
            start_time=Timestamp(seconds=whole, nanos=round((start - whole) * 1e9)),
            open_price=o,
            high_price=h,
            low_price=lo,
            close_price=c,
            volume=volume,
        )

    def _values(self, number: int, index: int) -> tuple[float, float, float, float, float, float]:
        lap, place = divmod(number * _STRIDE % len(self._bars) + index, len(self._bars))
        start, o, h, lo, c, volume = self._bars[place]
        shift = number * _SYMBOL_SHIFT + lap * _LAP_SHIFT
        return start + lap * self._lap_seconds, o + shift, h + shift, lo + shift, c + shift, volume
