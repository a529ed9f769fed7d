"""The settings of autoscaling, as an operator writes them. Owns names, defaults and bounds, and how they combine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from batching import PriorityClass
from server.config.calendar_names import EXCHANGE_CALENDARS, FX_WEEK
from server.config.resource_presets import RESOURCES, ResourcesName
from server.config.scale_profiles import (
    SCALE_PROFILES,
    Delay,
    Positive,
    Replicas,
    ScaleProfile,
    ScaleProfileName,
)

# Ray Serve takes a replica's figures so often in a look-back period, or as often as it sends them. Of what is taken
# between two sendings only the last is read, so a shorter period would hide part of what was counted.
_POINTS = 5

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


def _known_calendar(name: str) -> str:
    if name != FX_WEEK and name not in EXCHANGE_CALENDARS:
        raise ValueError(
            f"{name[:32]!r} is no calendar; take an exchange's market identifier code, as XNYS or XLON, or {FX_WEEK}"
        )
    return name


CalendarName = Annotated[str, AfterValidator(_known_calendar)]


class ScaleOverrides(BaseModel):
    """Values that win over a profile's where they are set; see `ScaleProfile`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_replicas: Replicas | None = Field(default=None, description="Fewest replicas; unset: the profile's")
    max_replicas: Replicas | None = Field(default=None, description="Most replicas; unset: the profile's")
    target_ongoing_requests: Positive | None = Field(
        default=None,
        description="Unary requests that a replica should have in hand on average; open streams are none; unset: the "
        "profile's",
    )
    upscale_delay_s: Delay | None = Field(
        default=None, description="Seconds for which more replicas must be wanted; unset: the profile's"
    )
    downscale_delay_s: Delay | None = Field(
        default=None, description="Seconds for which fewer replicas must be wanted; unset: the profile's"
    )
    upscaling_factor: Positive | None = Field(
        default=None, description="Part of the missing replicas that come at once; unset: the profile's"
    )
    downscaling_factor: Positive | None = Field(
        default=None, description="Part of the superfluous replicas that go at once; unset: the profile's"
    )

    def over(self, profile: ScaleProfile) -> ScaleProfile:
        """Returns a profile with what is set here in place of its own."""
        given = {name: getattr(self, name) for name in ScaleProfile.model_fields}
        return profile.model_copy(update={name: value for name, value in given.items() if value is not None})


class OpenScale(ScaleOverrides):
    """The profile while a market is open, and for `pre_scale` before that."""

    profile: ScaleProfileName = Field(default="market_hours", description="Profile while a market is open")


class ClosedScale(ScaleOverrides):
    """The profile while all markets are closed."""

    profile: ScaleProfileName = Field(default="off_hours", description="Profile while all markets are closed")


class QueueTimeGoals(BaseModel):
    """Longest predicted time in the queue, by class, seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    real_time: Positive = Field(default=0.02, description="Seconds a real_time request may be predicted to wait")
    standard: Positive = Field(default=0.2, description="Seconds a standard request may be predicted to wait")
    background: Positive = Field(default=10.0, description="Seconds a background request may be predicted to wait")

    def by_class(self) -> dict[PriorityClass, float]:
        """Returns the seconds by class."""
        return _by_class(self.real_time, self.standard, self.background)


class MissGoals(BaseModel):
    """Largest share of requests that are late, or refused for want of capacity, by class."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    real_time: Share = Field(default=0.001, description="Share of real_time requests that may be late or shed")
    standard: Share = Field(default=0.01, description="Share of standard requests that may be late or shed")
    background: Share = Field(default=0.05, description="Share of background requests that may be late or shed")

    def by_class(self) -> dict[PriorityClass, float]:
        """Returns the shares by class."""
        return _by_class(self.real_time, self.standard, self.background)


