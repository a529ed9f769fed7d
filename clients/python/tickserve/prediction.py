"""The service's answer, as frozen values. Mirrors `tickserve.v1.Prediction`; must not know how it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from tickserve.priority import Priority
from tickserve.v1 import prediction_pb2
from tickserve.wire import from_duration, from_timestamp

__all__ = ("Ensemble", "Execution", "InputEvidence", "ModelVersion", "Prediction", "Regression")


@dataclass(frozen=True, slots=True)
class Regression:
    """One estimated quantity. Returns and volatilities are plain numbers (0.01 = 1 %)."""

    mean: float
    """The expected value."""
    standard_deviation: float
    """One standard deviation of the estimate, at least 0; 0 where `return_uncertainty` was false."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """The weighted combination of the ensemble's heads."""

    classes: Mapping[str, float]
    """Probability by label, in [0, 1], in the model's order."""
    regressions: Mapping[str, Regression]
    """Estimate by name; the standard deviation is the spread between the heads."""
    weights: tuple[float, ...]
    """The weight of each head, in [0, 1]; they sum to 1."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model, beyond doubt."""

    name: str
    version: int
    """At least 1."""
    sha256: str
    """The SHA-256 of the weights, in hexadecimal."""

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"

    @classmethod
    def from_proto(cls, message: prediction_pb2.ModelVersion) -> ModelVersion:
        """Reads the contract's message."""
        return cls(message.name, message.version, message.sha256)


@dataclass(frozen=True, slots=True)
class InputEvidence:
    """Which input was answered."""

    sha256: str
    """The SHA-256 of the window's float32 bytes, in hexadecimal."""
    feature_schema: str
    """The schema that the input was checked against; empty: it was not."""
    symbol: str
    """The symbol whose window was answered; empty: the window came with the request."""
    last_sequence: int
    """The newest tick in the symbol's window; 0 without a symbol."""
    as_of_time: datetime | None
    """The time of the newest bar in the window, where known."""
    out_of_distribution: bool
    """Whether a value lies outside the range seen in training, so that the answer deserves less trust."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How, and how long, the request was served. Spans are seconds, by the replica's clock."""

    queue_duration: float
    """From receipt until the batch was chosen; 0 when `cached`."""
    inference_duration: float
    """The engine's time for the batch; 0 when `cached`."""
    total_duration: float
    """From receipt until the answer was ready."""
    batch_size: int
    """Windows in the batch, at least 1; 0 when `cached`."""
    effective_priority: Priority
    """The class under which it was served, after promotion."""
    deadline_slack: float
    """What was left until the deadline; negative: it was late."""
    replica_id: str
    cached: bool
    """Whether the answer came from the result cache."""
    trace_id: str
    """The W3C trace id in hexadecimal; empty: not traced."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one window. It can be audited from itself alone: which weights, which input, which schedule."""

    classes: Mapping[str, float]
    """Probability by label, in [0, 1], in the model's order: sell, hold, buy."""
    regressions: Mapping[str, Regression]
    """Estimate by name: return, volatility."""
    ensemble: Ensemble | None
    """None where `use_ensemble` was false."""
    features: npt.NDArray[np.float32] | None = field(compare=False, repr=False)  # arrays have no single truth value
    """The fused features that the heads read, `[n]`, read-only; None unless `return_features` was true."""
    model: ModelVersion
    input: InputEvidence
    execution: Execution

    @property
    def label(self) -> str:
        """The most probable class."""
        return max(self.classes, key=self.classes.__getitem__)

    @classmethod
    def from_proto(cls, message: prediction_pb2.Prediction) -> Prediction:
        """Reads the contract's message."""
        evidence, execution = message.input, message.execution
        features = None
        if message.features:
            features = np.array(message.features, dtype=np.float32)
            features.flags.writeable = False
        return cls(
            classes=_classes(message.classes),
            regressions=_regressions(message.regressions),
            ensemble=_ensemble(message.ensemble) if message.HasField("ensemble") else None,
            features=features,
            model=ModelVersion.from_proto(message.model),
            input=InputEvidence(
                sha256=evidence.sha256,
                feature_schema=evidence.feature_schema,
                symbol=evidence.symbol,
                last_sequence=evidence.last_sequence,
                as_of_time=from_timestamp(evidence.as_of_time) if evidence.HasField("as_of_time") else None,
                out_of_distribution=evidence.out_of_distribution,
            ),
            execution=Execution(
                queue_duration=from_duration(execution.queue_duration),
                inference_duration=from_duration(execution.inference_duration),
                total_duration=from_duration(execution.total_duration),
                batch_size=execution.batch_size,
                effective_priority=Priority.from_proto(execution.effective_priority),
                deadline_slack=from_duration(execution.deadline_slack),
                replica_id=execution.replica_id,
                cached=execution.cached,
                trace_id=execution.trace_id,
            ),
        )


def _classes(messages: Iterable[prediction_pb2.ClassProbability]) -> dict[str, float]:
    return {message.label: message.probability for message in messages}


def _regressions(messages: Iterable[prediction_pb2.Regression]) -> dict[str, Regression]:
    return {message.name: Regression(message.mean, message.standard_deviation) for message in messages}


def _ensemble(message: prediction_pb2.Ensemble) -> Ensemble:
    return Ensemble(_classes(message.classes), _regressions(message.regressions), tuple(message.weights))
