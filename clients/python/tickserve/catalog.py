"""What the service says about its models and its replicas, as frozen values; mirrors `ModelService`."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from tickserve.prediction import ModelVersion
from tickserve.priority import Priority
from tickserve.v1 import model_service_pb2
from tickserve.wire import from_duration

__all__ = ("ClassStatistics", "Engine", "Model", "ModelState", "ReplicaStatistics")


class ModelState(enum.IntEnum):
    """Whether a version of a model can answer; the numbers are the contract's."""

    UNSPECIFIED = 0
    """A state that this client does not know."""
    AVAILABLE = 1
    """In the registry, not loaded."""
    LOADING = 2
    """Being loaded or warmed up."""
    SERVING = 3
    """It answers."""
    FAILED = 4
    """It could not be loaded; the service's log says why."""


_STATES = frozenset(map(int, ModelState))


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes a model's answers."""

    name: str
    device: str
    precision: str
    thread_count: int
    """Threads that one call uses."""
    reason: str
    """Why this engine was chosen."""


@dataclass(frozen=True, slots=True)
class Model:
    """One version of a model."""

    version: ModelVersion
    state: ModelState
    feature_schema: str
    feature_count: int
    """Rows of its window."""
    time_steps: int
    """Columns of its window, in bars."""
    class_labels: tuple[str, ...]
    regression_names: tuple[str, ...]
    bar_interval: float
    """Seconds."""
    prediction_horizon: int
    """Bars ahead."""
    engine: Engine | None
    """None unless loaded."""
    training_metrics: Mapping[str, float]
    is_default: bool
    """Whether it answers requests that name no model."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.Model) -> Model:
        """Reads the contract's message."""
        engine = None
        if message.HasField("engine"):
            of = message.engine
            engine = Engine(of.name, of.device, of.precision, of.thread_count, of.reason)
        return cls(
            version=ModelVersion.from_proto(message.version),
            state=ModelState(message.state) if message.state in _STATES else ModelState.UNSPECIFIED,
            feature_schema=message.feature_schema,
            feature_count=message.feature_count,
            time_steps=message.time_steps,
            class_labels=tuple(message.class_labels),
            regression_names=tuple(message.regression_names),
            bar_interval=from_duration(message.bar_interval),
            prediction_horizon=message.prediction_horizon,
            engine=engine,
            training_metrics=dict(sorted(message.training_metrics.items())),
            is_default=message.is_default,
        )


@dataclass(frozen=True, slots=True)
class ClassStatistics:
    """The queue of one class."""

    priority: Priority
    queued_count: int
    oldest_duration: float
    """Seconds that the oldest of them has waited; 0 if none waits."""


@dataclass(frozen=True, slots=True)
class ReplicaStatistics:
    """The state and the counters of one replica, since it started. Spans are seconds."""

    replica_id: str
    sample_age: float
    """Age of these figures; 0 for the replica that answers."""
    uptime_duration: float
    classes: tuple[ClassStatistics, ...]
    """Most urgent first."""
    in_flight_count: int
    """Requests in the engine now."""
    batch_count: int
    """Batches that the engine has run."""
    outcome_counts: Mapping[str, int]
    """Requests by how they ended."""
    heartbeat_age: float
    """Time since the scheduler's loop last ran."""
    open_stream_count: int
    symbol_count: int
    """Symbols whose windows are kept."""
    models: tuple[ModelVersion, ...]
    """Models that are loaded."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.ReplicaStatistics) -> ReplicaStatistics:
        """Reads the contract's message."""
        return cls(
            replica_id=message.replica_id,
            sample_age=from_duration(message.sample_age),
            uptime_duration=from_duration(message.uptime_duration),
            classes=tuple(
                ClassStatistics(Priority.from_proto(of.priority), of.queued_count, from_duration(of.oldest_duration))
                for of in message.classes
            ),
            in_flight_count=message.in_flight_count,
            batch_count=message.batch_count,
            outcome_counts=dict(sorted(message.outcome_counts.items())),
            heartbeat_age=from_duration(message.heartbeat_age),
            open_stream_count=message.open_stream_count,
            symbol_count=message.symbol_count,
            models=tuple(ModelVersion.from_proto(of) for of in message.models),
        )
