"""tickserve's answer from a model's outputs, for peers that have only those."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tickserve.v1 import prediction_pb2

_LABELS = ("sell", "hold", "buy")
_REGRESSIONS = ("return", "volatility")

# What the TorchScript file returns, in its order.
OUTPUTS = (
    "probabilities",
    "means",
    "deviations",
    "ensemble_probabilities",
    "ensemble_means",
    "ensemble_deviations",
    "weights",
)

Windows = npt.NDArray[np.float32]


def prediction_of(row: Sequence[Windows], version: prediction_pb2.ModelVersion) -> prediction_pb2.Prediction:
    """Returns tickserve's answer for one window's outputs.

    Args:
        row: Probabilities [3], means [2], deviations [2], those three of the ensemble, and its weights.
        version: Who computed them.
    """
    return prediction_pb2.Prediction(
        classes=_classes(row[0]),
        regressions=_regressions(row[1], row[2]),
        ensemble=prediction_pb2.Ensemble(
            classes=_classes(row[3]), regressions=_regressions(row[4], row[5]), weights=row[6].tolist()
        ),
        model=version,
    )


def _classes(probabilities: Windows) -> list[prediction_pb2.ClassProbability]:
    return [
        prediction_pb2.ClassProbability(label=label, probability=probability)
        for label, probability in zip(_LABELS, probabilities.tolist(), strict=True)
    ]


def _regressions(means: Windows, deviations: Windows) -> list[prediction_pb2.Regression]:
    return [
        prediction_pb2.Regression(name=name, mean=mean, standard_deviation=deviation)
        for name, mean, deviation in zip(_REGRESSIONS, means.tolist(), deviations.tolist(), strict=True)
    ]
