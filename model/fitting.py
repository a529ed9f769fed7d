"""The epochs of a training run: steps, learning rate, early stopping, the best weights restored.

Owns how a network is fitted to samples. Knows no splits, no calibration and no report.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from model.dataset import Dataset, Floats, Integers
from model.losses import loss_terms, total_loss
from model.network import HybridNetwork
from model.training_settings import TrainingSettings

_WARM_UP: Final = 0.1  # share of the steps over which the learning rate rises
_FINAL_RATE: Final = 0.05  # of the peak, at the last planned step
_GRADIENT_NORM: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """Where a run is: after every step, and once more after every epoch, then with a validation loss.

    Attributes:
        epoch: From 1.
        step: Steps done in this epoch.
        steps: Steps this epoch has.
        training_loss: Mean of this epoch so far.
        validation_loss: Of this epoch; None until it is over.
        best: Whether that is the lowest so far.
    """

    epoch: int
    step: int
    steps: int
    training_loss: float
    validation_loss: float | None = None
    best: bool = False


@dataclass(frozen=True, slots=True)
class Samples:
    """One split's samples: anchors [n], classes [n], targets [n, 2] in their own units."""

    anchors: Integers
    classes: Integers
    targets: Floats


def uses_bf16(settings: TrainingSettings) -> bool:
    """Whether steps run in bf16: as set, or where the processor multiplies it natively; elsewhere it is slower."""
    if settings.precision == "auto":
        return bool(torch.cpu._is_avx512_bf16_supported())
    return settings.precision == "bf16"


def fit(
    network: HybridNetwork,
    data: Dataset,
    train: Samples,
    validation: Samples,
    settings: TrainingSettings,
    progress: Callable[[TrainingProgress], None],
) -> dict[str, Any]:
    """Trains in place, at least one step, and restores the weights of the epoch with the lowest validation loss.

    Returns:
        `epochs` (training and validation loss of each), `best_epoch` (from 1), `stopped` (why), `precision`,
        `training_windows` (before striding).
    """
    deadline = time.perf_counter() + settings.time_budget
    bf16 = uses_bf16(settings)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    stride = min(settings.stride, max(1, len(train.anchors) // settings.batch_size))
    planned = settings.max_epochs * max(1, len(train.anchors) // stride // settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, planned))
    generator = torch.Generator().manual_seed(settings.seed)
    validation_windows = torch.from_numpy(data.windows(validation.anchors[:: settings.stride]))
    mean, deviation = network.target_mean.clone(), network.target_deviation.clone()

    def normalised(part: Samples) -> Tensor:
        return (torch.from_numpy(part.targets) - mean) / deviation

    train_classes, train_targets = torch.from_numpy(train.classes), normalised(train)
    validation_classes = torch.from_numpy(validation.classes[:: settings.stride])
    validation_targets = normalised(validation)[:: settings.stride]
    best_loss, best_epoch, best_weights = float("inf"), 0, {k: v.clone() for k, v in network.state_dict().items()}
    epochs: list[dict[str, float]] = []
    stopped = "max_epochs"
    for epoch in range(1, settings.max_epochs + 1):
        network.train()
        chosen = torch.arange((epoch - 1) % stride, len(train.anchors), stride)
        chosen = chosen[torch.randperm(len(chosen), generator=generator)]
        # The last, smaller batch is left out: batch norm over a handful of windows is mostly noise.
        batches = [part for part in torch.split(chosen, settings.batch_size) if len(part) == settings.batch_size] or [
            chosen
        ]
        loss_sum, step = 0.0, 0
        for batch in batches:
            if (epoch > 1 or step > 0) and time.perf_counter() > deadline:
                stopped = "time_budget"
                break
            windows = torch.from_numpy(data.windows(train.anchors[batch.numpy()]))
            with _autocast(bf16):
                outputs = network(windows)
            loss = total_loss(loss_terms(outputs, train_classes[batch], train_targets[batch]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            torch.nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT_NORM)
            optimiser.step()
            schedule.step()
            loss_sum, step = loss_sum + loss.item(), step + 1
            progress(TrainingProgress(epoch=epoch, step=step, steps=len(batches), training_loss=loss_sum / step))
        if step == 0:
            break
        validation_loss = _validation_loss(network, validation_windows, validation_classes, validation_targets)
        epochs.append({"training_loss": loss_sum / step, "validation_loss": validation_loss})
        is_best = validation_loss < best_loss
        if is_best:
            best_loss, best_epoch = validation_loss, epoch
            best_weights = {key: value.clone() for key, value in network.state_dict().items()}
        progress(
            TrainingProgress(
                epoch=epoch,
                step=step,
                steps=len(batches),
                training_loss=loss_sum / step,
                validation_loss=validation_loss,
                best=is_best,
            )
        )
        if stopped == "time_budget":
            break
        if epoch - best_epoch >= settings.patience:
            stopped = "no_better_validation_loss"
            break
    network.load_state_dict(best_weights)
    network.eval()
    return {
        "epochs": epochs,
        "best_epoch": best_epoch,
        "stopped": stopped,
        "precision": "bf16" if bf16 else "fp32",
        "training_windows": len(train.anchors),
    }


def _rate(step: int, steps: int) -> float:
    """Share of the peak learning rate: a linear rise, then half a cosine down to `_FINAL_RATE`."""
    rise = max(1, int(_WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    done = min(1.0, (step - rise) / max(1, steps - rise))
    return _FINAL_RATE + (1.0 - _FINAL_RATE) * 0.5 * (1.0 + float(np.cos(np.pi * done)))


def _autocast(enabled: bool) -> AbstractContextManager[None]:
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


@torch.no_grad()
def _validation_loss(network: HybridNetwork, windows: Tensor, classes: Tensor, targets: Tensor) -> float:
    network.eval()
    total = 0.0
    for part in torch.split(torch.arange(len(windows)), 256):
        loss = total_loss(loss_terms(network(windows[part]), classes[part], targets[part]))
        total += float(loss) * len(part)
    return total / len(windows)
