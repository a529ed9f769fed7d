"""Laws of what the load asks for: each signal alone, the greatest of them, and when fewer replicas may be wanted."""

from dataclasses import replace

import pytest

from batching import PriorityClass
from server.autoscaling.demand import Goals, ReplicaFigures, scaled, wanted_replicas

REAL_TIME, STANDARD, BACKGROUND = PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND
GOALS = Goals(
    target=5,
    queue_time={REAL_TIME: 0.02, STANDARD: 0.2, BACKGROUND: 10},
    misses={REAL_TIME: 0.001, STANDARD: 0.01, BACKGROUND: 0.05},
    busy=0.7,
)


def test_ongoing_requests_ask_for_replicas_by_the_target() -> None:
    """As in the original design: thirty in hand, five for one."""
    assert wanted_replicas([ReplicaFigures(ongoing=15)] * 2, GOALS, running=2) == 6


@pytest.mark.parametrize(
    ("waits", "wanted"),
    [
        ({REAL_TIME: 0.03}, 3),
        ({STANDARD: 0.3}, 3),
        ({BACKGROUND: 15}, 3),
        # Background work may fill the queue for nine seconds: that is what it is for.
        ({BACKGROUND: 9}, 2),
        # However long the queue is, no more than twice as many at once.
        ({REAL_TIME: 60}, 4),
    ],
)
def test_the_class_that_is_worst_off_asks_by_its_goal(waits: dict[PriorityClass, float], wanted: float) -> None:
    """In proportion to how far its wait is above its goal."""
    figures = [ReplicaFigures(queue_time=waits, ongoing=4, busy=1)] * 2
    assert wanted_replicas(figures, GOALS, running=2) == pytest.approx(wanted)


def test_misses_ask_for_what_is_missing() -> None:
    """At least one replica more; a third missed of two replicas' work is one more, too."""
    few = ReplicaFigures(ended={STANDARD: 1000}, missed={STANDARD: 11}, busy=0.9)
    many = ReplicaFigures(ended={STANDARD: 90}, missed={STANDARD: 30}, busy=0.9)
    assert wanted_replicas([few, few], GOALS, running=2) == 3
    assert wanted_replicas([many] * 4, GOALS, running=4) == pytest.approx(6)


def test_misses_of_idle_engines_ask_for_nothing() -> None:
    """Their deadlines are too short: company would not help them."""
    figures = ReplicaFigures(ended={STANDARD: 100}, missed={STANDARD: 100}, busy=0.1, ongoing=5)
    assert wanted_replicas([figures, figures], GOALS, running=2) == 2


def test_misses_within_their_goal_ask_for_nothing() -> None:
    """One of a hundred standard requests, but not one of a hundred real-time ones."""
    figures = {
        priority: ReplicaFigures(ended={priority: 100}, missed={priority: 1}, busy=0.9)
        for priority in (STANDARD, REAL_TIME)
    }
    assert wanted_replicas([figures[STANDARD]], GOALS, running=1) == 1
    assert wanted_replicas([figures[REAL_TIME]], GOALS, running=1) == 2


def test_fewer_are_wanted_where_the_rest_is_not_too_busy() -> None:
    """Four engines at 35 % leave two at 70 %."""
    assert wanted_replicas([ReplicaFigures(ongoing=0.1, busy=0.35)] * 4, GOALS, running=4) == pytest.approx(2)
    assert wanted_replicas([ReplicaFigures(ongoing=0.1, busy=0.7)] * 4, GOALS, running=4) == pytest.approx(4)


def test_nobody_goes_where_the_queue_would_then_be_too_long() -> None:
    """What is near its goal now would be above it with fewer; all go only where all rest."""
    for wait, wanted in ((0.19, 3), (0.11, 2), (0.05, 1), (0.0, 0)):
        assert wanted_replicas([ReplicaFigures(queue_time={STANDARD: wait})] * 3, GOALS, running=3) == wanted


def test_requests_in_hand_are_those_that_fewer_would_have() -> None:
    """Two at 35 % have one in hand each; one at 70 % would have more than four, not two."""
    figures = [ReplicaFigures(ongoing=1.0, busy=0.35)] * 2
    assert wanted_replicas(figures, replace(GOALS, target=5), running=2) == 1
    assert wanted_replicas(figures, replace(GOALS, target=4), running=2) == 2


def test_nobody_goes_until_all_have_reported() -> None:
    """The one that says nothing may be the one with the queue; what was reported before a change counts for nothing."""
    idle = ReplicaFigures()
    stale = ReplicaFigures(is_fresh=False, is_current=False, queue_time={STANDARD: 9.0}, busy=1.0)
    assert wanted_replicas([idle, idle], GOALS, running=3) == 3
    assert wanted_replicas([idle, idle, stale], GOALS, running=3) == 3
    assert wanted_replicas([idle, idle, idle], GOALS, running=3) == 0


@pytest.mark.parametrize(
    "pressed",
    [
        ReplicaFigures(is_fresh=False, queue_time={STANDARD: 0.3}),
        ReplicaFigures(is_fresh=False, ended={STANDARD: 90}, missed={STANDARD: 30}, busy=1.0),
    ],
)
def test_growth_needs_no_report_of_the_present_number(pressed: ReplicaFigures) -> None:
    """And asks for more than there are when none is missing, though one of four is away."""
    assert wanted_replicas([pressed] * 3, GOALS, running=3, held=4) == pytest.approx(6)


@pytest.mark.parametrize(
    ("wanted", "running", "up", "down", "expected"),
    [
        (6, 2, 1.0, 0.5, 6),
        (6, 2, 1.5, 0.5, 8),
        (6, 2, 0.5, 0.5, 4),
        (2, 10, 1.0, 0.5, 6),
        (4.2, 5, 1.0, 0.1, 5),
        (4, 5, 1.0, 0.1, 4),  # it would never get there
        (0, 1, 1.0, 0.5, 0),
    ],
)
def test_factors_bound_the_step(wanted: float, running: int, up: float, down: float, expected: int) -> None:
    """Up and down apart; one always goes where one is too many."""
    assert scaled(wanted, running=running, upscaling_factor=up, downscaling_factor=down) == expected
