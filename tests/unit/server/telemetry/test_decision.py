"""Laws of what is recorded: all that an answer can be derived from again, by value, whatever became of the request."""

import gc
import json
import weakref

import numpy as np
import pytest

from server.observation.request_record import Outcome, RequestRecord
from server.refusal import Reason
from server.telemetry.decision import admission_of, decision_of
from server.telemetry.decision_frame import encode
from tests.support.ended_requests import TRACE_ID, answered, refused
from tests.support.registry import real_windows

OFFSET = 1_700_000_000.0


def test_an_answer_is_recorded_with_its_input_and_all_numbers() -> None:
    """Bit by bit; and who, what, when, on what, how long and why."""
    record = answered()
    assert record.answer is not None
    decision = decision_of(record, replica_id="replica-1", wall_offset=OFFSET)
    assert np.array_equal(decision.input(), real_windows()[0])
    row = decision.row()
    for name in decision.answer_sizes:
        assert np.array_equal(getattr(row, name), getattr(record.answer.row, name)), name
    fields = decision.fields
    assert fields["time"] == OFFSET + 100
    assert fields["deadline"] == OFFSET + 101
    assert (fields["request_id"], fields["caller"], fields["trace_id"]) == ("r-1", "desk-7", TRACE_ID)
    assert (fields["method"], fields["kind"], fields["priority"]) == ("Predict", "unary", "standard")
    assert (fields["outcome"], fields["admission"], fields["reason"]) == ("answered", "admitted", None)
    assert fields["model"] == {"name": "cnn_lstm", "version": 1, "sha256": f"{1:064x}"}
    assert fields["engine"] == {"name": "fake", "device": "cpu", "precision": "fp32", "threads": 1}
    assert fields["input"]["sha256"] == record.answer.input_sha256
    assert fields["execution"]["queue_duration"] == 0.001
    assert fields["replica_id"] == "replica-1"


def test_a_refusal_is_recorded_without_numbers() -> None:
    """With its reason and what was decided."""
    decision = decision_of(refused(Reason.PREDICTED_DEADLINE_MISS), replica_id="r", wall_offset=OFFSET)
    assert (decision.window, decision.answer) == (b"", b"")
    assert decision.fields["reason"] == "PREDICTED_DEADLINE_MISS"
    assert decision.fields["admission"] == "refused"
    assert decision.fields["model"] is None
    with pytest.raises(ValueError, match="nothing"):
        decision.row()


@pytest.mark.parametrize(
    ("record", "admission"),
    [
        (answered(), "admitted"),
        (answered(answer=None, is_replay=True), "known"),
        (refused(Reason.QUEUE_FULL), "refused"),
        (refused(Reason.DISPLACED), "admitted"),
        (refused(Reason.EXPIRED_IN_QUEUE), "admitted"),
        (refused(Reason.INVALID_SHAPE), "invalid"),
        (refused(Reason.DECISION_LOG_UNAVAILABLE), "invalid"),
        (refused(None, outcome=Outcome.CANCELLED), "undecided"),
    ],
)
def test_the_admission_is_told_apart_from_the_end(record: RequestRecord, admission: str) -> None:
    """One that was let in and expired is not one that was refused."""
    assert admission_of(record) == admission


def test_a_decision_holds_on_to_nothing() -> None:
    """Neither to the window, which may be part of a message, nor to the batch."""

    class Window(np.ndarray):
        """Can be referred to weakly."""

    window = real_windows()[0].copy().view(Window)
    batch = weakref.ref(window)
    record = answered(window=window)
    decision = decision_of(record, replica_id="r", wall_offset=OFFSET)
    del record, window
    gc.collect()
    assert batch() is None
    assert len(decision.window) == 12_000


def test_a_record_can_always_be_written() -> None:
    """Also one whose times are no numbers that JSON has."""
    decision = decision_of(answered(deadline=float("inf")), replica_id="r", wall_offset=OFFSET)
    assert decision.fields["deadline"] is None
    json.dumps(dict(decision.fields), allow_nan=False)
    assert 13_000 < len(encode(decision)) < 15_000
