"""One route's figures at one moment. Knows no messages; `encode_routes` writes them."""

from __future__ import annotations

import dataclasses
import enum

from server.routes.arm_statistics import ArmStatistics
from server.routes.rollback_policy import Verdict
from server.routes.router import Arm


class ArmState(enum.Enum):
    """Whether an arm takes what is routed to it."""

    LIVE = enum.auto()
    UNLOADED = enum.auto()
    UNFIT = enum.auto()
    """It reads or tells something else than stable."""
    ROLLED_BACK = enum.auto()
    REDUNDANT = enum.auto()
    """It is stable's own version."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArmSnapshot:
    """One arm.

    Attributes:
        arm: Which.
        version: Of the model; 0 while the latest is not known.
        sha256: Of the version's weights; empty unless it is loaded.
        state: Whether it takes what is routed to it.
        statistics: Its counters, which count on.
    """

    arm: Arm
    version: int
    sha256: str
    state: ArmState
    statistics: ArmStatistics


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RouteSnapshot:
    """One route.

    Attributes:
        model: Name of the model.
        percent: What the settings want the candidate to answer, 0 to 100.
        effective_percent: What it is to answer now.
        window: Seconds that recent figures are of.
        arms: Stable first.
        verdict: Why the candidate is rolled back; None unless it is.
        rollback_age: Seconds since then.
    """

    model: str
    percent: float
    effective_percent: float
    window: float
    arms: tuple[ArmSnapshot, ...]
    verdict: Verdict | None = None
    rollback_age: float = 0.0
