"""Laws of answers on the wire: nothing rounded that matters, nothing told that was not asked for."""

import dataclasses

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration

from batching import Completion, PriorityClass
from model.outputs import OutputRow
from server.inference.predictor import Answer, InputOrigin, PredictionTask, Work
from server.rpc.encode import write_prediction, write_replay, write_span, write_time
from server.rpc.encode_ticks import write_gap, write_progress
from server.ticks.tick_event import Gap, Progress
from tests.support.fakes import FakeEngine, served_model
from tests.support.registry import real_windows
from tickserve.v1.prediction_pb2 import Prediction, PredictOptions
from tickserve.v1.priority_pb2 import PRIORITY_REAL_TIME, PRIORITY_STANDARD

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
MODEL_WINDOW = np.zeros((50, 60), np.float32)


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


def answer(*, slack: float = 0.5) -> Answer:
    """Returns an answer in which every value is its own."""
    model = served_model(version=3)
    row = FakeEngine().run(MODEL_WINDOW[None]).row(0)
    task = PredictionTask(
        work=Work(window=MODEL_WINDOW, model=model),
        origin=InputOrigin(feature_schema="s", symbol="EURUSD", last_sequence=42, as_of_time=1_600_000_000.25),
        priority=PriorityClass.BACKGROUND,
        deadline=110.0,
        received_at=100.0,
        caller="me",
        trace_id=TRACE,
        shareable=True,
    )
    completion: Completion[OutputRow | None] = Completion(
        result=row,
        queue_duration=0.9,
        inference_duration=0.002,
        batch_size=7,
        effective_priority=PriorityClass.STANDARD,
        enqueued_at=100.5,
        chosen_at=101.5,
        completed_at=102.0,
    )
    return Answer(
        task=task,
        completion=completion,
        row=row,
        input_sha256="ab" * 32,
        out_of_distribution=True,
        total_duration=2.25,
        deadline_slack=slack,
        replica_id="replica",
    )


def write(options: PredictOptions | None = None, *, slack: float = 0.5) -> Prediction:
    """Returns the wire form of `answer`."""
    return write_prediction(answer(slack=slack), options or PredictOptions())


def test_an_answer_can_be_audited_from_itself() -> None:
    """Weights, input and schedule are all named."""
    prediction = write()
    assert (prediction.model.name, prediction.model.version, prediction.model.sha256) == ("cnn_lstm", 3, f"{3:064x}")
    evidence = prediction.input
    assert (evidence.sha256, evidence.feature_schema, evidence.symbol) == ("ab" * 32, "s", "EURUSD")
    assert (evidence.last_sequence, evidence.out_of_distribution) == (42, True)
    assert evidence.as_of_time.ToNanoseconds() == 1_600_000_000_250_000_000
    execution = prediction.execution
    assert execution.queue_duration.ToNanoseconds() == 1_500_000_000  # from receipt, not from the queue's door
    assert execution.inference_duration.ToNanoseconds() == 2_000_000
    assert execution.total_duration.ToNanoseconds() == 2_250_000_000
    assert (execution.batch_size, execution.effective_priority) == (7, PRIORITY_STANDARD)
    assert (execution.replica_id, execution.trace_id, execution.cached) == ("replica", TRACE, False)


def test_every_part_is_there_even_where_all_its_values_are_zero() -> None:
    """A span of no time is told, not left out; only a time that nobody knows is."""
    given = answer(slack=0.0)
    task = dataclasses.replace(given.task, origin=InputOrigin(), trace_id="")
    completion = dataclasses.replace(given.completion, chosen_at=task.received_at, inference_duration=0.0)
    nothing = dataclasses.replace(
        given, task=task, completion=completion, total_duration=0.0, input_sha256="", out_of_distribution=False
    )
    prediction = write_prediction(nothing, PredictOptions())
    for part in ("model", "input", "execution", "ensemble"):
        assert prediction.HasField(part)
    for span in ("queue_duration", "inference_duration", "total_duration", "deadline_slack"):
        assert prediction.execution.HasField(span)
        assert getattr(prediction.execution, span) == Duration()
    assert not prediction.input.HasField("as_of_time")


def test_the_defaults_show_uncertainty_and_ensemble_but_no_features() -> None:
    """An empty options message and none at all mean the same."""
    prediction = write()
    assert [c.label for c in prediction.classes] == ["sell", "hold", "buy"]
    assert [(r.name, r.mean, r.standard_deviation) for r in prediction.regressions] == [
        ("return", 0.25, 0.25), ("volatility", 0.5, 0.5),
    ]  # fmt: skip
    assert [(r.mean, r.standard_deviation) for r in prediction.ensemble.regressions] == [(-0.25, 0.25), (-0.5, 0.5)]
    assert len(prediction.ensemble.weights) == 5
    assert not prediction.features


