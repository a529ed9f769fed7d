"""How a model's traffic is split, on all replicas together. Reads generated messages, as `console_view` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from server.http.console_frame import ArmRow, RouteRow
from tickserve.v1.model_service_pb2 import (
    ArmRole,
    ArmState,
    ArmStatistics,
    ReplicaStatistics,
    RollbackCause,
    RouteStatistics,
)


class Enum(Protocol):
    """A generated enum."""

    def items(self) -> Sequence[tuple[str, int]]:
        """Returns names and numbers."""


def enum_name(enum: Enum, prefix: str, number: int) -> str:
    """Returns the name of a value without its prefix; the number itself where a later release knows the name."""
    return next((name.removeprefix(prefix) for name, value in enum.items() if value == number), str(number))


def route_rows(statistics: Sequence[ReplicaStatistics]) -> tuple[RouteRow, ...]:
    """Returns one row for each model that has a route on any replica, by name."""
    names = sorted({route.model_name for item in statistics for route in item.routes})
    return tuple(
        _route_row(name, [route for item in statistics for route in item.routes if route.model_name == name])
        for name in names
    )


def _route_row(name: str, routes: Sequence[RouteStatistics]) -> RouteRow:
    arms: dict[tuple[int, int], list[ArmStatistics]] = {}
    for route in routes:
        for arm in route.arms:
            arms.setdefault((arm.role, arm.model.version), []).append(arm)
    causes = Counter(
        enum_name(RollbackCause, "ROLLBACK_CAUSE_", route.rollback.cause)
        for route in routes
        if route.HasField("rollback")
    )
    return RouteRow(
        model=name,
        # Settings reach all replicas; while they travel, the later word is the one of the replica that tells.
        percent=routes[0].percent,
        effective_percent=sum(route.effective_percent for route in routes) / len(routes),
        arms=tuple(_arm_row(arms[key]) for key in sorted(arms)),
        rollbacks=dict(causes),
    )


def _arm_row(arms: Sequence[ArmStatistics]) -> ArmRow:
    recent = [arm.recent for arm in arms]
    compared = sum(figures.compared_count for figures in recent)
    answering = [figures for figures in recent if figures.answered_count]
    median = max((figures.median_duration.ToTimedelta() for figures in answering), default=None)
    slowest = max((figures.quantile_duration.ToTimedelta() for figures in answering), default=None)
    return ArmRow(
        role=enum_name(ArmRole, "ARM_ROLE_", arms[0].role),
        version=arms[0].model.version,
        states=dict(Counter(enum_name(ArmState, "ARM_STATE_", arm.state) for arm in arms)),
        requests=sum(figures.request_count for figures in recent),
        errors=sum(figures.error_count for figures in recent),
        late=sum(figures.late_count for figures in recent),
        fallbacks=sum(figures.fallback_count for figures in recent),
        disagreement=sum(figures.other_class_count for figures in recent) / compared if compared else None,
        median=median.total_seconds() if median is not None else None,
        p99=slowest.total_seconds() if slowest is not None else None,
    )
