"""Laws of the decision: delays, bounds, the profile of the hour, and what is done before the market opens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from server.autoscaling.demand import CLASSES
from server.autoscaling.market_calendar import MarketCalendar, Session
from server.autoscaling.replica_reports import BUSY, ONGOING, Point, metric
from server.autoscaling.scaler import Pool, Scaler
from server.autoscaling.scaling_decision import ScalingState
from server.config.autoscaling_settings import AutoscalingSettings

OPENS, CLOSES = 10_000.0, 20_000.0


@dataclass
class Taken:
    """A number at a time, as Ray Serve's own."""

    timestamp: float
    value: float


class Clock:
    """A market that is open once, or a calendar that is not there."""

    def __init__(self, *, known: bool = True) -> None:
        self.known = known
        self.overdue = False

    def calendar(self, now: float) -> MarketCalendar | None:
        """Returns the one session."""
        del now
        return MarketCalendar([Session(OPENS, CLOSES)], known_until=1e9) if self.known else None

    def is_overdue(self, now: float) -> bool:
        """Tells whether it has been waited for for long."""
        del now
        return self.overdue


class Service:
    """A pool that obeys at once, and what its policy decides second by second.

    Args:
        scaler: The policy.
        at: The time at the start.
        ongoing: Unary requests in hand, of all replicas together, at a time.
    """

    def __init__(self, scaler: Scaler, *, at: float, ongoing: Callable[[float], float], running: int = 0) -> None:
        self.scaler, self.now, self.ongoing = scaler, at, ongoing
        self.running = self.target = running
        self.state = ScalingState()
        self.history: list[tuple[float, int]] = []

    def run(self, seconds: float, *, step: float = 1) -> None:
        """Lets time pass, a step of seconds at a time."""
        for _ in range(round(seconds / step)):
            self.now += step
            pool = Pool(running=self.running, target=self.target, reports=self._reports)
            target, self.state = self.scaler.decide(self.state, pool, now=self.now)
            if target != self.target:
                self.history.append((self.now, target))
            self.running = self.target = target

    def _reports(self) -> Sequence[Mapping[str, Sequence[Point]]]:
        share = self.ongoing(self.now) / self.running
        report = {metric(ONGOING, CLASSES[1]): [Taken(self.now, share)], BUSY: [Taken(self.now, min(1.0, share / 10))]}
        return [report] * self.running


def scaler(hours: Clock | None = None, **settings: object) -> Scaler:
    """Returns a policy."""
    made = AutoscalingSettings.model_validate({"enabled": True, **settings})
    return Scaler(made, calendars=hours)


def by_calendar(hours: Clock, **settings: Any) -> Scaler:
    """Returns a policy that follows a market."""
    return scaler(hours, profile="calendar", calendars=["XNYS"], **settings)


def test_growth_waits_for_its_delay_and_shrinking_for_its_own() -> None:
    """Of the default profile: 30 and 300 seconds, half of what is superfluous at once."""
    service = Service(scaler(), at=0, running=2, ongoing=lambda now: 40 if now < 500 else 0)
    service.run(2000)
    assert service.history[0] == (31, 8)
    assert [number for _, number in service.history] == [8, 4, 2]
    assert service.history[1][0] == 500 + 300
    # The four that are left must have said how they are before fewer may be wanted: two seconds.
    assert service.history[2][0] == 500 + 300 + 2 + 300


def test_a_pause_begins_the_delay_anew() -> None:
    """Peaks shorter than the delay grow nothing."""
    service = Service(scaler(), at=0, running=2, ongoing=lambda now: 40 if now % 30 < 29 else 8)
    service.run(900)
    assert service.history == []


@pytest.mark.parametrize(("now", "least"), [(OPENS - 2000, 2), (OPENS - 900, 5), (OPENS, 5), (CLOSES, 2)])
def test_the_pool_starts_with_the_least_of_the_moment(now: float, least: int) -> None:
    """Ray Serve begins with the least of the whole day."""
    target, _ = by_calendar(Clock()).decide(ScalingState(), Pool(running=0, target=2, reports=list), now=now)
    assert target == least


def test_a_change_of_settings_leaves_the_replicas_that_run() -> None:
    """It comes without any state."""
    target, _ = scaler().decide(ScalingState(), Pool(running=9, target=9, reports=list), now=5.0)
    assert target == 9


