"""One model's route in force: its settings, how its arms fare, and whether its candidate has been taken back.

Pure state but for the log: it finds no versions and runs nothing.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from server.config.route_settings import RouteSettings
from server.routes.arm_statistics import ArmStatistics
from server.routes.rollback_policy import Verdict, judge
from server.routes.router import Arm, arm_of

logger = logging.getLogger("tickserve")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """A candidate was taken back: why, and when on the monotonic clock."""

    verdict: Verdict
    at: float


class Route:
    """Decides which arm answers, and takes a candidate back that does harm.

    Args:
        model: Name of the model.
        settings: What the operator wants.
        clock: Monotonic seconds.

    Attributes:
        model: Name of the model.
        settings: What the operator wants.
        rollback: Set while the candidate is taken back: until the settings change.
        statistics: Of each arm, since it was last given another version.
    """

    def __init__(self, model: str, settings: RouteSettings, *, clock: Callable[[], float]) -> None:
        self.model = model
        self.settings = settings
        self.rollback: Rollback | None = None
        self._clock = clock
        self.statistics = {arm: self._fresh() for arm in Arm}

    @property
    def percent(self) -> float:
        """Part of the routing keys that the candidate is to answer now, 0 to 100."""
        return 0.0 if self.rollback is not None else self.settings.percent

    def version(self, arm: Arm) -> int | None:
        """Returns the version that an arm is to run; 0 stands for the latest, None for no such arm."""
        settings = self.settings
        return {Arm.STABLE: settings.stable, Arm.CANDIDATE: settings.candidate, Arm.SHADOW: settings.shadow}[arm]

    def arm_of(self, key: str) -> Arm:
        """Returns the arm that answers a routing key from now on."""
        return arm_of(self.model, key, self.percent)

    def change(self, settings: RouteSettings) -> None:
        """Puts other settings in force; the same ones change nothing, and a candidate that is taken back stays so.

        An arm whose version stays keeps its figures; but a candidate that was taken back begins anew, for its old
        figures would end it again at once.
        """
        if settings == self.settings:
            return
        before, again = self.settings, self.rollback is not None
        self.settings, self.rollback = settings, None
        anew = {
            Arm.STABLE: before.stable != settings.stable,
            Arm.CANDIDATE: before.candidate != settings.candidate or again,
            Arm.SHADOW: before.shadow != settings.shadow,
        }
        for arm, changed in anew.items():
            if changed or before.window != settings.window:
                self.statistics[arm] = self._fresh()

    def review(self, candidate: ArmStatistics) -> None:
        """Takes the candidate back if its figures demand it, and says so once.

        Args:
            candidate: What was just counted on; ignored if it is of a candidate that is none any more.
        """
        if self.rollback is not None or candidate is not self.statistics[Arm.CANDIDATE]:
            return
        verdict = judge(candidate.recent, self.statistics[Arm.STABLE].recent, self.settings)
        if verdict is None:
            return
        self.rollback = Rollback(verdict=verdict, at=self._clock())
        logger.error(
            "model %s: candidate version %s is rolled back from %g %% to 0 %% on this replica: %s; it stays so until "
            "`routes` changes",
            self.model,
            self.settings.candidate,
            self.settings.percent,
            verdict,
        )

    def _fresh(self) -> ArmStatistics:
        return ArmStatistics(window=self.settings.window, clock=self._clock)
