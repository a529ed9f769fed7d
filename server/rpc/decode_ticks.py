"""Messages of a tick stream to domain values, with every check that a field's meaning needs.

Owns the reading of bars, trades, rows and resume points. Knows nothing of sessions; `encode_ticks` is its counterpart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from model.bar import Bar
from model.data_errors import InvalidBarError
from model.model_config import ModelConfig
from server.refusal import Reason, Refusal
from server.rpc.decode import check_finite, check_length, check_schema, read_span, read_time
from server.ticks.tick_event import Correction, FeatureRow, Reset, ResumePoint, Tick, Trade
from tickserve.v1 import tick_pb2

# The sequence after the greatest one must be an int64, too: answers name it.
_MAX_SEQUENCE = 2**63 - 2
_MAX_REASON = 256


def read_bar(bar: tick_pb2.Bar, *, latest: float = math.inf) -> Bar:
    """Returns a validated bar.

    Args:
        bar: The message.
        latest: Latest beginning that is taken, seconds since the epoch.

    Raises:
        Refusal: INVALID_TICK, with the field.
    """
    start = _read_event_time(bar, "start_time", latest)
    if start is None:
        raise Refusal(Reason.INVALID_TICK, "Set start_time, the beginning of the bar.", field="start_time")
    try:
        return Bar(
            open_time=start,
            open=bar.open_price,
            high=bar.high_price,
            low=bar.low_price,
            close=bar.close_price,
            volume=bar.volume,
        )
    except InvalidBarError as error:
        field = _BAR_FIELDS[error.field]
        raise Refusal(Reason.INVALID_TICK, f"{field}{str(error).removeprefix(error.field)}.", field=field) from None


def read_history(history: tick_pb2.BarHistory, *, latest: float = math.inf) -> list[Bar]:
    """Returns a history's bars.

    Args:
        history: The message.
        latest: See `read_bar`.

    Raises:
        Refusal: INVALID_TICK, with the index of the first bad bar.
    """
    if not 0 <= history.last_sequence <= _MAX_SEQUENCE:
        raise Refusal(
            Reason.INVALID_TICK, f"last_sequence must lie between 0 and {_MAX_SEQUENCE}.", field="last_sequence"
        )
    bars = []
    for index, bar in enumerate(history.bars):
        try:
            bars.append(read_bar(bar, latest=latest))
        except Refusal as refusal:
            raise refusal.within(f"bars[{index}]") from None
    return bars


def read_tick(tick: tick_pb2.Tick, config: ModelConfig, *, latest: float = math.inf) -> Tick:
    """Returns a validated tick; its symbol is checked by the session.

    Args:
        tick: The message.
        config: Of the session's model.
        latest: Latest event time that is taken, seconds since the epoch.

    Raises:
        Refusal: INVALID_TICK, INVALID_TIMEOUT, FEATURE_SCHEMA_MISMATCH, INVALID_SHAPE or NON_FINITE_VALUE.
    """
    if not 1 <= tick.sequence <= _MAX_SEQUENCE:
        raise Refusal(Reason.INVALID_TICK, f"sequence must lie between 1 and {_MAX_SEQUENCE}.", field="sequence")
    kind = tick.WhichOneof("event")
    if kind is None:
        raise Refusal(Reason.INVALID_TICK, "Set bar, trade, features, correction or reset.", field="event")
    try:
        event = _read_event(tick, kind, config, latest)
    except Refusal as refusal:
        raise refusal.within(kind) from None
    return Tick(
        symbol=tick.symbol,
        sequence=tick.sequence,
        event=event,
        event_time=_read_event_time(tick, "event_time", latest),
        valid_duration=read_span(tick, "valid_duration"),
    )


def read_watermark(watermark: tick_pb2.Watermark, *, latest: float = math.inf) -> float:
    """Returns a watermark's time, seconds since the epoch.

    Args:
        watermark: The message.
        latest: Latest time that is taken, seconds since the epoch.

    Raises:
        Refusal: INVALID_TICK.
    """
    time = _read_event_time(watermark, "event_time", latest)
    if time is None:
        raise Refusal(
            Reason.INVALID_TICK, "Set event_time, before which every event has been sent.", field="event_time"
        )
    return time


def read_resume(points: Sequence[tick_pb2.ResumePoint]) -> list[ResumePoint]:
    """Returns where a returning client stands.

    Raises:
        Refusal: INVALID_TICK, with the index of the first bad point.
    """
    read = []
    for index, point in enumerate(points):
        try:
            as_of_time = read_time(point, "last_answered_as_of_time", reason=Reason.INVALID_TICK)
        except Refusal as refusal:
            raise refusal.within(f"resume[{index}]") from None
        read.append(ResumePoint(symbol=point.symbol, sequence=point.last_answered_sequence, as_of_time=as_of_time))
    return read


def _read_event(
    tick: tick_pb2.Tick, kind: str, config: ModelConfig, latest: float
) -> Bar | Trade | FeatureRow | Correction | Reset:
    match kind:
        case "bar":
            return read_bar(tick.bar, latest=latest)
        case "trade":
            # Price and size are checked where they are applied, by the code that makes bars of them.
            return Trade(price=tick.trade.price, size=tick.trade.size)
        case "features":
            return _read_row(tick.features, config)
        case "correction":
            try:
                return Correction(read_bar(tick.correction.bar, latest=latest))
            except Refusal as refusal:
                raise refusal.within("bar") from None
        case _:
            if len(tick.reset.reason) > _MAX_REASON:
                raise Refusal(Reason.INVALID_TICK, f"reason is limited to {_MAX_REASON} characters.", field="reason")
            return Reset()


def _read_row(row: tick_pb2.FeatureRow, config: ModelConfig) -> FeatureRow:
    check_schema(row.feature_schema, config, field="feature_schema")
    check_length("values", "numbers", len(row.values), config.network.feature_count)
    values = np.fromiter(row.values, dtype=np.float32, count=len(row.values))
    check_finite(values, field="values")
    return FeatureRow(values)


def _read_event_time(
    message: tick_pb2.Bar | tick_pb2.Tick | tick_pb2.Watermark, field: str, latest: float
) -> float | None:
    """Returns a time that decides bars: one that is far ahead would close them all for good."""
    time = read_time(message, field, reason=Reason.INVALID_TICK)
    if time is not None and time > latest:
        raise Refusal(
            Reason.INVALID_TICK,
            f"{field} lies too far ahead of the server's clock; check its unit, and the clocks.",
            field=field,
            metadata={"have": f"{time:.3f}", "latest": f"{latest:.3f}"},
        )
    return time


_BAR_FIELDS = {
    "open_time": "start_time",
    "open": "open_price",
    "high": "high_price",
    "low": "low_price",
    "close": "close_price",
    "volume": "volume",
}
