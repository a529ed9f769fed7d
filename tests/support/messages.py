"""Valid requests and their parts, for tests to send as they are or to spoil."""

import struct
from collections.abc import Iterable
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from model.bar import Bar
from model.feature_schema import FEATURE_COUNT, SCHEMA_ID
from tests.support.registry import real_windows
from tickserve.v1 import prediction_pb2, tick_pb2, window_pb2
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchRequest,
    PredictRequest,
    StreamPredictRequest,
    StreamTicksRequest,
)

STEPS = 60
SIZE = FEATURE_COUNT * STEPS
START = 1_600_000_000 // 3600 * 3600
"""Beginning of the first bar that `bar` makes, seconds since the epoch."""


def floats(*, at: int = -1, value: float = 0.0, count: int = SIZE) -> bytes:
    """Returns `count` zeros as little-endian float32, but `value` at index `at`."""
    values = [0.0] * count
    if at >= 0:
        values[at] = value
    return struct.pack(f"<{count}f", *values)


def window(index: int = 0, *, schema: str = SCHEMA_ID) -> window_pb2.Window:
    """Returns a window of the real bars."""
    return window_pb2.Window(
        feature_schema=schema,
        feature_count=FEATURE_COUNT,
        time_steps=STEPS,
        raw_float32=real_windows()[index].tobytes(),
    )


def spoilt_window(**fields: Any) -> window_pb2.Window:
    """Returns a valid window in which the given fields are replaced; None clears one."""
    message = window()
    for name, value in fields.items():
        message.ClearField(name)  # type: ignore[arg-type]  # a name from the caller
        if isinstance(value, window_pb2.FloatValues | Timestamp):
            getattr(message, name).CopyFrom(value)
        elif value is not None:
            setattr(message, name, value)
    return message


def duration(seconds: int = 0, nanos: int = 0) -> Duration:
    """Returns a Duration, valid or not."""
    return Duration(seconds=seconds, nanos=nanos)


def predict(**fields: Any) -> PredictRequest:
    """Returns a valid PredictRequest in which the given fields are replaced."""
    arguments: dict[str, Any] = {"request_id": "r", "window": window()}
    if "symbol" in fields:
        del arguments["window"]
    return PredictRequest(**(arguments | fields))


def item(request_id: str = "i", **fields: Any) -> StreamPredictRequest:
    """Returns a valid StreamPredictRequest in which the given fields are replaced."""
    return StreamPredictRequest(**({"request_id": request_id, "window": window()} | fields))  # type: ignore[arg-type]


def batch(items: Iterable[PredictBatchItem] | None = None, **fields: Any) -> PredictBatchRequest:
    """Returns a PredictBatchRequest, of two windows unless items are given."""
    chosen = [PredictBatchItem(request_id=str(n), window=window(n)) for n in range(2)] if items is None else items
    return PredictBatchRequest(items=chosen, **fields)


def opening(*symbols: str, **fields: Any) -> StreamTicksRequest:
    """Returns an `open`."""
    return StreamTicksRequest(open=tick_pb2.OpenStream(symbols=symbols, **fields))


def bar(number: int = 0, **fields: Any) -> tick_pb2.Bar:
    """Returns the `number`-th of a series of valid hourly bars, with the given fields replaced."""
    price = 1.1 + 0.001 * (number % 7)
    arguments: dict[str, Any] = {
        "start_time": Timestamp(seconds=START + 3600 * number),
        "open_price": price,
        "high_price": price + 0.0010,
        "low_price": price - 0.0010,
        "close_price": price + 0.0005,
        "volume": 1000.0 + number % 5,
    }
    return tick_pb2.Bar(**(arguments | fields))


def bar_message(value: Bar) -> tick_pb2.Bar:
    """Returns the wire form of a bar."""
    start = Timestamp()
    start.FromNanoseconds(round(value.open_time * 1e9))
    return tick_pb2.Bar(
        start_time=start,
        open_price=value.open,
        high_price=value.high,
        low_price=value.low,
        close_price=value.close,
        volume=value.volume,
    )


def tick(symbol: str, sequence: int = 1, **fields: Any) -> StreamTicksRequest:
    """Returns a tick; its event is the bar of its number unless one is given."""
    events = {"bar", "trade", "features", "correction", "reset"}
    event = {} if events & fields.keys() else {"bar": bar(sequence)}
    return StreamTicksRequest(tick=tick_pb2.Tick(symbol=symbol, sequence=sequence, **(event | fields)))


def history(symbol: str, bars: Iterable[tick_pb2.Bar], last_sequence: int = 0) -> StreamTicksRequest:
    """Returns a history."""
    return StreamTicksRequest(history=tick_pb2.BarHistory(symbol=symbol, bars=bars, last_sequence=last_sequence))


def heartbeat() -> StreamTicksRequest:
    """Returns a heartbeat, which an open or unopened stream answers in kind."""
    return StreamTicksRequest(heartbeat=tick_pb2.Heartbeat())


def model(name: str = "", version: int = 0) -> prediction_pb2.ModelReference:
    """Returns the name of a model version."""
    return prediction_pb2.ModelReference(name=name, version=version)
