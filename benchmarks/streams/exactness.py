"""Whether the server's windows are exact: after a run, each must be the window that its bars make offline."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np

from benchmarks.streams.bars import BarSource
from model.dataset import SAMPLE_REACH, TIME_STEPS, feature_rows
from model.feature_schema import FEATURE_COUNT
from tickserve.v1.prediction_pb2 import Prediction
from tickserve.v1.prediction_service_pb2 import PredictRequest, PredictResponse
from tickserve.v1.window_pb2 import Window

_PREDICT = "/tickserve.v1.PredictionService/Predict"
_TIMEOUT = 10.0


async def check(
    channel: grpc.aio.Channel,
    source: BarSource,
    sequences: Mapping[str, int],
    numbers: Mapping[str, int],
    *,
    bar_interval: float,
) -> dict[str, Any]:
    """Compares symbols' windows on the server with the offline ones, sent as raw windows; returns how many are equal.

    Args:
        channel: To the server.
        source: Made the bars.
        sequences: Newest tick of each symbol; every one before it was sent, too.
        numbers: Of the symbols, by name.
        bar_interval: Seconds.
    """
    differences = []
    for symbol, sequence in sequences.items():
        bars = [source.bar(numbers[symbol], index) for index in range(sequence - SAMPLE_REACH, sequence)]
        window = offline_window(bars, bar_interval=bar_interval)
        kept = await _predict(channel, PredictRequest(symbol=symbol))
        sent = await _predict(channel, PredictRequest(window=window))
        digest = hashlib.sha256(window.raw_float32).hexdigest()
        if {kept.input.sha256, sent.input.sha256} != {digest} or kept.input.last_sequence != sequence:
            differences.append(f"{symbol}: server at {kept.input.last_sequence}, sent {sequence}")
    return {"compared": len(sequences), "equal": len(sequences) - len(differences), "differences": differences[:5]}


def offline_window(bars: list[Any], *, bar_interval: float) -> Window:
    """Returns the window that bars make, oldest first, as a caller without streams would send it.

    Raises:
        model.data_errors.NotEnoughBarsError: They do not fill a window.
    """
    rows = feature_rows(bars, bar_interval=bar_interval)[-TIME_STEPS:]
    values = np.ascontiguousarray(rows.T).astype("<f4")
    return Window(feature_count=FEATURE_COUNT, time_steps=len(rows), raw_float32=values.tobytes())


async def _predict(channel: grpc.aio.Channel, request: PredictRequest) -> Prediction:
    call: Any = channel.unary_unary(_PREDICT)
    raw = await call(request.SerializeToString(), timeout=_TIMEOUT)
    return PredictResponse.FromString(raw).prediction
