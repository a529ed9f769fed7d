"""What paired rounds say: an interval that covers the truth, and a verdict that needs all of it."""

import random

import pytest

from benchmarks.telemetry.interval import interval


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Of a hundred runs with a known ratio, hardly more than one in ten misses it, and hardly none is no interval."""
    source = random.Random(1)
    runs = [interval([source.lognormvariate(0.05, 0.1) for _ in range(24)]) for _ in range(100)]
    truth = 1.0512710963760241  # e ** 0.05
    assert 0.85 <= sum(run.low <= truth <= run.high for run in runs) / 100 <= 1.0
    assert all(run.low < run.mean < run.high for run in runs)


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        ([1.01, 1.0, 0.99, 1.01], "met"),
        ([1.2, 1.21, 1.19, 1.2], "not met"),
        ([0.8, 1.3, 0.9, 1.25], "not resolved"),
    ],
)
def test_a_goal_is_judged_by_the_whole_interval(ratios: list[float], verdict: str) -> None:
    """A mean on the right side is not enough."""
    assert interval(ratios).below(1.03) == verdict


def test_halves_and_doubles_cancel() -> None:
    """The mean is geometric: as often twice as half is once."""
    assert interval([0.5, 2.0]).mean == pytest.approx(1.0)


@pytest.mark.parametrize("ratios", [[1.0], [1.0, 0.0], [1.0, float("nan")], [1.0, float("inf")]])
def test_what_says_nothing_is_refused(ratios: list[float]) -> None:
    """No interval is made of a single round or of a ratio that is none."""
    with pytest.raises(ValueError, match=r"round|ratio"):
        interval(ratios)
