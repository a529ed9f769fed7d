"""The tensors of the Open Inference Protocol that a model reads and answers: names, types and shapes.

Pure; knows no messages. An output's name is that of the same numbers in `model.outputs`, and never changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from model.model_config import NetworkConfig
from server.inference.predictor import Answer

INPUT = "window"
OUT_OF_DISTRIBUTION = "out_of_distribution"
FEATURES = "features"


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a model.

    Attributes:
        name: In requests and responses.
        datatype: The protocol's name of its numbers' type.
        shape: Of one window; in messages the number of windows stands in front.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]


def input_of(network: NetworkConfig) -> Tensor:
    """Returns the one tensor that a model reads: windows, feature-major."""
    return Tensor(INPUT, "FP32", (network.feature_count, network.time_steps))


@lru_cache(maxsize=64)  # asked for with every request
def outputs_of(network: NetworkConfig) -> tuple[Tensor, ...]:
    """Returns what a model can answer."""
    classes, regressions = (len(network.class_labels),), (len(network.regression_names),)
    return (
        Tensor("class_probabilities", "FP32", classes),
        Tensor("regression_mean", "FP32", regressions),
        Tensor("regression_standard_deviation", "FP32", regressions),
        Tensor("ensemble_class_probabilities", "FP32", classes),
        Tensor("ensemble_regression_mean", "FP32", regressions),
        Tensor("ensemble_regression_standard_deviation", "FP32", regressions),
        Tensor("ensemble_weights", "FP32", (network.ensemble_heads,)),
        Tensor(OUT_OF_DISTRIBUTION, "BOOL", (1,)),
        Tensor(FEATURES, "FP32", (network.fusion,)),
    )


def is_default(output: Tensor) -> bool:
    """Tells whether an output is answered where none is named: all but the fused features, 1 KB a window."""
    return output.name != FEATURES


def bytes_of(output: Tensor, answers: Sequence[Answer]) -> bytes:
    """Returns an output's numbers, `[n, *shape]`, little-endian, row `i` belonging to answer `i`."""
    if output.name == OUT_OF_DISTRIBUTION:
        return bytes(answer.out_of_distribution for answer in answers)
    return b"".join(np.asarray(getattr(answer.row, output.name), "<f4").tobytes() for answer in answers)
