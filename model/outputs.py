"""What an engine answers for a batch of windows. Owns names, order and shapes; knows no engine and no RPC."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from model.errors import OutputError

FloatArray = NDArray[np.float32]

# Engines compute a softmax in fp32, so a sum further from one than this is a fault and not rounding.
PROBABILITY_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class OutputRow:
    """One window's answer: views into its batch, shapes as in `ModelOutputs` less the first axis."""

    class_probabilities: FloatArray
    regression_mean: FloatArray
    regression_standard_deviation: FloatArray
    ensemble_class_probabilities: FloatArray
    ensemble_regression_mean: FloatArray
    ensemble_regression_standard_deviation: FloatArray
    ensemble_weights: FloatArray
    features: FloatArray


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """A batch's answers, float32, row `i` belonging to window `i`.

    Attributes:
        class_probabilities: [n, 3] from the classification head, in the order of `class_labels`; rows sum to 1.
        regression_mean: [n, 2] in the targets' own units, in the order of `regression_names`.
        regression_standard_deviation: [n, 2] same units, > 0; mean +- this covers about 68 % on validation data.
        ensemble_class_probabilities: [n, 3] weighted mean of the ensemble heads' probabilities; rows sum to 1.
        ensemble_regression_mean: [n, 2] weighted mean of the heads.
        ensemble_regression_standard_deviation: [n, 2] of the heads' mixture, > 0, recalibrated likewise.
        ensemble_weights: [n, 5] each head's share; rows sum to 1 and are all the same.
        features: [n, 256] the fused features that every head reads.
    """

    class_probabilities: FloatArray
    regression_mean: FloatArray
    regression_standard_deviation: FloatArray
    ensemble_class_probabilities: FloatArray
    ensemble_regression_mean: FloatArray
    ensemble_regression_standard_deviation: FloatArray
    ensemble_weights: FloatArray
    features: FloatArray

    def __post_init__(self) -> None:
        lengths = {getattr(self, name).shape[0] for name in OUTPUT_NAMES}
        if len(lengths) != 1:
            raise ValueError(f"outputs of one batch differ in length: {sorted(lengths)}")

    def __len__(self) -> int:
        return int(self.class_probabilities.shape[0])

    def row(self, index: int) -> OutputRow:
        """Window `index`'s answer, without copying.

        Raises:
            IndexError: `index` is not below the batch's length.
        """
        return OutputRow(
            self.class_probabilities[index],
            self.regression_mean[index],
            self.regression_standard_deviation[index],
            self.ensemble_class_probabilities[index],
            self.ensemble_regression_mean[index],
            self.ensemble_regression_standard_deviation[index],
            self.ensemble_weights[index],
            self.features[index],
        )

    def valid_rows(self) -> NDArray[np.bool_]:
        """[n] True where every number is finite, probabilities are normalised and deviations are positive."""
        # Joined first, for a numpy call costs more than the arithmetic on so few numbers.
        valid: NDArray[np.bool_] = np.isfinite(np.concatenate(_all_of(self), axis=1)).all(axis=1)
        shares = (self.class_probabilities, self.ensemble_class_probabilities, self.ensemble_weights)
        joined = np.concatenate(shares, axis=1)
        begins = (0, shares[0].shape[1], shares[0].shape[1] + shares[1].shape[1])
        deviations = (self.regression_standard_deviation, self.ensemble_regression_standard_deviation)
        with np.errstate(invalid="ignore", over="ignore"):  # rows already found invalid may hold NaN or infinities
            sums = np.add.reduceat(joined, begins, axis=1)
            valid &= (joined >= 0).all(axis=1) & (np.abs(sums - 1) <= PROBABILITY_SUM_TOLERANCE).all(axis=1)
            valid &= (np.concatenate(deviations, axis=1) > 0).all(axis=1)
        return valid

    def check(self) -> None:
        """Refuse a batch with an invalid row.

        Raises:
            OutputError: Some rows are not finite or not normalised; it names them.
        """
        valid = self.valid_rows()
        if not valid.all():
            raise OutputError(np.flatnonzero(~valid).tolist())


# The order in which the network, TorchScript and every engine give their tensors.
OUTPUT_NAMES: tuple[str, ...] = tuple(field.name for field in fields(ModelOutputs))
_all_of = attrgetter(*OUTPUT_NAMES)


def concatenate(parts: Sequence[ModelOutputs]) -> ModelOutputs:
    """Join the answers of consecutive batches into one, in order; `parts` must not be empty."""
    return ModelOutputs(*(np.concatenate([getattr(part, name) for part in parts]) for name in OUTPUT_NAMES))
