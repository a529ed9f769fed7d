"""An engine's answers against the eager network's, and how far apart they may be. Knows no particular engine.

The law: for the same window, whatever it was batched with and on any engine, the answer is that of the eager fp32
network within `TOLERANCES`. Probabilities are compared as they are, regressions in units of the training target's
standard deviation, so that one bound means the same for a return and for a volatility.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.engine import Engine, EngineInfo, Precision
from model.network import HybridNetwork, InferenceNetwork
from model.outputs import ModelOutputs, concatenate

MINIMUM_WINDOWS = 256
# One alone, an odd size, and large ones: a window meets different neighbours and different kernels.
BATCH_SIZES = (1, 7, 64)
_EAGER_BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """The largest differences allowed in one precision.

    Attributes:
        probability: Of any probability or ensemble weight. Where the two most probable classes differ by more than
            twice this, the most probable class must be the same.
        regression: Of means and standard deviations, in standard deviations of the training target.
        feature: Of the fused features, which a layer norm keeps of order one.
    """

    probability: float
    regression: float
    feature: float


TOLERANCES: Mapping[Precision, Tolerance] = {
    "fp32": Tolerance(probability=1e-5, regression=1e-4, feature=1e-4),
    "bf16": Tolerance(probability=5e-3, regression=2e-2, feature=1e-1),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """The largest differences found, in the units of `Tolerance`; NaN where an answer was not a number."""

    tolerance: Tolerance
    probability: float
    regression: float
    feature: float
    argmax_disagreements: int

    @property
    def passed(self) -> bool:
        """Whether all are within the tolerance; NaN never is."""
        return (
            self.probability <= self.tolerance.probability
            and self.regression <= self.tolerance.regression
            and self.feature <= self.tolerance.feature
            and self.argmax_disagreements == 0
        )

    @property
    def share_of_tolerance(self) -> float:
        """The worst difference as a share of what is allowed; up to 1 passes."""
        allowed = self.tolerance
        return max(
            self.probability / allowed.probability,
            self.regression / allowed.regression,
            self.feature / allowed.feature,
        )

    def __str__(self) -> str:
        return (
            f"probability {self.probability:.1e} of {self.tolerance.probability:.0e} allowed, "
            f"regression {self.regression:.1e} of {self.tolerance.regression:.0e}, "
            f"feature {self.feature:.1e} of {self.tolerance.feature:.0e}, "
            f"argmax disagreements {self.argmax_disagreements}"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ParityReport:
    """What `check_parity` found: the worst over every batch size, and where it passed."""

    engine: EngineInfo
    window_count: int
    differences: Mapping[int, Differences]  # by batch size

    @property
    def passed(self) -> bool:
        """Whether every batch size is within the tolerance."""
        return all(differences.passed for differences in self.differences.values())

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "FAILED"
        head = f"parity {verdict}: {self.engine.name} {self.engine.precision}, {self.window_count} windows"
        return "\n".join([head, *(f"  batches of {size}: {found}" for size, found in self.differences.items())])


def tensors_to_outputs(tensors: Sequence[torch.Tensor]) -> ModelOutputs:
    """What the network gives, in its order, as numpy arrays; copies nothing but what is not contiguous."""
    # Made contiguous by numpy: torch would release the interpreter's lock to copy a few numbers.
    return ModelOutputs(*(np.ascontiguousarray(tensor.numpy()) for tensor in tensors))


def eager_outputs(network: HybridNetwork, windows: NDArray[np.float32]) -> ModelOutputs:
    """The reference: [n, f, t] raw windows through the eager fp32 network, which this puts in evaluation mode."""
    inference = InferenceNetwork(network)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(windows), _EAGER_BATCH_SIZE):
            batch = windows[start : start + _EAGER_BATCH_SIZE].copy()  # a copy is writable, as torch wants it
            parts.append(tensors_to_outputs(inference(torch.from_numpy(batch))))
    return concatenate(parts)


def compare(
    outputs: ModelOutputs, expected: ModelOutputs, target_deviation: NDArray[np.float32], tolerance: Tolerance
) -> Differences:
    """The largest differences between two answers to the same windows; `target_deviation` is [r]."""
    if len(outputs) != len(expected):
        raise ValueError(f"{len(outputs)} answers to compare with {len(expected)}")

    def worst(names: Sequence[str], unit: NDArray[np.float32] | float = 1.0) -> float:
        return float(np.max([np.max(np.abs(getattr(outputs, n) - getattr(expected, n)) / unit) for n in names]))

    disagreements = 0
    for name in ("class_probabilities", "ensemble_class_probabilities"):
        wanted, given = getattr(expected, name), getattr(outputs, name)
        ranked = np.sort(wanted, axis=1)
        decided = ranked[:, -1] - ranked[:, -2] > 2 * tolerance.probability
        disagreements += int(np.sum(decided & (wanted.argmax(axis=1) != given.argmax(axis=1))))
    return Differences(
        tolerance=tolerance,
        probability=worst(["class_probabilities", "ensemble_class_probabilities", "ensemble_weights"]),
        regression=worst(
            [
                "regression_mean",
                "regression_standard_deviation",
                "ensemble_regression_mean",
                "ensemble_regression_standard_deviation",
            ],
            target_deviation,
        ),
        feature=worst(["features"]),
        argmax_disagreements=disagreements,
    )


def check_parity(
    engine: Engine,
    network: HybridNetwork,
    windows: NDArray[np.float32],
    batch_sizes: Sequence[int] = BATCH_SIZES,
) -> ParityReport:
    """Run every window through `engine` in batches of each size and compare with the eager network.

    Args:
        engine: Of `network`; held to the tolerance of its own precision.
        network: The reference; put in evaluation mode.
        windows: [n >= 256, f, t] raw, real ones if there are any.
        batch_sizes: Each >= 1; the last batch of a size may be smaller.

    Raises:
        ValueError: Fewer than `MINIMUM_WINDOWS` windows, which prove little.
    """
    if len(windows) < MINIMUM_WINDOWS:
        raise ValueError(f"{len(windows)} windows are fewer than the {MINIMUM_WINDOWS} that parity is checked on")
    expected = eager_outputs(network, windows)
    unit = network.target_deviation.numpy()
    tolerance = TOLERANCES[engine.info.precision]
    differences = {}
    for size in batch_sizes:
        outputs = concatenate([engine.run(batch) for batch in batches(windows, size)])
        differences[size] = compare(outputs, expected, unit, tolerance)
    return ParityReport(engine=engine.info, window_count=len(windows), differences=differences)


def batches(windows: NDArray[np.float32], size: int) -> Iterator[NDArray[np.float32]]:
    """Yield [n, f, t] windows in batches of `size`, in order; the last may be smaller."""
    for start in range(0, len(windows), size):
        yield windows[start : start + size]
