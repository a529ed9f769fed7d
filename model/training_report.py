"""A trained model's figures beside those of forecasts that need no model. Owns the metrics and their names.

Hourly returns are very nearly unpredictable, so a figure means nothing without its baseline:

- classes: always the training split's commonest class (accuracy), the training split's shares (log loss);
- return: always zero; volatility: always the training split's mean.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.dataset import Floats, Integers
from model.network import HybridNetwork, InferenceNetwork

CALIBRATION_BINS: Final = 15
_LEAST_PROBABILITY: Final = 1e-12  # keeps the log loss of a certain error finite

Doubles = npt.NDArray[np.float64]


def classification_figures(probabilities: Floats, classes: Integers) -> dict[str, float]:
    """Returns accuracy, log loss (nats) and expected calibration error of [n, k] probabilities for classes [n]."""
    shares: Doubles = probabilities.astype(np.float64)
    likelihood = shares[np.arange(len(classes)), classes]
    return {
        "accuracy": float((shares.argmax(axis=1) == classes).mean()),
        "log_loss": float(-np.log(np.maximum(likelihood, _LEAST_PROBABILITY)).mean()),
        "expected_calibration_error": expected_calibration_error(shares, classes),
    }


def expected_calibration_error(probabilities: Doubles, classes: Integers) -> float:
    """Returns the mean gap between confidence and accuracy over 15 equal bins of confidence, weighted by size.

    Guo et al., ICML 2017, equation 3; confidence is the highest probability. In [0, 1], 0 is perfect.
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == classes
    bins = np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    error = 0.0
    for index in range(CALIBRATION_BINS):
        members = bins == index
        if members.any():
            error += members.mean() * abs(correct[members].mean() - confidence[members].mean())
    return float(error)


def regression_figures(mean: Floats, target: Floats, deviation: Floats | None = None) -> dict[str, float]:
    """Returns root mean square and mean absolute error of [n] forecasts, and the coverage of +-1 deviation if given."""
    error: Doubles = mean.astype(np.float64) - target
    figures = {"rmse": float(np.sqrt((error**2).mean())), "mae": float(np.abs(error).mean())}
    if deviation is not None:
        figures["coverage"] = float((np.abs(error) <= deviation).mean())
    return figures


def baseline_figures(
    classes: Integers, targets: Floats, training_classes: Integers, training_targets: Floats
) -> dict[str, Any]:
    """Returns the baselines' figures on one split, fitted on the training split.

    Args:
        classes: int64 [n] of the split.
        targets: Return and volatility, float32 [n, 2] of the split.
        training_classes: int64 [m].
        training_targets: float32 [m, 2].
    """
    shares = np.bincount(training_classes, minlength=3) / len(training_classes)
    constant = np.tile(shares, (len(classes), 1)).astype(np.float32)
    figures = classification_figures(constant, classes)
    volatility = np.full(len(targets), training_targets[:, 1].mean(), dtype=np.float32)
    return {
        "classification": figures | {"class": int(shares.argmax()), "shares": shares.tolist()},
        "regression": {
            "return": regression_figures(np.zeros(len(targets), dtype=np.float32), targets[:, 0]),
            "volatility": regression_figures(volatility, targets[:, 1]),
        },
    }


@torch.no_grad()
def model_figures(network: HybridNetwork, windows: Tensor, classes: Integers, targets: Floats) -> dict[str, Any]:
    """Returns the figures of what inference answers, for the single heads and for the ensemble.

    Args:
        network: Trained and calibrated; ends in evaluation mode.
        windows: Raw features, float32 [n, f, t].
        classes: int64 [n].
        targets: Return and volatility in their own units, float32 [n, 2].
    """
    inference = InferenceNetwork(network)
    parts = zip(*(inference(part) for part in torch.split(windows, 256)), strict=True)
    answers = [torch.cat(part).numpy() for part in parts]
    figures: dict[str, Any] = {"windows": len(classes)}
    for prefix, first in (("", 0), ("ensemble_", 3)):
        probabilities, mean, deviation = answers[first : first + 3]
        figures[f"{prefix}classification"] = classification_figures(probabilities, classes)
        figures[f"{prefix}regression"] = {
            name: regression_figures(mean[:, i], targets[:, i], deviation[:, i])
            for i, name in enumerate(network.config.regression_names)
        }
    return figures
