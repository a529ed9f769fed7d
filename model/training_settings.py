"""All that decides a training run besides the bars. Owns the defaults and their validation."""

from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from model.data_errors import SettingError
from model.dataset import TIME_STEPS
from model.feature_schema import FEATURE_COUNT
from model.model_config import NetworkConfig

Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Settings of one run; valid from construction.

    Attributes:
        prediction_horizon: Bars the targets look ahead, 1 to 1000.
        bar_interval: Length of a bar in seconds, > 0; None takes the commonest distance between the bars.
        embargo: Bars left out between the splits, at least `prediction_horizon + 60`; None takes just that.
        seed: Seed of the initial weights, of dropout and of the order of samples, 0 to 2^63 - 1.
        max_epochs: Passes at most, >= 1; each sees one training window in `stride`, another phase each time.
        stride: See `max_epochs`, >= 1. Neighbouring windows share 59 of 60 rows, so one of two loses little. The
            validation loss that stops training is taken over one window in `stride` too, always the same.
        patience: Epochs without a better validation loss before training stops, >= 1.
        batch_size: Windows a step, >= 2 (batch norm needs two).
        learning_rate: Peak of the schedule, > 0.
        weight_decay: Of AdamW, >= 0.
        time_budget: Seconds of wall time after which no further step is begun, > 0; the best epoch so far stands.
            Calibration and the figures come after, some 15 s on one free core.
        threads: Threads torch computes with, 1 to 256. Another number may change the last bits of the weights. None
            is 1 in bf16, else 2: threads that wait for each other at every small step cost a busy machine far more
            than they gain an idle one, and only fp32 is too slow without.
        precision: Of the training steps; "auto" is bf16 (autocast) where the processor has it, else fp32.
            Validation, calibration and everything stored are fp32 always.
        network: The architecture: 50 features, 60 steps, three classes, `return` and `volatility`.
    """

    prediction_horizon: int = 4
    bar_interval: float | None = None
    embargo: int | None = None
    seed: int = 7
    max_epochs: int = 8
    stride: int = 2
    patience: int = 3
    batch_size: int = 64
    learning_rate: float = 1e-4
    weight_decay: float = 0.05
    time_budget: float = 180.0
    threads: int | None = None
    precision: Precision = "auto"
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        self._require_integer("prediction_horizon", 1, 1000)
        if self.bar_interval is not None:
            self._require_positive("bar_interval")
        if self.embargo is not None:
            self._require_integer("embargo", self.prediction_horizon + TIME_STEPS, 10**9)
        self._require_integer("seed", 0, 2**63 - 1)
        self._require_integer("max_epochs", 1, 10**6)
        self._require_integer("stride", 1, 10**6)
        self._require_integer("patience", 1, 10**6)
        self._require_integer("batch_size", 2, 10**6)
        self._require_positive("learning_rate")
        if self.weight_decay != 0.0:
            self._require_positive("weight_decay")
        self._require_positive("time_budget")
        if self.threads is not None:
            self._require_integer("threads", 1, 256)
        if self.precision not in ("auto", "fp32", "bf16"):
            raise SettingError("precision", f"is {self.precision!r}", "give auto, fp32 or bf16")
        network = self.network
        shape = (network.feature_count, network.time_steps, len(network.class_labels))
        if shape != (FEATURE_COUNT, TIME_STEPS, 3) or network.regression_names != ("return", "volatility"):
            raise SettingError(
                "network",
                f"has features, steps, classes {shape} and regressions {network.regression_names}",
                f"give {FEATURE_COUNT}, {TIME_STEPS}, 3 and return, volatility",
            )

    def _require_integer(self, name: str, least: int, most: int) -> None:
        value = getattr(self, name)
        if not least <= value <= most:
            raise SettingError(name, f"is {value}", f"give an integer from {least} to {most}")

    def _require_positive(self, name: str) -> None:
        value = getattr(self, name)
        if not (isfinite(value) and value > 0.0):
            raise SettingError(name, f"is {value}", "give a finite number above 0")
