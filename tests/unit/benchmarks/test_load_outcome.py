"""Every end of a request has one outcome, and only a right answer within the deadline is in time."""

import pytest

from benchmarks.load.answers import fault_of
from benchmarks.load.plan import ExpectedModel
from tickserve.bench.outcome import Ending, Outcome, of_answer, of_error
from tickserve.v1.prediction_pb2 import ClassProbability, Execution, InputEvidence, ModelVersion, Prediction, Regression

MODEL = ExpectedModel(name="cnn_lstm", version=2, sha256="abc")


@pytest.mark.parametrize(
    ("latency", "fault", "expected"),
    [
        (0.05, "", Ending(Outcome.IN_TIME)),
        (0.0501, "", Ending(Outcome.LATE)),
        (0.01, "model", Ending(Outcome.WRONG, "model")),
    ],
)
def test_an_answer_is_in_time_up_to_its_deadline(latency: float, fault: str, expected: Ending) -> None:
    """The deadline itself is in time; a fault outweighs speed."""
    assert of_answer(latency=latency, deadline=0.05, fault=fault) == expected


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        ("RESOURCE_EXHAUSTED", "PREDICTED_DEADLINE_MISS", Ending(Outcome.REFUSED, "PREDICTED_DEADLINE_MISS")),
        ("RESOURCE_EXHAUSTED", "", Ending(Outcome.REFUSED, "RESOURCE_EXHAUSTED")),
        ("DEADLINE_EXCEEDED", "EXPIRED_IN_QUEUE", Ending(Outcome.EXPIRED, "EXPIRED_IN_QUEUE")),
        ("DEADLINE_EXCEEDED", "", Ending(Outcome.UNANSWERED, "DEADLINE_EXCEEDED")),
        ("UNAVAILABLE", "DRAINING", Ending(Outcome.REFUSED, "DRAINING")),
        ("UNAVAILABLE", "", Ending(Outcome.UNANSWERED, "UNAVAILABLE")),
        ("INTERNAL", "INFERENCE_FAILED", Ending(Outcome.FAILED, "INFERENCE_FAILED")),
        ("UNKNOWN", "", Ending(Outcome.FAILED, "UNKNOWN")),
    ],
)
def test_errors_are_told_apart(code: str, reason: str, expected: Ending) -> None:
    """A typed refusal, a typed expiry, silence and a failure are four things."""
    assert of_error(code=code, reason=reason) == expected


def right_answer() -> Prediction:
    """Returns an answer without fault."""
    return Prediction(
        classes=[
            ClassProbability(label=label, probability=p) for label, p in [("sell", 0.2), ("hold", 0.5), ("buy", 0.3)]
        ],
        regressions=[Regression(name=name, mean=0.1, standard_deviation=0.1) for name in ("return", "volatility")],
        model=ModelVersion(name="cnn_lstm", version=2, sha256="abc"),
        input=InputEvidence(sha256="window"),
    )


def test_a_right_answer_has_no_fault() -> None:
    """Nor has one of a peer that does not hash its input."""
    answer = right_answer()
    assert fault_of(answer, model=MODEL, window_sha256="window") == ""
    answer.input.Clear()
    assert fault_of(answer, model=MODEL, window_sha256="window") == ""


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (Prediction(classes=[ClassProbability(label="buy", probability=0)]), "labels"),
        (Prediction(model=ModelVersion(version=3)), "model"),
        (Prediction(model=ModelVersion(sha256="abd")), "model hash"),
        (Prediction(execution=Execution(cached=True)), "cached"),
        (Prediction(input=InputEvidence(sha256="another")), "window hash"),
        (Prediction(regressions=[Regression(mean=1)]), "regressions"),
    ],
)
def test_a_wrong_answer_is_found(change: Prediction, fault: str) -> None:
    """Each way to be wrong has its word."""
    answer = right_answer()
    answer.MergeFrom(change)
    assert fault_of(answer, model=MODEL, window_sha256="window") == fault


@pytest.mark.parametrize(("probability", "fault"), [(0.9, "probability sum"), (float("nan"), "probability")])
def test_probabilities_must_be_a_distribution(probability: float, fault: str) -> None:
    """They sum to one and are numbers."""
    answer = right_answer()
    answer.classes[0].probability = probability
    assert fault_of(answer, model=MODEL) == fault
