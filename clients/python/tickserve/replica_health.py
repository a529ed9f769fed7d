"""What a replica says of its own health, as frozen values; a part of `catalog.ReplicaStatistics`."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from tickserve.v1 import model_service_pb2
from tickserve.wire import from_duration, from_timestamp

__all__ = ("DeepCheck", "DeepState", "ReadinessBlocker", "ReplicaHealth")


class ReadinessBlocker(enum.IntEnum):
    """What keeps a replica from taking requests; the numbers are the contract's."""

    UNSPECIFIED = 0
    """A blocker that this client does not know."""
    WARMING_UP = 1
    """It loads and warms up its model."""
    DRAINING = 2
    """It finishes what it has, and is about to go."""
    STOPPED = 3
    """It has stopped."""
    LOOP_DEAD = 4
    """Its scheduler makes no progress; it is about to be replaced."""
    ENGINE_HUNG = 5
    """Its engine never returned from a call; it is about to be replaced."""
    MODEL_MISSING = 6
    """No version of the default model is loaded."""


class DeepState(enum.IntEnum):
    """How a replica's engine fared when it computed a window of its own; the numbers are the contract's."""

    UNSPECIFIED = 0
    """A state that this client does not know."""
    UNKNOWN = 1
    """It was never checked."""
    UNHEALTHY = 2
    """It failed."""
    DEGRADED = 3
    """It was slow."""
    HEALTHY = 4
    """It was in time."""


@dataclass(frozen=True, slots=True)
class DeepCheck:
    """What the last check of an engine found. Spans are seconds."""

    state: DeepState
    check_time: datetime | None
    """None if there was no check yet."""
    engine_duration: float
    """0 if it failed."""
    queue_duration: float
    """For how long it waited for an idle moment, which is no sign of ill health."""
    error: str
    """Empty unless it failed."""
    skipped_count: int
    """Checks since then that found no idle moment."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.DeepCheck) -> DeepCheck:
        """Reads the contract's message."""
        known = frozenset(map(int, DeepState))
        return cls(
            state=DeepState(message.state) if message.state in known else DeepState.UNSPECIFIED,
            check_time=from_timestamp(message.check_time) if message.HasField("check_time") else None,
            engine_duration=from_duration(message.engine_duration),
            queue_duration=from_duration(message.queue_duration),
            error=message.error,
            skipped_count=message.skipped_count,
        )


@dataclass(frozen=True, slots=True)
class ReplicaHealth:
    """Whether a replica takes requests, and how its engine fares."""

    ready: bool
    blockers: tuple[ReadinessBlocker, ...]
    """What keeps it from taking requests, worst first; empty while it is ready."""
    deep_check: DeepCheck

    @classmethod
    def from_proto(cls, message: model_service_pb2.ReplicaHealth) -> ReplicaHealth:
        """Reads the contract's message."""
        known = frozenset(map(int, ReadinessBlocker))
        return cls(
            ready=message.ready,
            blockers=tuple(
                ReadinessBlocker(blocker) if blocker in known else ReadinessBlocker.UNSPECIFIED
                for blocker in message.blockers
            ),
            deep_check=DeepCheck.from_proto(message.deep_check),
        )
