"""Answers become frozen values that say all that the messages said."""

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.unit.client.fake_service import prediction
from tickserve import Ensemble, Prediction, Priority, Regression, TransportError
from tickserve.result import batch_results, read_result
from tickserve.v1 import prediction_pb2, prediction_service_pb2


def test_every_field_of_a_prediction_arrives() -> None:
    """Nothing of the message is lost or moved."""
    answer = Prediction.from_proto(prediction(symbol="EURUSD", sequence=7))
    assert list(answer.classes.items()) == [("sell", 0.125), ("hold", 0.25), ("buy", 0.625)]
    assert answer.label == "buy"
    assert answer.regressions == {"return": Regression(0.5, 0.25), "volatility": Regression(0.75, 0.0625)}
    assert answer.ensemble == Ensemble({"sell": 1.0}, {"return": Regression(-0.5, 2.0)}, (0.5, 0.5))
    assert str(answer.model) == "eurusd:3"
    evidence, execution = answer.input, answer.execution
    assert (evidence.symbol, evidence.last_sequence, evidence.out_of_distribution) == ("EURUSD", 7, True)
    assert evidence.as_of_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    durations = (execution.queue_duration, execution.inference_duration, execution.total_duration)
    assert durations == pytest.approx((0.001, 0.0025, 0.004))
    assert execution.deadline_slack == pytest.approx(-0.003)
    assert (execution.batch_size, execution.effective_priority, execution.cached) == (8, Priority.REAL_TIME, True)
    assert (execution.replica_id, execution.trace_id) == ("replica-1", "ef" * 16)


def test_features_are_a_read_only_array() -> None:
    """An answer cannot be changed behind the back of whoever shares it."""
    features = Prediction.from_proto(prediction()).features
    assert features is not None
    assert features.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        features[0] = 1.0


def test_what_was_not_asked_for_is_none() -> None:
    """Absence is told apart from zero."""
    answer = Prediction.from_proto(prediction_pb2.Prediction())
    assert (answer.ensemble, answer.features, answer.input.as_of_time) == (None, None, None)


def test_a_priority_of_a_newer_service_is_unspecified() -> None:
    """An unknown number does not make an answer unreadable."""
    message = prediction()
    message.execution.effective_priority = 99  # type: ignore[assignment]  # no such number today
    assert Prediction.from_proto(message).execution.effective_priority is Priority.UNSPECIFIED


def test_equal_answers_are_equal() -> None:
    """Arrays inside do not spoil comparison."""
    assert Prediction.from_proto(prediction()) == Prediction.from_proto(prediction())


def test_a_result_that_holds_nothing_is_an_error() -> None:
    """An item never ends in silence."""
    assert isinstance(read_result(prediction_service_pb2.StreamPredictResponse()), TransportError)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_batch_of_another_length_is_refused(count: int) -> None:
    """If the count is wrong, no result can be trusted to be its item's."""
    response = prediction_service_pb2.PredictBatchResponse(
        results=[prediction_service_pb2.PredictBatchResult() for _ in range(count)]
    )
    with pytest.raises(TransportError, match=f"{count} results came back for 2 items"):
        batch_results(response, 2)
