"""Laws of the comparison of two answers: nothing between equals, both heads count, regressions in target deviations."""

import dataclasses

import numpy as np
import pytest

from model.outputs import OutputRow
from server.routes.disagreement import compare
from tests.support.fakes import FakeEngine

DEVIATION = (0.5, 0.25)


@pytest.fixture
def row() -> OutputRow:
    """An answer whose likeliest class is the second."""
    return FakeEngine().run(np.zeros((1, 50, 60), np.float32)).row(0)


def test_an_answer_agrees_with_itself(row: OutputRow) -> None:
    """No distance at all."""
    found = compare(row, row, DEVIATION)
    assert (found.other_class, found.probability_difference, found.regression_difference) == (False, 0.0, 0.0)


@pytest.mark.parametrize("head", ["class_probabilities", "ensemble_class_probabilities"])
def test_another_likeliest_class_in_either_head_counts(row: OutputRow, head: str) -> None:
    """Callers may act on either."""
    other = dataclasses.replace(row, **{head: np.array([0.8, 0.1, 0.1], np.float32)})
    found = compare(row, other, DEVIATION)
    assert found.other_class
    assert found.probability_difference == pytest.approx(0.5)


@pytest.mark.parametrize("head", ["regression_mean", "ensemble_regression_mean"])
def test_regressions_are_measured_by_their_targets(row: OutputRow, head: str) -> None:
    """The second regression moves by half of its target's deviation, the first by a fifth of its own."""
    moved = getattr(row, head) + np.array([0.1, -0.125], np.float32)
    found = compare(row, dataclasses.replace(row, **{head: moved}), DEVIATION)
    assert found.regression_difference == pytest.approx(0.5)
    assert not found.other_class
