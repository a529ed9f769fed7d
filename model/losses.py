"""The training loss: every head's share of it. Owns the terms and their weights.

All terms are negative log likelihoods of normalised targets, so none needs a scale of its own:

- `classification` (1.0): cross entropy of the classification head.
- `regression` (0.5): Gaussian likelihood of the regression head's mean and variance (Kendall & Gal 2017).
- `members` (0.5): the same two of every ensemble head, averaged over the heads, so that each learns alone.
- `mixture` (0.5): likelihood of the weighted mixture of the heads (Lakshminarayanan et al. 2017), classes plus
  regressions; the only term that teaches the ensemble its weights.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from model.network import NetworkOutputs

LOSS_WEIGHTS: Final = {"classification": 1.0, "regression": 0.5, "members": 0.5, "mixture": 0.5}


def loss_terms(outputs: NetworkOutputs, classes: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """Returns each term unweighted, averaged over the windows: scalars, float32.

    Args:
        outputs: Of one forward pass over n windows; lower precision is raised to float32 first.
        classes: int64 [n].
        targets: Normalised regression targets, float32 [n, r].
    """
    heads = outputs.ensemble_class_logits.shape[1]
    member_classes = functional.log_softmax(outputs.ensemble_class_logits.float(), dim=-1)  # [n, e, k]
    index = classes[:, None, None].expand(-1, heads, 1)
    member_class_likelihood = member_classes.gather(-1, index).squeeze(-1)  # [n, e]
    member_likelihood = -gaussian_loss(
        outputs.ensemble_regression_mean.float(), outputs.ensemble_regression_log_variance.float(), targets[:, None]
    )  # [n, e, r]
    log_weights = outputs.ensemble_weights.float().log()  # [e]
    class_mixture = torch.logsumexp(log_weights + member_class_likelihood, dim=1)  # [n]
    regression_mixture = torch.logsumexp(log_weights[:, None] + member_likelihood, dim=1)  # [n, r]
    regression = gaussian_loss(outputs.regression_mean.float(), outputs.regression_log_variance.float(), targets)
    return {
        "classification": functional.cross_entropy(outputs.class_logits.float(), classes),
        "regression": regression.mean(),
        "members": -member_class_likelihood.mean() - member_likelihood.mean(),
        "mixture": -class_mixture.mean() - regression_mixture.mean(),
    }


def total_loss(terms: dict[str, Tensor]) -> Tensor:
    """Returns the weighted sum of the terms, a scalar."""
    return torch.stack([LOSS_WEIGHTS[name] * term for name, term in terms.items()]).sum()


def gaussian_loss(mean: Tensor, log_variance: Tensor, target: Tensor) -> Tensor:
    """Returns the negative log likelihood of a Gaussian, elementwise, less the constant ln(2 pi) / 2."""
    return 0.5 * (log_variance + (target - mean).square() * torch.exp(-log_variance))
