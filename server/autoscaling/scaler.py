"""Decides how many replicas there shall be, now: the profile of the moment, the replicas' reports, the last decision.

Knows nothing of Ray; `policy` brings what Ray Serve knows. Reads a calendar, if there is one, and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from server.autoscaling.demand import Goals, ReplicaFigures, wanted_replicas
from server.autoscaling.market_calendar import MarketCalendar, Phase
from server.autoscaling.replica_reports import Point, read_figures
from server.autoscaling.scaling_decision import ScalingState, decide, seen
from server.config.autoscaling_settings import AutoscalingSettings
from server.config.scale_profiles import SCALE_PROFILES, ScaleProfile

# Seconds between two decisions. Ray Serve asks ten times a second, replicas report every few seconds.
_INTERVAL = 1.0
# Intervals between reports for which one tells of pressure: two that are lost, or late, blind nobody.
_RECENT = 3


class Calendars(Protocol):
    """Where the hours of the markets come from; see `CalendarFeed`."""

    def calendar(self, now: float) -> MarketCalendar | None:
        """Returns the calendar, or None where none reaches to `now`."""

    def is_overdue(self, now: float) -> bool:
        """Tells whether it has been waited for for long enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What Ray Serve knows of the replicas.

    Attributes:
        running: How many run.
        target: How many there shall be by the last decision.
        reports: The series of figures of each running replica that has reported, by their names; read only if need be.
    """

    running: int
    target: int
    reports: Callable[[], Sequence[Mapping[str, Sequence[Point]]]]


class Scaler:
    """Decides for one service.

    Args:
        settings: Of autoscaling.
        calendars: The hours of the markets; None where no profile depends on them.
    """

    def __init__(self, settings: AutoscalingSettings, *, calendars: Calendars | None = None) -> None:
        self._settings = settings
        self._calendars = calendars
        self._profile = None if calendars else settings.over(SCALE_PROFILES[settings.profile])  # type: ignore[index]

    def profile_at(self, now: float) -> ScaleProfile | None:
        """Returns the profile in force at a moment; None while the calendar is being loaded for the first time."""
        if self._calendars is None:
            return self._profile
        calendar = self._calendars.calendar(now)
        if calendar is None:
            # Rather too many replicas than too few, where nobody knows what day it is.
            return self._settings.open_profile if self._calendars.is_overdue(now) else None
        is_open = calendar.phase(now, pre_scale=self._settings.pre_scale) is Phase.OPEN
        return self._settings.open_profile if is_open else self._settings.closed_profile

    def decide(self, state: ScalingState, pool: Pool, *, now: float) -> tuple[int, ScalingState]:
        """Returns how many replicas there shall be, and the state for the next decision."""
        state = seen(state, running=pool.running, target=pool.target, now=now)
        if state.decided_at is not None and 0 <= now - state.decided_at < _INTERVAL:
            return pool.target, state
        profile = self.profile_at(now)
        if profile is None:
            return pool.target, replace(state, decided_at=now)
        if pool.running == 0:
            # The first replicas are starting, all were lost, or the controller was and has not found them yet: nothing
            # is known of the load, so none is given up, not even above the profile's most. Who wanted more still does.
            number = max(pool.target, profile.min_replicas)
            return number, replace(state, decided_at=now, direction=max(0, state.direction))
        held = max(pool.running, state.held)
        figures = self._figures(pool, state, now)
        wanted = wanted_replicas(figures, self._goals(profile), running=pool.running, held=held)
        # Growth is a step from how many there are when none is missing.
        running = held if wanted > held else pool.running
        return decide(state, wanted, running=running, target=pool.target, profile=profile, now=now)

    def _figures(self, pool: Pool, state: ScalingState, now: float) -> list[ReplicaFigures]:
        settings = self._settings
        read = (
            read_figures(
                series,
                now=now,
                look_back=settings.look_back_period_s,
                recent=_RECENT * settings.metrics_interval_s,
                changed=state.running_since,
                grown=state.held_since,
            )
            for series in pool.reports()
        )
        return [figures for figures in read if figures is not None]

    def _goals(self, profile: ScaleProfile) -> Goals:
        settings = self._settings
        return Goals(
            target=profile.target_ongoing_requests,
            queue_time=settings.queue_time.by_class(),
            misses=settings.misses.by_class(),
            busy=settings.busy,
        )