def test_a_new_controller_keeps_the_number_until_it_has_found_the_replicas() -> None:
    """It knows the number and no state; and what is above the profile's most still goes after its delay, not before."""
    service = Service(by_calendar(Clock()), at=CLOSES + 100, running=25, ongoing=lambda _: 0.0)
    for tick in range(50):
        pool = Pool(running=0, target=25, reports=list)
        target, service.state = service.scaler.decide(service.state, pool, now=service.now + tick / 10)
        assert target == 25
    service.run(300)
    assert service.history == []
    service.run(10)
    assert service.history[0][1] == 10


def test_all_replicas_lost_are_replaced() -> None:
    """As many as there were: nothing is known of the load."""
    service = Service(scaler(), at=0, running=2, ongoing=lambda _: 40)
    service.run(60)
    assert service.target == 8
    target, _ = service.scaler.decide(service.state, Pool(running=0, target=8, reports=list), now=100.0)
    assert target == 8


def test_before_the_market_opens_the_least_of_its_profile_is_there() -> None:
    """Without any load, and at once, 900 seconds before; after the close the pool shrinks to the other profile's."""
    service = Service(by_calendar(Clock()), at=OPENS - 2000, running=2, ongoing=lambda _: 0.0)
    service.run(2000 + 10_000 + 3000, step=10)
    assert service.history[0] == (OPENS - 900, 5)
    assert [number for _, number in service.history] == [5, 3, 2]
    assert service.history[1][0] == CLOSES + 300


def test_the_most_of_the_profile_holds() -> None:
    """Thirty while the market is open, ten at most after it, however great the load."""
    service = Service(by_calendar(Clock()), at=OPENS, running=5, ongoing=lambda _: 1e6)
    service.run(9000, step=10)
    assert service.target == 30
    service.run(5000, step=10)
    assert service.target == 10


def test_a_calendar_that_is_being_loaded_changes_nothing() -> None:
    """One that never comes means open: rather too many replicas than too few."""
    clock = Clock(known=False)
    service = Service(by_calendar(clock), at=0, running=3, ongoing=lambda _: 0.0)
    service.run(100)
    assert service.history == []
    clock.overdue = True
    service.run(1)
    assert service.target == 5


def test_single_values_win_over_the_profile_and_the_hours_over_those() -> None:
    """At all times, or while open, or while closed."""
    policy = by_calendar(
        Clock(), max_replicas=8, open={"min_replicas": 3}, closed={"max_replicas": 4, "min_replicas": 1}
    )
    open_profile, closed_profile = policy.profile_at(OPENS), policy.profile_at(CLOSES)
    assert open_profile is not None
    assert closed_profile is not None
    assert (open_profile.min_replicas, open_profile.max_replicas) == (3, 8)
    assert (closed_profile.min_replicas, closed_profile.max_replicas) == (1, 4)
    assert open_profile.upscale_delay_s == 15


def test_it_decides_once_a_second() -> None:
    """Ray Serve asks ten times: in between the reports are not even read."""
    reads: list[int] = []

    def reports() -> Sequence[Mapping[str, Sequence[Point]]]:
        reads.append(1)
        return []

    policy, state = scaler(), ScalingState()
    for tick in range(100):
        target, state = policy.decide(state, Pool(running=2, target=2, reports=reports), now=100 + tick / 10)
        assert target == 2
    assert 9 <= len(reads) <= 11


def test_starting_replicas_are_kept_while_the_others_are_needed() -> None:
    """Where two of four are up and both are full, nobody is sent away for want of reports from the rest."""
    policy, state = scaler(downscale_delay_s=0.0), ScalingState()
    full = {metric(ONGOING, CLASSES[1]): [Taken(0, 5.0)], BUSY: [Taken(0, 0.9)]}
    for second in range(1, 100):
        target, state = policy.decide(state, Pool(running=2, target=4, reports=lambda: [full, full]), now=float(second))
        assert target == 4


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
def test_a_clock_that_is_set_does_not_stop_it(jump: float) -> None:
    """Nor does it make it decide early, where it is set back."""
    service = Service(scaler(), at=1e6, running=2, ongoing=lambda _: 40)
    service.run(20)
    service.now += jump
    service.run(40)
    assert service.target == 8