class AutoscalingSettings(ScaleOverrides):
    """How the number of replicas follows the load and the clock (docs/autoscaling.md)."""

    enabled: bool = Field(default=False, description="Whether the number of replicas follows the load")
    profile: ScaleProfileName | Literal["calendar"] = Field(
        default="default",
        description="Named set of scaling values, or calendar: one while a market is open, another while none is",
    )
    calendars: tuple[CalendarName, ...] = Field(
        default=(), description="Exchanges whose hours count, any of them, as XNYS or XLON; 24x5: foreign exchange"
    )
    pre_scale: Delay = Field(default=900.0, description="Seconds before a market opens from which on it counts as open")
    open: OpenScale = OpenScale()
    closed: ClosedScale = ClosedScale()
    queue_time: QueueTimeGoals = QueueTimeGoals()
    misses: MissGoals = MissGoals()
    busy: Share = Field(
        default=0.7, description="Share of its time that an engine may be busy after a replica has been taken away"
    )
    metrics_interval_s: Annotated[float, Field(ge=0.1, le=600)] = Field(
        default=10.0, description="Seconds between two reports of a replica"
    )
    look_back_period_s: Annotated[float, Field(ge=0.2, le=3600)] = Field(
        default=120.0,
        description="Seconds over which ongoing requests are averaged; at least five times metrics_interval_s",
    )
    resources: ResourcesName = Field(
        default="",
        description="Size of a replica, with or without autoscaling: CPUs where replica_cpus is 0, memory and, with "
        "engine cuda, share of a GPU",
    )

    @model_validator(mode="after")
    def _values_agree(self) -> AutoscalingSettings:
        if self.profile == "calendar" and not self.calendars:
            raise ValueError("profile calendar needs calendars, as in [XNYS, XLON] or [24x5]")
        if self.profile != "calendar" and (self.calendars or self.open != OpenScale() or self.closed != ClosedScale()):
            raise ValueError("calendars, open and closed count with profile calendar only; set it, or leave them out")
        if self.look_back_period_s < _POINTS * self.metrics_interval_s:
            raise ValueError(
                f"look_back_period_s {self.look_back_period_s:g} is below {_POINTS} x metrics_interval_s "
                f"{self.metrics_interval_s:g}, so that part of the misses would go unseen; raise it to "
                f"{_POINTS * self.metrics_interval_s:g} or lower metrics_interval_s"
            )
        for name, profile in self.profiles().items():
            if profile.min_replicas > profile.max_replicas:
                raise ValueError(
                    f"min_replicas {profile.min_replicas} is above max_replicas {profile.max_replicas} of profile "
                    f"{name}; set both"
                )
        return self

    def profiles(self) -> dict[str, ScaleProfile]:
        """Returns the profiles that may come into force, with what is set over them, by name."""
        if self.profile == "calendar":
            return {"open": self.open_profile, "closed": self.closed_profile}
        return {self.profile: self.over(SCALE_PROFILES[self.profile])}

    @property
    def open_profile(self) -> ScaleProfile:
        """The values while a market is open: what is set for then, else for all times, else the named profile's."""
        return self.open.over(self.over(SCALE_PROFILES[self.open.profile]))

    @property
    def closed_profile(self) -> ScaleProfile:
        """The values while all markets are closed, likewise."""
        return self.closed.over(self.over(SCALE_PROFILES[self.closed.profile]))

    def fewest_replicas(self, replicas: int) -> int:
        """Returns the fewest replicas there may be, where `replicas` is their number without autoscaling."""
        return min(profile.min_replicas for profile in self.profiles().values()) if self.enabled else replicas

    def most_replicas(self, replicas: int) -> int:
        """Returns the most replicas there may be, likewise."""
        return max(profile.max_replicas for profile in self.profiles().values()) if self.enabled else replicas

    def cpus(self) -> float:
        """Returns the CPUs of a replica of the size that is named; 0 where none is."""
        return RESOURCES[self.resources].cpus if self.resources else 0.0


def scale_fault(scale: AutoscalingSettings, *, replicas: int, replica_cpus: float, shares_windows: bool) -> str:
    """Returns what contradicts itself in how many replicas there are, with the remedy; empty where nothing does.

    Args:
        scale: The settings of autoscaling.
        replicas: Number of replicas without it; not used with it.
        replica_cpus: CPUs of one, as set.
        shares_windows: Whether replicas share the symbols' windows, or were allowed not to.
    """
    most = scale.most_replicas(replicas)
    if most > 1 and not shares_windows:
        which = "autoscaling to more than 1 replica needs" if scale.enabled else "replicas above 1 need"
        return (
            f"{which} windows that they share: set windows.store to redis with windows.redis_url, or, "
            "if no client streams ticks or predicts by symbol, windows.allow_split to true"
        )
    if scale.enabled and not (replica_cpus or scale.cpus()):
        return "autoscaling needs replica_cpus or autoscaling.resources: no share of a machine is even for long"
    return ""


def _by_class(real_time: float, standard: float, background: float) -> dict[PriorityClass, float]:
    return {
        PriorityClass.REAL_TIME: real_time,
        PriorityClass.STANDARD: standard,
        PriorityClass.BACKGROUND: background,
    }
