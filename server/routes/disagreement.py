"""How far two versions' answers to one window are apart. Pure: numbers in, numbers out.

Both heads count, the worse of the two: callers may act on either.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from model.outputs import OutputRow

FloatArray = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """The distance of one answer from another.

    Attributes:
        other_class: Whether the likeliest class is another one, in the classification head or in the ensemble.
        probability_difference: Largest absolute difference of any class's probability, 0 to 1.
        regression_difference: Largest absolute difference of any regression's mean, in standard deviations of its
            training target.
    """

    other_class: bool
    probability_difference: float
    regression_difference: float


def compare(reference: OutputRow, other: OutputRow, target_deviation: tuple[float, ...]) -> Disagreement:
    """Compares two answers of the same classes and regressions to the same window.

    Args:
        reference: The answer that is taken as right.
        other: The one that is judged.
        target_deviation: Standard deviation of each regression's training target, in the regression's own unit, > 0.
    """
    scale = np.asarray(target_deviation)
    heads = (
        (reference.class_probabilities, other.class_probabilities),
        (reference.ensemble_class_probabilities, other.ensemble_class_probabilities),
    )
    means = (
        (reference.regression_mean, other.regression_mean),
        (reference.ensemble_regression_mean, other.ensemble_regression_mean),
    )
    return Disagreement(
        other_class=any(int(ours.argmax()) != int(its.argmax()) for ours, its in heads),
        probability_difference=max(float(np.abs(ours - its).max()) for ours, its in heads),
        regression_difference=max(float((np.abs(ours - its) / scale).max()) for ours, its in means),
    )
