"""When a candidate is taken back. Pure: figures in, a verdict out; knows no clock, no versions and no requests.

Only what exceeds stable's own rate counts against a candidate: a machine that is overloaded, or windows that no version
can answer, are no fault of it. Stable's rates come from the requests that were its own, never from those that it
answered in the candidate's place: these had less time, through the candidate. While stable has too few of its own
(at 100 %), nothing is subtracted.
"""

from __future__ import annotations

import dataclasses
import enum

from server.config.route_settings import RouteSettings
from server.routes.arm_statistics import ArmFigures, Outcome


class Fault(enum.Enum):
    """What a candidate was taken back for."""

    ERRORS = "errors"
    LATENESS = "late answers"
    DISAGREEMENT = "disagreement with stable"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Why a candidate is taken back.

    Attributes:
        fault: What was too frequent.
        rate: How frequent it was, 0 to 1.
        stable_rate: How frequent it was among stable's own requests; 0 where they were too few.
        limit: By how much the first may exceed the second.
        requests: Requests, or comparisons, that `rate` rests on.
    """

    fault: Fault
    rate: float
    stable_rate: float
    limit: float
    requests: int

    def __str__(self) -> str:
        beside = f", beside {self.stable_rate:.2%} of stable's own," if self.stable_rate else ""
        return f"{self.fault.value} in {self.rate:.2%} of {self.requests}{beside} where {self.limit:.2%} are allowed"


def judge(candidate: ArmFigures, stable: ArmFigures, limits: RouteSettings) -> Verdict | None:
    """Returns why the candidate must be taken back, or None as long as it need not be.

    Args:
        candidate: The candidate's figures within the window.
        stable: Those of stable's own requests.
        limits: How much of what is allowed, and on how many requests a verdict may rest.
    """
    if candidate.judged >= limits.min_requests:
        known = stable.judged >= limits.min_requests
        for fault, outcome, limit in (
            (Fault.ERRORS, Outcome.ERROR, limits.max_error_rate),
            (Fault.LATENESS, Outcome.LATE, limits.max_late_rate),
        ):
            rate = candidate.rate(outcome)
            stable_rate = stable.rate(outcome) if known else 0.0
            if rate - stable_rate > limit:
                return Verdict(fault=fault, rate=rate, stable_rate=stable_rate, limit=limit, requests=candidate.judged)
    if candidate.compared >= limits.min_requests and candidate.disagreement > limits.max_disagreement:
        return Verdict(
            fault=Fault.DISAGREEMENT,
            rate=candidate.disagreement,
            stable_rate=0.0,
            limit=limits.max_disagreement,
            requests=candidate.compared,
        )
    return None
