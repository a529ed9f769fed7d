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
from server.predictor import Answer
from server.served_model import ServedModel
from tickserve.v1 import prediction_pb2, priority_pb2

FloatArray = npt.NDArray[np.float32]

_LONGEST = 3e11
_EARLIEST, _LATEST = -62_135_596_800.0, 253_402_300_799.0


def write_prediction(answer: Answer, options: prediction_pb2.PredictOptions) -> prediction_pb2.Prediction:
    """Returns the wire form of an answer, trimmed as the options say."""
    row, task, completion = answer.row, answer.task, answer.completion
    model, network = task.work.model, task.work.model.config.network
    with_uncertainty = options.return_uncertainty or not options.HasField("return_uncertainty")
    prediction = prediction_pb2.Prediction(
        classes=_classes(network.class_labels, row.class_probabilities),
        regressions=_regressions(
            network.regression_names, row.regression_mean, row.regression_standard_deviation, with_uncertainty
        ),
        model=write_version(model),
        input=prediction_pb2.InputEvidence(
            sha256=answer.input_sha256,
            feature_schema=task.origin.feature_schema,
            symbol=task.origin.symbol,
            last_sequence=task.origin.last_sequence,
            as_of_time=write_time(task.origin.as_of_time),
            out_of_distribution=answer.out_of_distribution,
        ),
        execution=prediction_pb2.Execution(
            queue_duration=write_span(completion.chosen_at - task.received_at),
            inference_duration=write_span(completion.inference_duration),
            total_duration=write_span(answer.total_duration),
            batch_size=completion.batch_size,
            # The scheduler's classes carry the contract's numbers.
            effective_priority=cast("priority_pb2.Priority.ValueType", int(completion.effective_priority)),
            deadline_slack=write_span(answer.deadline_slack),
            replica_id=answer.replica_id,
            cached=answer.cached,
            trace_id=task.trace_id,
        ),
    )
    if options.use_ensemble or not options.HasField("use_ensemble"):
        prediction.ensemble.CopyFrom(
            prediction_pb2.Ensemble(
                classes=_classes(network.class_labels, row.ensemble_class_probabilities),
                regressions=_regressions(
                    network.regression_names,
                    row.ensemble_regression_mean,
                    row.ensemble_regression_standard_deviation,
                    with_uncertainty,
                ),
                weights=row.ensemble_weights.tolist(),
            )
        )
    if options.return_features:
        prediction.features.extend(row.features.tolist())
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
    duration.FromNanoseconds(round(max(-_LONGEST, min(_LONGEST, seconds)) * 1e9))
    return duration


def write_time(seconds: float | None) -> Timestamp | None:
    """Returns a Timestamp, to a microsecond, or None; what lies outside the years 1 to 9999 is cut to them."""
    if seconds is None:
        return None
    microseconds = round(max(_EARLIEST, min(_LATEST, seconds)) * 1e6)
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def write_version(model: ServedModel) -> prediction_pb2.ModelVersion:
    """Returns the name of a loaded version."""
    return prediction_pb2.ModelVersion(name=model.name, version=model.version, sha256=model.sha256)


def _classes(labels: tuple[str, ...], probabilities: FloatArray) -> list[prediction_pb2.ClassProbability]:
    return [
        prediction_pb2.ClassProbability(label=label, probability=probability)
        for label, probability in zip(labels, probabilities.tolist(), strict=True)
    ]


def _regressions(
    names: tuple[str, ...], means: FloatArray, deviations: FloatArray, with_uncertainty: bool
) -> list[prediction_pb2.Regression]:
    shown = deviations.tolist() if with_uncertainty else [0.0] * len(names)
    return [
        prediction_pb2.Regression(name=name, mean=mean, standard_deviation=deviation)
        for name, mean, deviation in zip(names, means.tolist(), shown, strict=True)
    ]
