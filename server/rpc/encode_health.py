"""A replica's health to protobuf messages."""

from __future__ import annotations

from collections.abc import Mapping

from server.health.deep_health import DeepHealth, DeepState
from server.health.readiness import Blocker, Readiness
from server.rpc.encode import write_span, write_time
from tickserve.v1 import model_service_pb2
from tickserve.v1.model_service_pb2 import DeepCheck, ReadinessBlocker, ReplicaHealth

_BLOCKERS: Mapping[Blocker, ReadinessBlocker.ValueType] = {
    blocker: ReadinessBlocker.Value(f"READINESS_BLOCKER_{blocker.name}") for blocker in Blocker
}
_STATES: Mapping[DeepState, model_service_pb2.DeepState.ValueType] = {
    state: model_service_pb2.DeepState.Value(f"DEEP_STATE_{state.name}") for state in DeepState
}


def write_health(readiness: Readiness, deep: DeepHealth) -> ReplicaHealth:
    """Returns the wire form of what a replica knows of its own health."""
    return ReplicaHealth(
        ready=readiness.ready,
        blockers=[_BLOCKERS[blocker] for blocker in readiness.blockers],
        deep_check=DeepCheck(
            state=_STATES[deep.state],
            check_time=write_time(deep.checked_at or None),
            engine_duration=write_span(deep.engine_duration),
            queue_duration=write_span(deep.queue_duration),
            error=deep.error,
            skipped_count=deep.skipped_count,
        ),
    )
