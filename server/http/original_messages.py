"""The bodies of the original design's endpoints, and what each means in the contract's terms; docs/http.md has a table.

Owns the names, the defaults and the order of their members; callers that read the original's answers read these.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from server.http.json_body import decoded
from server.refusal import Reason, Refusal
from server.time_slice import TimeSlice
from tickserve.v1 import prediction_pb2, priority_pb2
from tickserve.v1 import prediction_service_pb2 as pb
from tickserve.v1.window_pb2 import Window

_PRIORITIES = {
    "high": priority_pb2.PRIORITY_REAL_TIME,
    "normal": priority_pb2.PRIORITY_STANDARD,
    "low": priority_pb2.PRIORITY_BACKGROUND,
}


class PredictionRequest(msgspec.Struct):
    """Body of `/ray-serve/predict`."""

    data: list[Any]
    return_uncertainty: bool = True
    use_ensemble: bool = True

    def message(self) -> bytes:
        """Returns the `PredictRequest` that asks for the same, serialized; raises a refusal that names the member."""
        return _request(self.data, self, "normal")


class SinglePredictionRequest(msgspec.Struct):
    """Body of `/batch-optimized/predict/single`."""

    data: list[Any]
    return_uncertainty: bool = True
    use_ensemble: bool = True
    priority: str = "normal"

    def message(self) -> bytes:
        """Returns the `PredictRequest` that asks for the same, serialized; raises a refusal that names the member."""
        return _request(self.data, self, self.priority)


class BatchPredictionRequest(msgspec.Struct):
    """Body of `/batch-optimized/predict/batch`."""

    requests: list[msgspec.Raw]
    batch_optimized: bool = True
    priority: str = "normal"
    return_uncertainty: bool = True
    use_ensemble: bool = True

    async def message(self) -> bytes:
        """Returns the `PredictBatchRequest` that asks for the same, serialized; as above."""
        request = pb.PredictBatchRequest(priority=_priority(self.priority), options=_options(self))
        time_slice = TimeSlice()
        for index, raw in enumerate(self.requests):
            await time_slice.give_way()
            field = f"requests[{index}]"
            try:
                data = decoded(raw, list[Any])
            except Refusal as refusal:
                raise refusal.within(field) from None
            request.items.append(pb.PredictBatchItem(window=_window(data, field)))
        return request.SerializeToString()


AnyRequest = PredictionRequest | SinglePredictionRequest | BatchPredictionRequest


def result_of(prediction: prediction_pb2.Prediction, asked: AnyRequest) -> dict[str, Any]:
    """Returns a prediction as the original's deployment gave it.

    `classification_probs` are those of sell, hold, buy; `regression_pred` and `regression_uncertainty` those of return
    and volatility. What was not asked for is null, as the ensemble's weights were in the original.
    """
    execution = prediction.execution
    shared = max(1, execution.batch_size)
    return {
        "classification_probs": [each.probability for each in prediction.classes],
        "regression_pred": [each.mean for each in prediction.regressions],
        "regression_uncertainty": (
            [each.standard_deviation for each in prediction.regressions] if asked.return_uncertainty else None
        ),
        "ensemble_weights": list(prediction.ensemble.weights) if asked.use_ensemble else None,
        "processing_time_ms": execution.inference_duration.ToNanoseconds() / 1e6 / shared,
    }


def _request(data: list[Any], asked: PredictionRequest | SinglePredictionRequest, priority: str) -> bytes:
    window = _window(data, "data")
    return pb.PredictRequest(window=window, priority=_priority(priority), options=_options(asked)).SerializeToString()


def _priority(name: str) -> priority_pb2.Priority.ValueType:
    # As in the original, whose table gave every other word the class in the middle.
    return _PRIORITIES.get(name, priority_pb2.PRIORITY_STANDARD)


def _options(asked: AnyRequest) -> prediction_pb2.PredictOptions:
    return prediction_pb2.PredictOptions(return_uncertainty=asked.return_uncertainty, use_ensemble=asked.use_ensemble)


def _window(data: list[Any], field: str) -> Window:
    """Returns a window of nested lists, `[features][steps]`, or of one such in a list, as the original's tests send."""
    values: npt.NDArray[np.float32]
    try:
        with np.errstate(over="ignore"):  # what becomes infinite is refused as such
            values = np.array(data, dtype="<f4")
    except (ValueError, TypeError, OverflowError):
        raise Refusal(
            Reason.INVALID_SHAPE,
            f"{field} must be lists of numbers, [features][steps], of one length.",
            field=field,
        ) from None
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    if values.ndim != 2:
        raise Refusal(
            Reason.INVALID_SHAPE,
            f"{field} must have 2 dimensions, [features][steps], or 3 with one window.",
            field=field,
            metadata={"have": str(values.ndim), "need": "2"},
        )
    features, steps = values.shape
    return Window(feature_count=features, time_steps=steps, raw_float32=values.tobytes())
