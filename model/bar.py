"""A bar: open, high, low and close price and the volume of one interval of one symbol.

Owns what a valid bar is. Knows nothing of files, symbols, features or intervals.
"""

from dataclasses import dataclass
from math import isfinite

from model.data_errors import InvalidBarError

# Far above any real volume, far below where the square of one, or the sum of a window of them, overflows.
MAX_VOLUME = 1e30


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One bar. Immutable and valid from construction.

    Attributes:
        open_time: Start of the bar's interval, in seconds since 1970-01-01 UTC, finite.
        open: First price, finite and > 0, in the quote currency.
        high: Highest price, at least `max(open, close)`.
        low: Lowest price, > 0 and at most `min(open, close)`.
        close: Last price, finite and > 0.
        volume: Traded amount, in [0, 1e30], in any fixed unit.

    Raises:
        InvalidBarError: A field breaks its rule; the error names the field and the remedy.
    """

    open_time: float
    open: float
    high: float
    low: float
    close: float
    volume: float

    def __post_init__(self) -> None:
        o, h, lo, c, v = self.open, self.high, self.low, self.close, self.volume
        # One chained test for the common case: NaN fails every comparison, so only bad bars take the slow path.
        if (
            0.0 < lo <= o <= h < float("inf")
            and lo <= c <= h
            and 0.0 <= v <= MAX_VOLUME
            and float("-inf") < self.open_time < float("inf")
        ):
            return
        raise self._fault()

    def _fault(self) -> InvalidBarError:
        """Returns the error for the first rule broken; call only when one is."""
        for field in ("open_time", "open", "high", "low", "close", "volume"):
            if not isfinite(value := getattr(self, field)):
                return InvalidBarError(field, f"is {value}", "send a finite number")
        for field in ("open", "high", "low", "close"):
            if (value := getattr(self, field)) <= 0.0:
                return InvalidBarError(field, f"is {value}", "prices must be above zero")
        if self.volume < 0.0 or self.volume > MAX_VOLUME:
            return InvalidBarError("volume", f"is {self.volume}", f"send a volume from 0 to {MAX_VOLUME:g}")
        if self.high < (top := max(self.open, self.close)):
            return InvalidBarError("high", f"is {self.high}", f"it must be at least max(open, close) = {top}")
        bottom = min(self.open, self.close)
        return InvalidBarError("low", f"is {self.low}", f"it must be at most min(open, close) = {bottom}")
