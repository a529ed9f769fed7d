"""What the service says about its models and its replicas, as frozen values; mirrors `ModelService`."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from tickserve.caches import CacheStatistics
from tickserve.prediction import ModelVersion
from tickserve.priority import Priority
from tickserve.replica_health import ReplicaHealth
from tickserve.routes import RouteStatistics
from tickserve.tick_statistics import TickStatistics
from tickserve.v1 import model_service_pb2
from tickserve.wire import from_duration

__all__ = ("BatchCost", "ClassStatistics", "Engine", "Model", "ModelCost", "ModelState", "ReplicaStatistics")


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
class BatchCost:
    """The predicted duration of batches of one size. Spans are seconds."""

    batch_size: int
    """Windows in the batch."""
    median_duration: float
    """Half of such batches do not take longer."""
    quantile_duration: float
    """Nearly all of them do not take longer."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.BatchCost) -> BatchCost:
        """Reads the contract's message."""
        return cls(
            batch_size=message.batch_size,
            median_duration=from_duration(message.median_duration),
            quantile_duration=from_duration(message.quantile_duration),
        )


@dataclass(frozen=True, slots=True)
class ModelCost:
    """The predicted duration of a model's batches on one replica, as learned from those that it ran."""

    model: ModelVersion
    batch_limit: int
    """The most windows that a batch may hold now."""
    batches: tuple[BatchCost, ...]
    """Smallest first."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.ModelCost) -> ModelCost:
        """Reads the contract's message."""
        return cls(
            model=ModelVersion.from_proto(message.model),
            batch_limit=message.batch_limit,
            batches=tuple(map(BatchCost.from_proto, message.batches)),
        )


@dataclass(frozen=True, slots=True)
class ClassStatistics:
    """The queue of one class, and how its requests fared."""

    priority: Priority
    queued_count: int
    oldest_duration: float
    """Seconds that the oldest of them has waited; 0 if none waits."""
    in_time_count: int
    """Requests that were answered before their deadline."""
    late_count: int
    """Requests that were admitted and then missed their deadline; refused ones are not among them."""

    @property
    def miss_ratio(self) -> float | None:
        """The part of the admitted requests that missed their deadline, in [0, 1]; None while none has ended."""
        ended = self.in_time_count + self.late_count
        return self.late_count / ended if ended else None

    @classmethod
    def from_proto(cls, message: model_service_pb2.ClassStatistics) -> ClassStatistics:
        """Reads the contract's message."""
        return cls(
            priority=Priority.from_proto(message.priority),
            queued_count=message.queued_count,
            oldest_duration=from_duration(message.oldest_duration),
            in_time_count=message.in_time_count,
            late_count=message.late_count,
        )


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
    costs: tuple[ModelCost, ...]
    """What batches of each model are predicted to cost."""
    promoted_count: int
    """Requests that were ever promoted because they had waited for too long."""
    profile: str
    """The scheduling profile in force; empty where none was chosen."""
    cache: CacheStatistics
    """What is remembered of its answers."""
    routes: tuple[RouteStatistics, ...]
    """The routes in force, by model name."""
    ticks: TickStatistics
    """What its tick streams have done."""
    health: ReplicaHealth | None
    """Whether it takes requests, and how its engine fares; None where the service is too old to say."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.ReplicaStatistics) -> ReplicaStatistics:
        """Reads the contract's message."""
        return cls(
            replica_id=message.replica_id,
            sample_age=from_duration(message.sample_age),
            uptime_duration=from_duration(message.uptime_duration),
            classes=tuple(map(ClassStatistics.from_proto, message.classes)),
            in_flight_count=message.in_flight_count,
            batch_count=message.batch_count,
            outcome_counts=dict(sorted(message.outcome_counts.items())),
            heartbeat_age=from_duration(message.heartbeat_age),
            open_stream_count=message.open_stream_count,
            symbol_count=message.symbol_count,
            models=tuple(map(ModelVersion.from_proto, message.models)),
            costs=tuple(map(ModelCost.from_proto, message.costs)),
            promoted_count=message.promoted_count,
            profile=message.profile,
            cache=CacheStatistics.from_proto(message.cache),
            routes=tuple(map(RouteStatistics.from_proto, message.routes)),
            ticks=TickStatistics.from_proto(message.ticks),
            health=ReplicaHealth.from_proto(message.health) if message.HasField("health") else None,
        )
