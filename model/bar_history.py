"""The bounded memory of a feature extractor: the newest 61 bars and what each of them derives.

Owns order, gaps, the derived series and the stored form. Knows no feature. About 8 KB a symbol.
"""

import struct
from array import array
from math import isfinite, log
from struct import Struct
from typing import Final, NamedTuple

from model.bar import Bar
from model.data_errors import FeatureStateError, InvalidBarError
from model.feature_schema import MAX_LOOKBACK, SCHEMA_ID

_BAR_WIDTH: Final = 6  # doubles of a raw bar: the fields of Bar in their order
_SERIES_COUNT: Final = 10  # doubles derived of each bar: the fields of Series in their order
_GAP_FACTOR: Final = 1.5  # more than this many intervals between two starts is a gap
_MAX_SINCE_GAP: Final = MAX_LOOKBACK - 1  # what the kept bars can tell, so that a restored history agrees
_HEADER: Final = Struct("<4s32sdI")  # magic, schema id, bar interval in seconds, number of bars
_MAGIC: Final = b"TSF1"


class Series(NamedTuple):
    """What the newest bars derive, oldest first; each list has one float a kept bar.

    Attributes:
        log_close: ln C.
        log_high: ln H.
        log_low: ln L.
        returns: ln(C / previous C); 0 for the very first bar of a history.
        body: ln(C / O).
        satchell: Rogers-Satchell (1991) variance term `ln(H/C) ln(H/O) + ln(L/C) ln(L/O)`.
        candle_body: body / ln(H / L), in [-1, 1]; 0 without range.
        shadow_balance: Lower less upper shadow / ln(H / L), in [-1, 1]; 0 without range.
        open_gap: ln(O / previous C); 0 for the very first bar of a history.
        volume: V.
    """

    log_close: list[float]
    log_high: list[float]
    log_low: list[float]
    returns: list[float]
    body: list[float]
    satchell: list[float]
    candle_body: list[float]
    shadow_balance: list[float]
    open_gap: list[float]
    volume: list[float]