def test_options_trim_and_change_nothing_else() -> None:
    """Each option removes or adds its own part; all other numbers stay."""
    full = write()
    plain = write(PredictOptions(return_uncertainty=False, use_ensemble=False))
    assert [r.standard_deviation for r in plain.regressions] == [0.0, 0.0]
    assert not plain.HasField("ensemble")
    assert plain.classes == full.classes
    assert [r.mean for r in plain.regressions] == [r.mean for r in full.regressions]
    certain = write(PredictOptions(return_uncertainty=False))
    assert [r.standard_deviation for r in certain.ensemble.regressions] == [0.0, 0.0]
    assert len(write(PredictOptions(return_features=True)).features) == 256
    assert write(PredictOptions(return_uncertainty=True, use_ensemble=True)) == full


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-0.25, (0, -250_000_000)),
        (-3.5, (-3, -500_000_000)),
        (0.0, (0, 0)),
        (1e-9, (0, 1)),
        (12.000000001, (12, 1)),
        (299.999999999, (299, 999_999_999)),
    ],
)
def test_spans_are_exact_to_a_nanosecond(seconds: float, expected: tuple[int, int]) -> None:
    """Negative ones, such as the slack of a late answer, have both parts negative."""
    span = write_span(seconds)
    assert (span.seconds, span.nanos) == expected
    assert write(slack=seconds).execution.deadline_slack == span


@pytest.mark.parametrize("seconds", [float("inf"), -float("inf"), 1e300])
def test_endless_spans_are_cut(seconds: float) -> None:
    """What no Duration can hold becomes a very long one, not an exception."""
    span = write_span(seconds)
    assert Duration.FromString(span.SerializeToString()).ToSeconds() == (3e11 if seconds > 0 else -3e11)


@pytest.mark.parametrize(
    ("seconds", "nanoseconds"),
    [(0.0, 0), (-0.5, -500_000_000), (1_600_000_000.25, 1_600_000_000_250_000_000), (0.1 + 0.2, 300_000_000)],
)
def test_times_are_exact_to_a_microsecond(seconds: float, nanoseconds: int) -> None:
    """Before 1970, too."""
    time = write_time(seconds)
    assert time is not None
    assert time.ToNanoseconds() == nanoseconds


@pytest.mark.parametrize("seconds", [253_402_300_799.0 + 3600, -62_135_596_800.0 - 3600])
def test_times_stay_in_the_types_range(seconds: float) -> None:
    """The end of a bar that begins in the last hour of the year 9999 is still a Timestamp that JSON can show."""
    time = write_time(seconds)
    assert time is not None
    assert time.ToJsonString()


def test_no_time_is_none() -> None:
    """An unknown time is absent, not 1970."""
    assert write_time(None) is None


def test_acknowledgements_and_gaps_carry_their_numbers() -> None:
    """Field by field."""
    progress = write_progress(Progress(symbol="A", sequence=5, have=3, need=120, duplicate=True))
    assert (progress.symbol, progress.sequence, progress.have, progress.need) == ("A", 5, 3, 120)
    assert progress.duplicate
    gap = write_gap(Gap(symbol="A", sequence=9, first_missing=6, last_missing=8))
    assert (gap.sequence, gap.first_missing_sequence, gap.last_missing_sequence) == (9, 6, 8)


def test_a_cached_answer_says_so() -> None:
    """And one that was computed does not."""
    assert not write_prediction(answer(), PredictOptions()).execution.cached
    assert write_prediction(dataclasses.replace(answer(), cached=True), PredictOptions()).execution.cached


def test_what_is_given_again_is_the_same_answer_of_another_call() -> None:
    """Its numbers, model and input are the first one's; its times, class and trace are the second's."""
    first = write_prediction(answer(), PredictOptions(return_features=True))
    again = write_replay(
        first.SerializeToString(),
        received_at=100.0,
        now=100.25,
        deadline=101.0,
        priority=PriorityClass.REAL_TIME,
        trace_id="",
    )
    execution = Prediction.FromString(again.SerializeToString()).execution
    for prediction in (first, again):
        prediction.ClearField("execution")
    assert again == first
    assert (execution.total_duration.ToMilliseconds(), execution.deadline_slack.ToMilliseconds()) == (250, 750)
    assert (execution.queue_duration.ToNanoseconds(), execution.inference_duration.ToNanoseconds()) == (0, 0)
    assert execution.HasField("queue_duration")
    assert (execution.batch_size, execution.effective_priority) == (0, PRIORITY_REAL_TIME)
    assert (execution.replica_id, execution.cached, execution.trace_id) == ("replica", True, "")
