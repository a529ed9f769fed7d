"""Calibration on the validation split: class temperatures and interval widths, folded into the network.

Owns the fits and where they are folded, so that inference runs the very same operations as before.

Sources: Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (temperature scaling). The interval width is
the split-conformal idea (Lei et al., J. Am. Stat. Assoc. 113 (2018)) with scores |error| / predicted deviation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import erf, exp, log, sqrt
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from model.network import HybridNetwork, InferenceNetwork

# Share of a normal distribution within one standard deviation of its mean: 0.6827.
NOMINAL_COVERAGE: Final = erf(1.0 / sqrt(2.0))

# Beyond 20, logits of order one are uniform to two digits; below 1/20 they are one-hot.
MAX_TEMPERATURE: Final = 20.0

# A fit on a handful of windows, or on constant targets, must not make intervals vanish.
MIN_UNCERTAINTY_SCALE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Calibration:
    """What was fitted and folded in.

    Attributes:
        temperature: Of the classification head, in [1/20, 20].
        ensemble_temperature: Of all ensemble heads alike, in [1/20, 20].
        uncertainty_scale: Factor of the regression deviations, one per target, > 0.
        ensemble_uncertainty_scale: Factor of the ensemble's deviations, one per target, > 0.
    """

    temperature: float
    ensemble_temperature: float
    uncertainty_scale: tuple[float, ...]
    ensemble_uncertainty_scale: tuple[float, ...]


def fit_temperature(log_loss: Callable[[float], float]) -> float:
    """Returns the temperature in [1/20, 20] that minimises `log_loss`, to 0.1 %.

    Golden-section search over the logarithm: no derivative, no step size, and exact enough. `log_loss` is convex in
    1 / temperature for one softmax; for a mixture it has been unimodal in practice, and 1 is kept if it is better.
    """
    shrink = (sqrt(5.0) - 1.0) / 2.0
    low, high = -log(MAX_TEMPERATURE), log(MAX_TEMPERATURE)
    left, right = high - shrink * (high - low), low + shrink * (high - low)
    loss_left, loss_right = log_loss(exp(left)), log_loss(exp(right))
    while high - low > 1e-3:
        if loss_left <= loss_right:
            high, right, loss_right = right, left, loss_left
            left = high - shrink * (high - low)
            loss_left = log_loss(exp(left))
        else:
            low, left, loss_left = left, right, loss_right
            right = low + shrink * (high - low)
            loss_right = log_loss(exp(right))
    best = exp((low + high) / 2.0)
    return best if log_loss(best) <= log_loss(1.0) else 1.0


def uncertainty_scale(mean: Tensor, deviation: Tensor, target: Tensor) -> Tensor:
    """Returns the factors [r] that make `mean +- factor * deviation` cover 68.27 % of the targets.

    All arguments are [n, r] in one unit, deviations > 0.
    """
    scores = (target - mean).abs() / deviation
    return scores.double().quantile(NOMINAL_COVERAGE, dim=0).clamp(min=MIN_UNCERTAINTY_SCALE).float()


@torch.no_grad()
def calibrate(network: HybridNetwork, windows: Tensor, classes: Tensor, targets: Tensor) -> Calibration:
    """Fits on validation data and folds the result into `network`, which ends in evaluation mode.

    Call once, after training: temperatures divide the weights and biases of the classification outputs.

    Args:
        network: Trained; its `uncertainty_scale` buffers are overwritten.
        windows: Raw features, float32 [n, f, t].
        classes: int64 [n].
        targets: In the targets' own units, float32 [n, r].
    """
    network.eval()
    outputs = [network(part) for part in torch.split(windows, 256)]
    logits = torch.cat([part.class_logits for part in outputs]).double()
    member_logits = torch.cat([part.ensemble_class_logits for part in outputs]).double()  # [n, e, k]
    log_weights = outputs[0].ensemble_weights.double().log()

    def head_loss(temperature: float) -> float:
        return float(functional.cross_entropy(logits / temperature, classes))

    def ensemble_loss(temperature: float) -> float:
        likelihood = functional.log_softmax(member_logits / temperature, dim=-1)
        mixture = torch.logsumexp(likelihood + log_weights[:, None], dim=1)  # [n, k]
        return float(functional.nll_loss(mixture, classes))

    temperature, ensemble_temperature = fit_temperature(head_loss), fit_temperature(ensemble_loss)
    network.classification.output.weight.div_(temperature)
    network.classification.output.bias.div_(temperature)
    classes_end = len(network.config.class_labels)
    network.ensemble.weight[..., :classes_end].div_(ensemble_temperature)
    network.ensemble.bias[..., :classes_end].div_(ensemble_temperature)

    ones = torch.ones_like(network.uncertainty_scale)
    network.set_uncertainty_scale(ones, ones)
    inference = InferenceNetwork(network)
    answers = [torch.cat(parts) for parts in zip(*(inference(part) for part in torch.split(windows, 256)), strict=True)]
    scale = uncertainty_scale(answers[1], answers[2], targets)
    ensemble_scale = uncertainty_scale(answers[4], answers[5], targets)
    network.set_uncertainty_scale(scale, ensemble_scale)
    return Calibration(
        temperature=temperature,
        ensemble_temperature=ensemble_temperature,
        uncertainty_scale=tuple(scale.tolist()),
        ensemble_uncertainty_scale=tuple(ensemble_scale.tolist()),
    )
