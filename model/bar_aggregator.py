"""Bars from trades: one bar an interval, decided by the trades' own times.

Owns which bar a trade belongs to, when a bar closes and which trades come too late. Pure state without a clock; knows
nothing of symbols, windows or features.

The grid of intervals is aligned to 1970-01-01 UTC: interval `i` is `[i * length, (i + 1) * length)`. An interval closes
for good when an event time at or after its end plus the lateness bound is seen, or a watermark at or after its end.
Intervals without a trade yield no bar, so that nights and weekends leave no phantoms.
"""

import struct
from math import floor, inf, isfinite
from struct import Struct
from typing import Final

from model.bar import MAX_VOLUME, Bar
from model.data_errors import AggregatorStateError, InvalidTradeError

MAX_TIME: Final = 253_402_300_800.0  # the year 10000: what a timestamp on the wire can hold
_HEADER: Final = Struct("<4sd?qI")  # magic, interval in seconds, whether any is closed, intervals closed, open bars
_OPEN_BAR: Final = Struct("<q7d")
_MAGIC: Final = b"TSA1"


class _OpenBar:
    """The bar of an interval that has not closed.

    Attributes:
        index: Number of the interval.
        open, high, low, close: Prices so far; open and close are those of the earliest and of the latest event time.
        volume: Sum of the sizes, in the order of arrival.
        first_time: Event time of `open`.
        last_time: Event time of `close`.
    """

    __slots__ = ("close", "first_time", "high", "index", "last_time", "low", "open", "volume")

    def __init__(self, index: int, price: float, size: float, event_time: float) -> None:
        self.index = index
        self.open = self.high = self.low = self.close = price
        self.volume = size
        self.first_time = self.last_time = event_time

    def add(self, price: float, size: float, event_time: float) -> None:
        """Takes one more trade; among equal event times the first to arrive opens and the last to arrive closes."""
        if event_time < self.first_time:
            self.first_time, self.open = event_time, price
        if event_time >= self.last_time:
            self.last_time, self.close = event_time, price
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.volume += size


