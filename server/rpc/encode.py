"""Domain values to protobuf messages: predictions, durations and times.

Owns what an answer looks like on the wire. Knows nothing of RPCs or queues; `decode` is its counterpart.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from batching import PriorityClass
from server.inference.predictor import Answer
from server.models.served_model import ServedModel
from tickserve.v1 import prediction_pb2, priority_pb2

FloatArray = npt.NDArray[np.float32]

_LONGEST = 3e11
_EARLIEST, _LATEST = -62_135_596_800.0, 253_402_300_799.0


def write_prediction(answer: Answer, options: prediction_pb2.PredictOptions) -> prediction_pb2.Prediction:
    """Returns the wire form of an answer, trimmed as the options say.

    Every part is filled where it lies in the message: one that is made first and handed to the constructor is copied,
    which in all takes nearly twice as long.
    """
    row, network = answer.row, answer.task.work.model.config.network
    with_uncertainty = options.return_uncertainty or not options.HasField("return_uncertainty")
    prediction = prediction_pb2.Prediction()
    _add_classes(prediction, network.class_labels, row.class_probabilities)
    deviations = row.regression_standard_deviation if with_uncertainty else None
    _add_regressions(prediction, network.regression_names, row.regression_mean, deviations)
    if options.use_ensemble or not options.HasField("use_ensemble"):
        ensemble = prediction.ensemble
        _add_classes(ensemble, network.class_labels, row.ensemble_class_probabilities)
        deviations = row.ensemble_regression_standard_deviation if with_uncertainty else None
        _add_regressions(ensemble, network.regression_names, row.ensemble_regression_mean, deviations)
        ensemble.weights.extend(row.ensemble_weights.tolist())
    if options.return_features:
        prediction.features.extend(row.features.tolist())
    _set_version(prediction.model, answer.task.work.model)
    _set_evidence(prediction.input, answer)
    _set_execution(prediction.execution, answer)
    return prediction


def write_replay(
    data: bytes, *, received_at: float, now: float, deadline: float, priority: PriorityClass, trace_id: str
) -> prediction_pb2.Prediction:
    """Returns a serialised prediction as it is given again: the same answer, with the times and ids of another call."""
    prediction = prediction_pb2.Prediction.FromString(data)
    prediction.execution.CopyFrom(
        prediction_pb2.Execution(
            queue_duration=write_span(0.0),
            inference_duration=write_span(0.0),
            total_duration=write_span(now - received_at),
            effective_priority=cast("priority_pb2.Priority.ValueType", int(priority)),
            deadline_slack=write_span(deadline - now),
            replica_id=prediction.execution.replica_id,
            cached=True,
            trace_id=trace_id,
        )
    )
    return prediction


def write_span(seconds: float) -> Duration:
    """Returns a Duration, exact to a nanosecond; infinite spans are cut to the type's range."""
    duration = Duration()
    _set_span(duration, seconds)
    return duration


def write_time(seconds: float | None) -> Timestamp | None:
    """Returns a Timestamp, to a microsecond, or None; what lies outside the years 1 to 9999 is cut to them."""
    if seconds is None:
        return None
    microseconds = round(max(_EARLIEST, min(_LATEST, seconds)) * 1e6)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def write_version(model: ServedModel) -> prediction_pb2.ModelVersion:
    """Returns the name of a loaded version."""
    version = prediction_pb2.ModelVersion()
    _set_version(version, model)
    return version


def _add_classes(
    into: prediction_pb2.Prediction | prediction_pb2.Ensemble, labels: tuple[str, ...], probabilities: FloatArray
) -> None:
    classes = into.classes
    for label, probability in zip(labels, probabilities.tolist(), strict=True):
        classes.add(label=label, probability=probability)


def _add_regressions(
    into: prediction_pb2.Prediction | prediction_pb2.Ensemble,
    names: tuple[str, ...],
    means: FloatArray,
    deviations: FloatArray | None,
) -> None:
    regressions = into.regressions
    shown = [0.0] * len(names) if deviations is None else deviations.tolist()
    for name, mean, deviation in zip(names, means.tolist(), shown, strict=True):
        regressions.add(name=name, mean=mean, standard_deviation=deviation)


def _set_version(version: prediction_pb2.ModelVersion, model: ServedModel) -> None:
    version.name, version.version, version.sha256 = model.name, model.version, model.sha256


def _set_evidence(evidence: prediction_pb2.InputEvidence, answer: Answer) -> None:
    origin = answer.task.origin
    evidence.sha256 = answer.input_sha256
    evidence.feature_schema = origin.feature_schema
    evidence.symbol = origin.symbol
    evidence.last_sequence = origin.last_sequence
    time = write_time(origin.as_of_time)
    if time is not None:
        evidence.as_of_time.CopyFrom(time)
    evidence.out_of_distribution = answer.out_of_distribution


def _set_execution(execution: prediction_pb2.Execution, answer: Answer) -> None:
    task, completion = answer.task, answer.completion
    _set_span(execution.queue_duration, completion.chosen_at - task.received_at)
    _set_span(execution.inference_duration, completion.inference_duration)
    _set_span(execution.total_duration, answer.total_duration)
    _set_span(execution.deadline_slack, answer.deadline_slack)
    execution.batch_size = completion.batch_size
    # The scheduler's classes carry the contract's numbers.
    execution.effective_priority = cast("priority_pb2.Priority.ValueType", int(completion.effective_priority))
    execution.replica_id = answer.replica_id
    execution.cached = answer.cached
    execution.trace_id = task.trace_id


def _set_span(duration: Duration, seconds: float) -> None:
    nanoseconds = round(max(-_LONGEST, min(_LONGEST, seconds)) * 1e9)
    whole, rest = divmod(abs(nanoseconds), 1_000_000_000)
    # Both have the span's sign; written even where they are zero, for then the field is set, too.
    duration.seconds, duration.nanos = (whole, rest) if nanoseconds >= 0 else (-whole, -rest)
