"""Laws of the decision while replicas come and go by themselves: what presses on the others is not lost sight of."""

from bisect import bisect
from collections.abc import Callable, Mapping
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.autoscaling.demand import CLASSES
from server.autoscaling.replica_reports import BUSY, ENDED, MISSED, QUEUE_TIME, metric
from server.autoscaling.scaler import Pool, Scaler
from server.autoscaling.scaling_decision import ScalingState
from tests.unit.server.autoscaling.test_scaler import Taken, scaler

LONG_QUEUES = {metric(QUEUE_TIME, CLASSES[1]): 0.22, BUSY: 1.0}
MISSES = {metric(ENDED, CLASSES[1]): 900.0, metric(MISSED, CLASSES[1]): 45.0, BUSY: 1.0}
AT_EASE = {metric(QUEUE_TIME, CLASSES[1]): 0.01, BUSY: 0.1}


def flapping(scaling: Scaler, away: Callable[[float], bool], report: Mapping[str, float], *, seconds: int) -> int:
    """Returns how many replicas there shall be of four, one of which comes and goes and never reports.

    Args:
        scaling: The policy.
        away: Whether the fourth is away, at a time.
        report: What the others say of the last ten seconds, every ten seconds.
        seconds: How long it goes on, at most: until a decision.
    """
    state, start = ScalingState(), 1e6
    for tick in range(seconds * 10):
        now = start + tick / 10
        series = {name: [Taken(now - tick % 100 / 10, value)] for name, value in report.items()}
        pool = Pool(running=3 if away(now) else 4, target=4, reports=lambda told=[series] * 3: told)  # type: ignore[misc]
        target, state = scaling.decide(state, pool, now=now)
        if target != 4:
            return target
    return 4


@pytest.mark.parametrize("report", [LONG_QUEUES, MISSES])
@pytest.mark.parametrize("period", [0.4, 1.0, 3.0, 7.0, 19.0])
def test_a_replica_that_comes_and_goes_blinds_nobody(report: Mapping[str, float], period: float) -> None:
    """Each change makes all reports unfresh, faster than new ones come; the others' pressure asks for one more."""
    assert flapping(scaler(), lambda now: now % period < period / 2, report, seconds=70) == 5


@given(
    changes=st.lists(st.floats(0.1, 9), min_size=20, max_size=60),
    report=st.sampled_from([LONG_QUEUES, MISSES]),
)
@settings(deadline=None, max_examples=40)
def test_however_it_comes_and_goes(changes: list[float], report: Mapping[str, float]) -> None:
    """A steady pressure grows the pool within the delay and three reports, whatever the rhythm."""
    moments = list(accumulate(changes, initial=1e6))
    assert flapping(scaler(), lambda now: bisect(moments, now) % 2 == 0, report, seconds=70) == 5


@pytest.mark.parametrize("period", [0.4, 3.0, 9.0])
def test_nobody_goes_while_one_comes_and_goes(period: float) -> None:
    """The figures of the present number are never there."""
    assert flapping(scaler(), lambda now: now % period < period / 2, AT_EASE, seconds=700) == 4


def test_pressure_that_growth_has_answered_asks_for_no_more() -> None:
    """Reports from before the new replicas came do not count again, though they are young: else one wish is two."""
    policy, state, target = scaler(profile="stress_test"), ScalingState(running=10, held=10), 10
    told = {name: [Taken(1000.0, value)] for name, value in LONG_QUEUES.items()}
    targets = []
    for second in range(1, 25):
        # New ones come at once; nobody reports anew.
        pool = Pool(running=target, target=target, reports=lambda: [told] * 10)
        target, state = policy.decide(state, pool, now=1000.0 + second)
        targets.append(target)
    assert targets == [10] * 5 + [12] * 19


def test_an_update_s_surplus_blinds_nobody() -> None:
    """A rolling update runs one more than there shall be, again and again."""
    policy, state, target = scaler(), ScalingState(), 4
    for tick in range(700):
        now = 1e6 + tick / 10
        series = {name: [Taken(now - tick % 100 / 10, value)] for name, value in LONG_QUEUES.items()}
        pool = Pool(running=4 + tick // 20 % 2, target=4, reports=lambda told=[series] * 4: told)  # type: ignore[misc]
        target, state = policy.decide(state, pool, now=now)
        if target > 4:
            break
    assert target > 4


def test_the_only_replica_may_come_and_go() -> None:
    """While it is away nothing is known, and what was wanted before still is."""
    policy, state, target = scaler(min_replicas=1), ScalingState(), 1
    for tick in range(700):
        now = 1e6 + tick / 10
        series = {name: [Taken(now - tick % 100 / 10, value)] for name, value in LONG_QUEUES.items()}
        running = 1 - tick // 15 % 2
        pool = Pool(running=running, target=1, reports=lambda told=[series] * running: told)  # type: ignore[misc]
        target, state = policy.decide(state, pool, now=now)
        if target > 1:
            break
    assert target == 2