class BarAggregator:
    """Makes the bars of one symbol. Not safe between threads.

    Args:
        bar_interval: Length of a bar in seconds, > 0.
        lateness_bound: Seconds of event time for which a bar waits for trades that come late, >= 0.
    """

    __slots__ = ("_closed", "_open", "bar_interval", "lateness_bound")

    def __init__(self, *, bar_interval: float, lateness_bound: float = 0.0) -> None:
        if not (isfinite(bar_interval) and bar_interval > 0.0):
            msg = f"bar_interval is {bar_interval}; give the length of a bar in seconds, above zero"
            raise ValueError(msg)
        if not (isfinite(lateness_bound) and lateness_bound >= 0.0):
            msg = f"lateness_bound is {lateness_bound}; give a finite number of seconds, at least zero"
            raise ValueError(msg)
        self.bar_interval = bar_interval
        self.lateness_bound = lateness_bound
        self._open: list[_OpenBar] = []  # ascending by index
        self._closed: int | None = None  # intervals below this one are closed

    @property
    def max_open_bars(self) -> int:
        """Most bars that can be open at once."""
        return int(self.lateness_bound / self.bar_interval) + 2

    def apply(self, price: float, size: float, event_time: float) -> tuple[Bar, ...]:
        """Takes one trade; returns the bars that it closed, oldest first. Its own bar is never among them.

        Args:
            price: Finite and > 0.
            size: In [0, 1e30], and so the volume of the bar.
            event_time: Seconds since the epoch, up to the year 9999 either way.

        Raises:
            InvalidTradeError: A value is out of its range, or the trade's interval is closed; nothing is changed.
        """
        index = self._check(price, size, event_time)
        position = len(self._open)
        while position and self._open[position - 1].index > index:
            position -= 1
        bar = self._open[position - 1] if position and self._open[position - 1].index == index else None
        if bar is None:
            self._open.insert(position, _OpenBar(index, price, size, event_time))
        elif bar.volume + size > MAX_VOLUME:
            raise InvalidTradeError(
                "size", f"is {size}, which takes the bar's volume past {MAX_VOLUME:g}", "send sizes in a larger unit"
            )
        else:
            bar.add(price, size, event_time)
        return self._close_below(self._index(event_time - self.lateness_bound))

    def close_until(self, time: float) -> tuple[Bar, ...]:
        """Takes a watermark: every trade before it has been given. Returns the bars that it closed, oldest first.

        A watermark before an earlier one changes nothing.

        Args:
            time: Seconds since the epoch, finite.

        Raises:
            InvalidTradeError: The time is out of its range; nothing is changed.
        """
        _check_time(time)
        return self._close_below(self._index(time))

    def skip(self, time: float) -> None:
        """Drops the open bars up to the interval that holds `time`, and refuses its trades: its bar came another way.

        Args:
            time: Seconds since the epoch, finite.
        """
        self._close_below(self._index(max(-MAX_TIME, min(MAX_TIME, time))) + 1)

    def partial(self) -> tuple[Bar, ...]:
        """Returns the open bars as they stand, oldest first."""
        return tuple(self._bar(bar) for bar in self._open)

    @property
    def closed_until(self) -> float | None:
        """Trades before this time are refused, seconds since the epoch; None while none is."""
        return None if self._closed is None else self._closed * self.bar_interval

    def to_bytes(self) -> bytes:
        """Returns the stored form, little-endian: 25 bytes and 64 for each open bar."""
        parts = [
            _HEADER.pack(_MAGIC, self.bar_interval, self._closed is not None, self._closed or 0, len(self._open)),
        ]
        for bar in self._open:
            prices = (bar.open, bar.high, bar.low, bar.close)
            parts.append(_OPEN_BAR.pack(bar.index, *prices, bar.volume, bar.first_time, bar.last_time))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, state: bytes, *, bar_interval: float, lateness_bound: float = 0.0) -> "BarAggregator":
        """Restores an aggregator whose later bars are bit-identical to those of the one stored.

        Args:
            state: What `to_bytes` gave.
            bar_interval: As it was.
            lateness_bound: As it is now; it may have changed.

        Raises:
            AggregatorStateError: The state is damaged, or is of another bar interval.
        """
        aggregator = cls(bar_interval=bar_interval, lateness_bound=lateness_bound)
        try:
            magic, stored_interval, any_closed, closed, count = _HEADER.unpack_from(state)
            fits = len(state) == _HEADER.size + count * _OPEN_BAR.size
        except struct.error:
            fits = False
        if not fits or magic != _MAGIC:
            msg = "the state of the open bars is not one of ours"
            raise AggregatorStateError(msg)
        if stored_interval != bar_interval:
            msg = f"the state of the open bars is of bars of {stored_interval} s, not {bar_interval} s"
            raise AggregatorStateError(msg)
        aggregator._closed = closed if any_closed else None
        for values in _OPEN_BAR.iter_unpack(state[_HEADER.size :]):
            aggregator._restore(*values)
        return aggregator

    def _restore(
        self, index: int, o: float, h: float, lo: float, c: float, volume: float, first: float, last: float
    ) -> None:
        """Adds an open bar, the newest, from a stored state."""
        bar = _OpenBar(index, o, volume, first)
        bar.high, bar.low, bar.close, bar.last_time = h, lo, c, last
        floor_index = self._open[-1].index + 1 if self._open else self._closed
        try:
            self._bar(bar)
            valid = first <= last and self._index(first) == self._index(last) == index
        except (ValueError, OverflowError):
            valid = False
        if not valid or (floor_index is not None and index < floor_index):
            msg = "the state of the open bars holds an impossible bar"
            raise AggregatorStateError(msg)
        self._open.append(bar)

    def _check(self, price: float, size: float, event_time: float) -> int:
        """Returns the number of a trade's interval."""
        if not 0.0 < price < inf:
            raise InvalidTradeError("price", f"is {price}", "send a finite price above zero")
        if not 0.0 <= size <= MAX_VOLUME:
            raise InvalidTradeError("size", f"is {size}", f"send a size from 0 to {MAX_VOLUME:g}")
        _check_time(event_time)
        index = self._index(event_time)
        if self._closed is not None and index < self._closed:
            raise InvalidTradeError(
                "event_time",
                f"{event_time:.3f} lies in a bar that has closed; bars are closed until {self.closed_until:.3f}",
                "send trades in order, raise the server's lateness bound, or correct the newest bar",
            )
        return index

    def _index(self, time: float) -> int:
        """Returns the number of the interval that holds `time`."""
        index = floor(time / self.bar_interval)
        # The quotient is rounded; the grid is what `index * bar_interval` says.
        if index * self.bar_interval > time:
            return index - 1
        return index + 1 if (index + 1) * self.bar_interval <= time else index

    def _bar(self, bar: _OpenBar) -> Bar:
        return Bar(
            open_time=bar.index * self.bar_interval,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
        )

    def _close_below(self, index: int) -> tuple[Bar, ...]:
        """Closes every interval below number `index`; returns their bars, oldest first."""
        if self._closed is None or index > self._closed:
            self._closed = index
        ripe = 0
        while ripe < len(self._open) and self._open[ripe].index < self._closed:
            ripe += 1
        closed = tuple(self._bar(bar) for bar in self._open[:ripe])
        del self._open[:ripe]
        return closed


def _check_time(time: float) -> None:
    if not -MAX_TIME <= time <= MAX_TIME:
        raise InvalidTradeError("event_time", f"is {time}", "send seconds since 1970 within the years 1 to 9999")
