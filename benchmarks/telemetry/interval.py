"""What paired rounds say of a ratio: its mean, a 95 % interval, and whether a goal is met. Pure.

The rounds are resampled with replacement (the percentile bootstrap; Efron, "Bootstrap methods: another look at the
jackknife", 1979), on logarithms: a ratio of 2 and one of 1/2 then are equally far from 1.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np

Verdict = Literal["met", "not met", "not resolved"]

_RESAMPLES = 10_000
_SEED = 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A geometric mean of ratios, and where it lies with 95 % confidence."""

    mean: float
    low: float
    high: float
    rounds: int

    def below(self, limit: float) -> Verdict:
        """Tells whether the ratio is below a limit: only if all of the interval says so."""
        if self.high < limit:
            return "met"
        return "not met" if self.low > limit else "not resolved"


def interval(ratios: Sequence[float]) -> Interval:
    """Returns what the rounds say.

    Args:
        ratios: One of each round, positive.

    Raises:
        ValueError: Fewer than two rounds, or a ratio that is not positive and finite.
    """
    if len(ratios) < 2:
        raise ValueError("one round says nothing of its own spread")
    if not all(0 < value < math.inf for value in ratios):
        raise ValueError("a ratio is positive and finite")
    logarithms = np.log(np.asarray(ratios))
    chosen = np.random.default_rng(_SEED).integers(len(ratios), size=(_RESAMPLES, len(ratios)))
    low, high = np.quantile(logarithms[chosen].mean(axis=1), (0.025, 0.975))
    return Interval(
        mean=float(np.exp(logarithms.mean())), low=float(np.exp(low)), high=float(np.exp(high)), rounds=len(ratios)
    )
