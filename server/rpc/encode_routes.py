"""Routes' figures to protobuf messages. Owns what `GetStatistics` shows of them; knows nothing of who asks."""

from __future__ import annotations

from server.routes.arm_statistics import ArmFigures, Outcome
from server.routes.rollback_policy import Fault, Verdict
from server.routes.route_snapshot import ArmSnapshot, ArmState, RouteSnapshot
from server.routes.router import Arm
from server.rpc.encode import write_span
from tickserve.v1 import model_service_pb2 as pb
from tickserve.v1 import prediction_pb2

_ROLES = {
    Arm.STABLE: pb.ARM_ROLE_STABLE,
    Arm.CANDIDATE: pb.ARM_ROLE_CANDIDATE,
    Arm.SHADOW: pb.ARM_ROLE_SHADOW,
}
_STATES = {
    ArmState.LIVE: pb.ARM_STATE_LIVE,
    ArmState.UNLOADED: pb.ARM_STATE_UNLOADED,
    ArmState.UNFIT: pb.ARM_STATE_UNFIT,
    ArmState.ROLLED_BACK: pb.ARM_STATE_ROLLED_BACK,
    ArmState.REDUNDANT: pb.ARM_STATE_REDUNDANT,
}
_CAUSES = {
    Fault.ERRORS: pb.ROLLBACK_CAUSE_ERRORS,
    Fault.LATENESS: pb.ROLLBACK_CAUSE_LATENESS,
    Fault.DISAGREEMENT: pb.ROLLBACK_CAUSE_DISAGREEMENT,
}


def write_route(route: RouteSnapshot) -> pb.RouteStatistics:
    """Returns the wire form of a route's figures."""
    return pb.RouteStatistics(
        model_name=route.model,
        percent=route.percent,
        effective_percent=route.effective_percent,
        window_duration=write_span(route.window),
        arms=[_write_arm(route.model, arm) for arm in route.arms],
        rollback=None if route.verdict is None else _write_verdict(route.verdict, route.rollback_age),
    )


def _write_arm(model: str, arm: ArmSnapshot) -> pb.ArmStatistics:
    return pb.ArmStatistics(
        role=_ROLES[arm.arm],
        model=prediction_pb2.ModelVersion(name=model, version=arm.version, sha256=arm.sha256),
        state=_STATES[arm.state],
        total=_write_figures(arm.statistics.total),
        recent=_write_figures(arm.statistics.recent),
    )


def _write_figures(figures: ArmFigures) -> pb.ArmFigures:
    compared = max(1, figures.compared)
    return pb.ArmFigures(
        request_count=figures.requests,
        answered_count=figures.outcomes[Outcome.ANSWERED],
        error_count=figures.outcomes[Outcome.ERROR],
        late_count=figures.outcomes[Outcome.LATE],
        declined_count=figures.outcomes[Outcome.DECLINED],
        fallback_count=figures.fallbacks,
        median_duration=write_span(figures.latency.quantile(0.5)),
        quantile_duration=write_span(figures.latency.quantile(0.99)),
        compared_count=figures.compared,
        other_class_count=figures.other_class,
        mean_probability_difference=figures.probability_total / compared,
        max_probability_difference=figures.probability_most,
        mean_regression_difference=figures.regression_total / compared,
        max_regression_difference=figures.regression_most,
    )


def _write_verdict(verdict: Verdict, age: float) -> pb.RollbackVerdict:
    return pb.RollbackVerdict(
        cause=_CAUSES[verdict.fault],
        rate=verdict.rate,
        stable_rate=verdict.stable_rate,
        limit=verdict.limit,
        request_count=verdict.requests,
        age=write_span(age),
    )
