"""Reads the original's answers, of either service, and says how far two of them are apart. Pure.

Owns where in each body the results lie (docs/http.md) and what is compared: probabilities of the classes, the likeliest
class, and the regressions' means. Times, batch sizes and uncertainties, which the original draws at random, are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import msgspec

PREDICT, SINGLE, BATCH = "/ray-serve/predict", "/batch-optimized/predict/single", "/batch-optimized/predict/batch"
COMPARED_PATHS = frozenset({PREDICT, SINGLE, BATCH})
_MEMBER = {PREDICT: "predictions", SINGLE: "result", BATCH: "results"}


class UnreadableAnswerError(ValueError):
    """A body is not an answer of the original's. The message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class OriginalResult:
    """What a service said of one window.

    Attributes:
        probabilities: Of the classes, in the original's order.
        regressions: Means, in the targets' own units.
    """

    probabilities: tuple[float, ...]
    regressions: tuple[float, ...]

    @property
    def likeliest(self) -> int:
        """Index of the likeliest class; the first of equals."""
        return self.probabilities.index(max(self.probabilities))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far one result is from another, to the same window.

    Attributes:
        same_class: Whether the likeliest class is the same.
        probability: Largest absolute difference of a class's probability, 0 to 1.
        regression: Largest absolute difference of a regression's mean, in its target's unit.
    """

    same_class: bool
    probability: float
    regression: float


def results_of(path: str, body: bytes) -> list[OriginalResult]:
    """Returns the results in an answer to one of `COMPARED_PATHS`; one a window.

    Raises:
        UnreadableAnswerError: It has none, or numbers that are none.
    """
    try:
        answer: Any = msgspec.json.decode(body)
        found = answer[_MEMBER[path]]
        return [_result(each) for each in (found if path == BATCH else [found])]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableAnswerError(f"no answer of {path}: {error!r}") from None


def differences(old: list[OriginalResult], new: list[OriginalResult]) -> list[Difference]:
    """Compares two answers, window by window.

    Raises:
        UnreadableAnswerError: They have not as many results, or not of the same kind.
    """
    if len(old) != len(new):
        raise UnreadableAnswerError(f"{len(old)} results of the old service, {len(new)} of the new one")
    return [_difference(ours, its) for ours, its in zip(old, new, strict=True)]


def _difference(old: OriginalResult, new: OriginalResult) -> Difference:
    if (len(old.probabilities), len(old.regressions)) != (len(new.probabilities), len(new.regressions)):
        raise UnreadableAnswerError("the services' results have not as many classes or regressions")
    return Difference(
        same_class=old.likeliest == new.likeliest,
        probability=_largest(old.probabilities, new.probabilities),
        regression=_largest(old.regressions, new.regressions),
    )


def _largest(old: tuple[float, ...], new: tuple[float, ...]) -> float:
    return max((abs(ours - its) for ours, its in zip(old, new, strict=True)), default=0.0)


def _result(found: Any) -> OriginalResult:
    result = OriginalResult(
        probabilities=tuple(map(float, found["classification_probs"])),
        regressions=tuple(map(float, found["regression_pred"])),
    )
    if not result.probabilities or not all(map(math.isfinite, result.probabilities + result.regressions)):
        raise ValueError("no finite probabilities")
    return result
