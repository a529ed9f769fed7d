"""How the versions fare that share a model's requests, as frozen values; a part of `catalog.ReplicaStatistics`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeVar

from tickserve.prediction import ModelVersion
from tickserve.v1 import model_service_pb2
from tickserve.wire import from_duration

__all__ = (
    "ArmFigures",
    "ArmRole",
    "ArmState",
    "ArmStatistics",
    "RollbackCause",
    "RollbackVerdict",
    "RouteStatistics",
)


class ArmRole(enum.IntEnum):
    """An arm of a route; the numbers are the contract's."""

    UNSPECIFIED = 0
    """An arm that this client does not know."""
    STABLE = 1
    """It answers, unless the candidate does."""
    CANDIDATE = 2
    """It answers its part of the routing keys."""
    SHADOW = 3
    """It computes what others answer, to be compared."""


class ArmState(enum.IntEnum):
    """Whether an arm takes what is routed to it; while it does not, stable answers."""

    UNSPECIFIED = 0
    """A state that this client does not know."""
    LIVE = 1
    """It does."""
    UNLOADED = 2
    """It is being loaded, or could not be."""
    UNFIT = 3
    """It reads or tells something else than stable."""
    ROLLED_BACK = 4
    """It was rolled back."""
    REDUNDANT = 5
    """It is the same version as stable."""


class RollbackCause(enum.IntEnum):
    """What a candidate was rolled back for."""

    UNSPECIFIED = 0
    """A cause that this client does not know."""
    ERRORS = 1
    """It failed too often."""
    LATENESS = 2
    """It was late too often."""
    DISAGREEMENT = 3
    """It named another class than stable too often."""


E = TypeVar("E", bound=enum.IntEnum)


def _known(kind: type[E], number: int) -> E:
    """Reads an enum; a number from a newer service is its zero, `UNSPECIFIED`."""
    return kind(number) if number in {int(member) for member in kind} else kind(0)


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """What became of the requests that one arm was asked, over some span. Spans are seconds."""

    request_count: int
    answered_count: int
    error_count: int
    """Requests that failed on it, or whose answer was not finite or not normalised."""
    late_count: int
    declined_count: int
    """Requests that it was not tried with for lack of room or time."""
    fallback_count: int
    """Requests that stable answered in its place."""
    median_duration: float
    quantile_duration: float
    """99 in 100 of its answers did not take longer."""
    compared_count: int
    other_class_count: int
    """Compared answers with another likeliest class."""
    mean_probability_difference: float
    max_probability_difference: float
    mean_regression_difference: float
    """In standard deviations of the training target."""
    max_regression_difference: float

    @property
    def judged_count(self) -> int:
        """Requests whose end says something of the version."""
        return self.request_count - self.declined_count

    @classmethod
    def from_proto(cls, message: model_service_pb2.ArmFigures) -> ArmFigures:
        """Reads the contract's message."""
        return cls(
            request_count=message.request_count,
            answered_count=message.answered_count,
            error_count=message.error_count,
            late_count=message.late_count,
            declined_count=message.declined_count,
            fallback_count=message.fallback_count,
            median_duration=from_duration(message.median_duration),
            quantile_duration=from_duration(message.quantile_duration),
            compared_count=message.compared_count,
            other_class_count=message.other_class_count,
            mean_probability_difference=message.mean_probability_difference,
            max_probability_difference=message.max_probability_difference,
            mean_regression_difference=message.mean_regression_difference,
            max_regression_difference=message.max_regression_difference,
        )


@dataclass(frozen=True, slots=True)
class ArmStatistics:
    """How one arm of a route fares."""

    role: ArmRole
    model: ModelVersion
    """Its hash is empty unless it is loaded."""
    state: ArmState
    total: ArmFigures
    """Since the arm was given this version."""
    recent: ArmFigures
    """Within the route's window."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.ArmStatistics) -> ArmStatistics:
        """Reads the contract's message."""
        return cls(
            role=_known(ArmRole, message.role),
            model=ModelVersion.from_proto(message.model),
            state=_known(ArmState, message.state),
            total=ArmFigures.from_proto(message.total),
            recent=ArmFigures.from_proto(message.recent),
        )


@dataclass(frozen=True, slots=True)
class RollbackVerdict:
    """Why a candidate was rolled back on one replica."""

    cause: RollbackCause
    rate: float
    """How frequent the cause was, in [0, 1]."""
    stable_rate: float
    """How frequent it was among stable's own requests; 0 where these were too few."""
    limit: float
    """By how much the one may exceed the other."""
    request_count: int
    """Requests, or comparisons, that the rate rests on."""
    age: float
    """Seconds since then."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.RollbackVerdict) -> RollbackVerdict:
        """Reads the contract's message."""
        return cls(
            cause=_known(RollbackCause, message.cause),
            rate=message.rate,
            stable_rate=message.stable_rate,
            limit=message.limit,
            request_count=message.request_count,
            age=from_duration(message.age),
        )


@dataclass(frozen=True, slots=True)
class RouteStatistics:
    """How the versions fare that share a model's requests on one replica."""

    model_name: str
    percent: float
    """The part of the routing keys that the settings want the candidate to answer, 0 to 100."""
    effective_percent: float
    """The part that it is to answer now; 0 while it is rolled back."""
    window_duration: float
    """Seconds that recent figures are of."""
    arms: tuple[ArmStatistics, ...]
    """Stable first."""
    rollback: RollbackVerdict | None
    """None unless the candidate is rolled back."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.RouteStatistics) -> RouteStatistics:
        """Reads the contract's message."""
        return cls(
            model_name=message.model_name,
            percent=message.percent,
            effective_percent=message.effective_percent,
            window_duration=from_duration(message.window_duration),
            arms=tuple(map(ArmStatistics.from_proto, message.arms)),
            rollback=RollbackVerdict.from_proto(message.rollback) if message.HasField("rollback") else None,
        )
