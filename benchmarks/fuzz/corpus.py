"""The valid messages that the damage begins with, by RPC, and valid metadata; every field of the contract is in one."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from functools import cache

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from benchmarks.fuzz.wire import LENGTH, Field, joined
from model.feature_schema import FEATURE_COUNT, SCHEMA_ID
from server.rpc.ingress import METHODS
from tests.support import messages as m
from tickserve.v1 import model_service_pb2, prediction_pb2, tick_pb2, window_pb2
from tickserve.v1.prediction_service_pb2 import (
    PredictBatchItem,
    PredictBatchRequest,
    PredictRequest,
    StreamPredictRequest,
    StreamTicksRequest,
)
from tickserve.v1.priority_pb2 import Priority

SYMBOLS = ("A", "B", "EURUSD")
"""Of the messages that `seeds` returns."""
BARS = 130
"""Of the history that makes a window complete: ten more than it takes."""


def _described(full_name: str) -> MethodDescriptor:
    pool = descriptor_pool.Default()  # type: ignore[no-untyped-call]  # protobuf's
    described: MethodDescriptor = pool.FindMethodByName(full_name.removeprefix("/").replace("/", "."))
    return described


REQUESTS: dict[str, type[Message]] = {
    method: message_factory.GetMessageClass(_described(name).input_type) for method, name in METHODS.items()
}
"""What each RPC takes, of all that the server serves."""
RESPONSES: dict[str, type[Message]] = {
    method: message_factory.GetMessageClass(_described(name).output_type) for method, name in METHODS.items()
}
"""What each RPC gives."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Seeds:
    """Where the damage to one RPC's requests begins.

    Attributes:
        kind: Of the request.
        messages: Valid ones, serialized.
    """

    kind: type[Message]
    messages: Sequence[bytes]


def seeds() -> dict[str, Seeds]:
    """Returns the valid messages of every RPC."""
    made: dict[str, list[Message]] = {
        "Predict": _predictions(PredictRequest),
        "StreamPredict": _predictions(StreamPredictRequest),
        "PredictBatch": _batches(),
        "StreamTicks": _ticks(*SYMBOLS),
        "ListModels": [model_service_pb2.ListModelsRequest(page_size=1, page_token="1")],
        "GetModel": [model_service_pb2.GetModelRequest(model=m.model("cnn_lstm", 1))],
        "GetStatistics": [model_service_pb2.GetStatisticsRequest()],
    }
    return {
        # Of RPCs that this file does not know, the damage begins with the empty message, and adds to it.
        method: Seeds(kind=kind, messages=[message.SerializeToString() for message in made.get(method, [kind()])])
        for method, kind in REQUESTS.items()
    }


def tick_seeds(*symbols: str) -> Seeds:
    """Returns the valid messages of a tick stream of three symbols: `opening` first, ticks that follow `history`."""
    return Seeds(kind=StreamTicksRequest, messages=[message.SerializeToString() for message in _ticks(*symbols)])


def opening(*symbols: str) -> bytes:
    """Returns a plain `open`."""
    return m.opening(*symbols).SerializeToString()


def history(symbol: str) -> bytes:
    """Returns the bars that make a symbol's window complete."""
    named = tick_pb2.BarHistory(symbol=symbol, last_sequence=BARS).SerializeToString()
    # The bars are made once, and put behind the symbol as they are: they are the same for every symbol.
    return joined([Field(StreamTicksRequest.HISTORY_FIELD_NUMBER, LENGTH, named + _bars())])


@cache
def _bars() -> bytes:
    return tick_pb2.BarHistory(bars=[m.bar(number) for number in range(BARS)]).SerializeToString()


def _predictions(kind: type[PredictRequest] | type[StreamPredictRequest]) -> list[Message]:
    values = window_pb2.FloatValues(values=struct.unpack("<3000f", m.floats(at=0, value=0.25)))
    options = prediction_pb2.PredictOptions(bypass_cache=True)
    typed = m.spoilt_window(raw_float32=None, values=values)
    timed = m.window(2)
    timed.as_of_time.CopyFrom(Timestamp(seconds=m.START))
    return [
        kind(request_id="seed-1", window=m.window(1)),
        kind(
            request_id="seed-2",
            window=timed,
            priority=Priority.PRIORITY_REAL_TIME,
            timeout=m.duration(20),
            options=options,
        ),
        kind(request_id="seed-3", window=typed, model=m.model("cnn_lstm", 2), priority=Priority.PRIORITY_BACKGROUND),
        kind(request_id="seed-4", symbol="A", max_age=m.duration(3600)),
    ]


def _batches() -> list[Message]:
    items = [PredictBatchItem(request_id=str(number), window=m.window(number)) for number in range(3)]
    symbols = [PredictBatchItem(request_id=f"s{number}", symbol=symbol) for number, symbol in enumerate(SYMBOLS)]
    terms = {"model": m.model("cnn_lstm", 1), "timeout": m.duration(20), "max_age": m.duration(60)}
    return [
        PredictBatchRequest(items=items),
        PredictBatchRequest(items=[*items[:1], *symbols], priority=2, **terms),  # type: ignore[arg-type]  # each fits
    ]


def _ticks(first: str, second: str, third: str) -> list[Message]:
    row = tick_pb2.FeatureRow(feature_schema=SCHEMA_ID, values=[0.5] * FEATURE_COUNT)
    times = [Timestamp(seconds=m.START + 3600 * (BARS + number)) for number in range(4)]
    point = tick_pb2.ResumePoint(symbol=first, last_answered_sequence=3, last_answered_as_of_time=times[0])
    terms = {"model": m.model("cnn_lstm", 2), "predict_every": 2, "predict_partial": True}
    return [
        m.opening(first, second, third, priority=Priority.PRIORITY_REAL_TIME, **terms),
        m.opening(first, conflate=True, resume=[point]),
        m.history(second, [m.bar(number) for number in range(5)], 5),
        m.tick(first, BARS + 1, bar=m.bar(BARS), event_time=times[1], valid_duration=m.duration(5)),
        m.tick(first, BARS + 2, bar=m.bar(BARS + 1)),
        m.tick(first, BARS + 3, trade=tick_pb2.Trade(price=1.1, size=2.0), event_time=times[2]),
        m.tick(first, BARS + 4, correction=tick_pb2.BarCorrection(bar=m.bar(BARS))),
        m.tick(second, 6),
        m.tick(third, 1, features=row, event_time=times[1]),
        m.tick(third, 2, reset=tick_pb2.WindowReset(reason="test")),
        StreamTicksRequest(watermark=tick_pb2.Watermark(event_time=times[3])),
        StreamTicksRequest(heartbeat=tick_pb2.Heartbeat(send_time=times[0])),
    ]
