"""Whether an answer is right: its shape, its sums, its model, and that it is about the window that was sent."""

from __future__ import annotations

import math

from benchmarks.load.plan import ExpectedModel
from tickserve.v1.prediction_pb2 import Prediction

_SUM_TOLERANCE = 5e-3
_LABELS = ("sell", "hold", "buy")


def fault_of(prediction: Prediction, *, model: ExpectedModel, window_sha256: str = "") -> str:
    """Returns what is wrong with an answer in a word or two; empty: nothing.

    Args:
        prediction: The answer.
        model: What it must name.
        window_sha256: Hash of the window that was sent; empty: not compared. A peer that does not hash is not compared
            either.
    """
    if tuple(item.label for item in prediction.classes) != _LABELS:
        return "labels"
    if abs(sum(item.probability for item in prediction.classes) - 1) > _SUM_TOLERANCE:  # NaN fails the next check
        return "probability sum"
    if not all(math.isfinite(item.probability) for item in prediction.classes):
        return "probability"
    if len(prediction.regressions) != 2 or not all(math.isfinite(item.mean) for item in prediction.regressions):
        return "regressions"
    named = prediction.model
    if (named.name, named.version) != (model.name, model.version):
        return "model"
    if model.sha256 and named.sha256 != model.sha256:
        return "model hash"
    if prediction.execution.cached:
        return "cached"
    if window_sha256 and prediction.input.sha256 and prediction.input.sha256 != window_sha256:
        return "window hash"
    return ""