class BarHistory:
    """The newest `MAX_LOOKBACK` bars of one symbol, with their derived series. Not safe between threads.

    Attributes:
        bar_interval: Length of a bar in seconds, > 0.
        since_gap: Bars since the last gap, 0 to 60; 0 on the first bar after one.
    """

    __slots__ = ("_bars", "_derived", "bar_interval", "since_gap")

    def __init__(self, bar_interval: float) -> None:
        if not (isfinite(bar_interval) and bar_interval > 0.0):
            msg = f"bar_interval is {bar_interval}; give the length of a bar in seconds, above zero"
            raise ValueError(msg)
        self.bar_interval = bar_interval
        self.since_gap = 0
        # Flat arrays of doubles: a fifth of the memory of lists of floats, and one delete drops the oldest bar.
        self._bars = array("d")
        self._derived = array("d")

    def __len__(self) -> int:
        """Bars kept, 0 to `MAX_LOOKBACK`."""
        return len(self._bars) // _BAR_WIDTH

    @property
    def last_open_time(self) -> float | None:
        """Start of the newest bar in seconds since the epoch, None before the first."""
        return self._bars[-_BAR_WIDTH] if self._bars else None

    def copy(self) -> "BarHistory":
        """Returns a history that goes its own way from here."""
        twin = BarHistory(self.bar_interval)
        twin.since_gap = self.since_gap
        twin._bars = self._bars[:]
        twin._derived = self._derived[:]
        return twin

    def amend(self, bar: Bar) -> None:
        """Puts `bar` in the newest bar's place, as if it had been appended instead.

        Raises:
            InvalidBarError: It starts at another time than the newest bar, or there is none; nothing is changed.
        """
        if bar.open_time != (newest := self.last_open_time):
            raise InvalidBarError("open_time", f"{bar.open_time} is not the newest bar's {newest}", "amend the newest")
        since_gap = self.since_gap
        del self._bars[-_BAR_WIDTH:], self._derived[-_SERIES_COUNT:]
        self.append(bar)
        self.since_gap = since_gap  # a function of the starts, which stay

    def append(self, bar: Bar) -> None:
        """Adds the newest bar and forgets the oldest beyond `MAX_LOOKBACK`.

        Raises:
            InvalidBarError: The bar does not start after the newest one; nothing is changed.
        """
        log_open, log_high, log_low, log_close = log(bar.open), log(bar.high), log(bar.low), log(bar.close)
        log_return = open_gap = 0.0
        if self._bars:
            last_time = self._bars[-_BAR_WIDTH]
            if bar.open_time <= last_time:
                raise InvalidBarError(
                    "open_time", f"{bar.open_time} is not after the last bar's {last_time}", "send bars in order, once"
                )
            gap = bar.open_time - last_time > _GAP_FACTOR * self.bar_interval
            self.since_gap = 0 if gap else min(self.since_gap + 1, _MAX_SINCE_GAP)
            last_close = self._derived[-_SERIES_COUNT]
            log_return = log_close - last_close
            open_gap = log_open - last_close
        body = log_close - log_open
        log_range = log_high - log_low
        upper = log_high - max(log_open, log_close)
        lower = min(log_open, log_close) - log_low
        satchell = (log_high - log_close) * (log_high - log_open) + (log_low - log_close) * (log_low - log_open)
        per_range = 1.0 / log_range if log_range > 0.0 else 0.0
        self._bars.extend((bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume))
        self._derived.extend(
            (
                log_close,
                log_high,
                log_low,
                log_return,
                body,
                satchell,
                body * per_range,
                (lower - upper) * per_range,
                open_gap,
                bar.volume,
            )
        )
        if len(self._bars) > MAX_LOOKBACK * _BAR_WIDTH:
            del self._bars[:_BAR_WIDTH]
            del self._derived[:_SERIES_COUNT]

    def series(self) -> Series:
        """Returns the derived series as fresh lists, oldest bar first."""
        return Series(*(self._derived[i::_SERIES_COUNT].tolist() for i in range(_SERIES_COUNT)))

    def to_bytes(self) -> bytes:
        """Returns the stored form: a header and the raw bars, little-endian, at most 2 976 bytes."""
        header = _HEADER.pack(_MAGIC, SCHEMA_ID.encode(), self.bar_interval, len(self))
        return header + Struct(f"<{len(self._bars)}d").pack(*self._bars)

    @classmethod
    def from_bytes(cls, state: bytes) -> "BarHistory":
        """Restores a history; everything derived is derived again by the same code, so rows stay bit-identical.

        Raises:
            FeatureStateError: The state is damaged, or was stored under another feature schema.
        """
        try:
            magic, schema, bar_interval, count = _HEADER.unpack_from(state)
            values = Struct(f"<{count * _BAR_WIDTH}d").unpack(state[_HEADER.size :])
        except struct.error as error:
            msg = "feature state has a wrong length; rebuild it from the symbol's last bars"
            raise FeatureStateError(msg) from error
        if magic != _MAGIC or count > MAX_LOOKBACK:
            msg = "feature state is not one of ours; rebuild it from the symbol's last bars"
            raise FeatureStateError(msg)
        if (stored := schema.rstrip(b"\0")) != SCHEMA_ID.encode():
            msg = f"feature state is of schema {stored!r}, not {SCHEMA_ID}; rebuild it from the symbol's last bars"
            raise FeatureStateError(msg)
        try:
            history = cls(bar_interval)
            for i in range(0, len(values), _BAR_WIDTH):
                time, o, h, lo, c, v = values[i : i + _BAR_WIDTH]
                history.append(Bar(open_time=time, open=o, high=h, low=lo, close=c, volume=v))
        except ValueError as error:
            msg = f"feature state is damaged ({error}); rebuild it from the symbol's last bars"
            raise FeatureStateError(msg) from error
        return history
