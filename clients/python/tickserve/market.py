"""What a market-data service sends: bars, trades and the like, as frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tickserve.v1 import tick_pb2
from tickserve.wire import to_duration, to_timestamp

__all__ = ("Bar", "BarCorrection", "FeatureRow", "MarketEvent", "Trade", "WindowReset", "tick_message")


@dataclass(frozen=True, slots=True)
class Bar:
    """The prices and the volume of one closed interval. The service checks that they make sense."""

    start_time: datetime
    """The beginning of the interval, with a time zone."""
    open: float
    """Prices are > 0; the highest is at least, the lowest at most, each of the others."""
    high: float
    low: float
    close: float
    volume: float = 0.0
    """At least 0, in the units of the training data."""

    def to_proto(self) -> tick_pb2.Bar:
        """Gives the contract's message."""
        return tick_pb2.Bar(
            start_time=to_timestamp(self.start_time),
            open_price=self.open,
            high_price=self.high,
            low_price=self.low,
            close_price=self.close,
            volume=self.volume,
        )


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade; its time is the tick's `event_time`."""

    price: float
    """> 0."""
    size: float
    """At least 0, in the units of the training data's volume."""


@dataclass(frozen=True, slots=True)
class FeatureRow:
    """One bar's features, ready made, in the order of the model's feature schema."""

    values: npt.NDArray[Any] | Sequence[float]
    """`[features]`, finite."""
    feature_schema: str = ""
    """The schema they follow; empty: not checked."""


@dataclass(frozen=True, slots=True)
class BarCorrection:
    """The newest bar, as it should have been."""

    bar: Bar


@dataclass(frozen=True, slots=True)
class WindowReset:
    """Empties the symbol's window, for a halt, a contract roll or a split."""

    reason: str = ""
    """For logs; at most 256 characters."""


MarketEvent = Bar | Trade | FeatureRow | BarCorrection | WindowReset


def tick_message(
    symbol: str,
    sequence: int,
    event: MarketEvent,
    *,
    event_time: datetime | None = None,
    valid_duration: float | None = None,
) -> tick_pb2.Tick:
    """Builds a tick.

    Raises:
        ValueError: A time has no time zone, or the features are not one row.
    """
    message = tick_pb2.Tick(symbol=symbol, sequence=sequence)
    if event_time is not None:
        message.event_time.CopyFrom(to_timestamp(event_time))
    if valid_duration is not None:
        message.valid_duration.CopyFrom(to_duration(valid_duration))
    match event:
        case Bar():
            message.bar.CopyFrom(event.to_proto())
        case Trade():
            message.trade.CopyFrom(tick_pb2.Trade(price=event.price, size=event.size))
        case FeatureRow():
            values = np.asarray(event.values, dtype=np.float32)
            if values.ndim != 1:
                raise ValueError(f"a feature row has the shape [features]; this one has {list(values.shape)}")
            message.features.CopyFrom(tick_pb2.FeatureRow(feature_schema=event.feature_schema, values=values.tolist()))
        case BarCorrection():
            message.correction.CopyFrom(tick_pb2.BarCorrection(bar=event.bar.to_proto()))
        case WindowReset():
            message.reset.CopyFrom(tick_pb2.WindowReset(reason=event.reason))
    return message
