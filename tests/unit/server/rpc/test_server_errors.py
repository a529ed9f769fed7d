"""Laws of errors on the wire: one table, one ErrorInfo, and never an exception's own words."""

import logging

import grpc
import pytest
from google.rpc import status_pb2

from batching import (
    DisplacedError,
    EngineHungError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    PredictedDeadlineMissError,
    QueueFullError,
    RequestCancelledError,
    SchedulerClosedError,
)
from server.refusal import Reason, Refusal, draining, model_loading
from server.rpc import errors
from tests.support.fakes import FakeContext
from tests.support.raw_client import read_status

SECRET = "password=hunter2 in /etc/shadow"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"

# Design section 3, the reasons that this step can give.
TABLE = {
    "INVALID_ARGUMENT": "MISSING_INPUT MALFORMED_MESSAGE INVALID_SHAPE NON_FINITE_VALUE FEATURE_SCHEMA_MISMATCH"
    " INVALID_TIMEOUT INVALID_PRIORITY INVALID_TICK INVALID_SYMBOL TOO_MANY_WINDOWS LIMIT_EXCEEDED INVALID_TENSOR",
    "NOT_FOUND": "MODEL_NOT_FOUND SYMBOL_NOT_FOUND",
    "FAILED_PRECONDITION": "WINDOW_INCOMPLETE WINDOW_STALE STREAM_NOT_OPEN STREAM_ALREADY_OPEN SYMBOL_NOT_OPEN HALTED",
    "ALREADY_EXISTS": "REQUEST_ID_REUSED",
    "RESOURCE_EXHAUSTED": "QUEUE_FULL PREDICTED_DEADLINE_MISS DISPLACED RATE_LIMITED",
    "DEADLINE_EXCEEDED": "EXPIRED_IN_QUEUE EXPIRED_IN_EXECUTION",
    "UNAUTHENTICATED": "EDGE_REQUIRED API_KEY_MISSING API_KEY_INVALID",
    "PERMISSION_DENIED": "METHOD_NOT_ALLOWED PRIORITY_NOT_ALLOWED",
    "UNAVAILABLE": "DRAINING MODEL_LOADING STORE_UNAVAILABLE DECISION_LOG_UNAVAILABLE HALT_STORE_UNAVAILABLE",
    "UNIMPLEMENTED": "NOT_SUPPORTED",
    "INTERNAL": "INFERENCE_FAILED",
}


def test_the_table_is_that_of_the_design() -> None:
    """Each reason has the code that the contract names, and no reason is without one."""
    expected = {reason: code for code, reasons in TABLE.items() for reason in reasons.split()}
    assert {reason.name: code.name for reason, code in errors.CODES.items()} == expected
    assert set(errors.CODES) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_status_has_one_error_info(reason: Reason) -> None:
    """Domain, reason and metadata travel with every error; BadRequest with invalid arguments alone."""
    refusal = Refusal(reason, "Words.", field="window.values", metadata={"have": "1"})
    refused = read_status(errors.to_status(refusal))
    assert (refused.domain, refused.reason, refused.metadata) == ("tickserve", reason.name, {"have": "1"})
    assert (refused.code, refused.message) == (errors.CODES[reason], "Words.")
    invalid = refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.fields == (("window.values",) if invalid else None)


@pytest.mark.parametrize(
    "refusal", [draining(), model_loading("It"), errors.explain(QueueFullError(0.25), trace_id="")]
)
def test_overload_and_unavailability_say_when_to_retry(refusal: Refusal) -> None:
    """RetryInfo carries a delay above zero."""
    refused = read_status(errors.to_status(refusal))
    assert refused.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert refused.retry_delay is not None
    assert refused.retry_delay > 0


def test_set_status_gives_code_words_and_trailer() -> None:
    """What gRPC tells and what the trailer tells are the same."""
    context = FakeContext()
    errors.set_status(context, Refusal(Reason.INVALID_SHAPE, "Words.", field="window"))
    [(key, value)] = context.trailers
    assert isinstance(value, bytes)
    refused = read_status(status_pb2.Status.FromString(value))
    assert key == "grpc-status-details-bin"
    assert (context.code, context.details) == (refused.code, refused.message)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        KeyError(SECRET),
        RequestCancelledError(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
        AssertionError(SECRET),
    ],
)
def test_an_exceptions_text_stays_in_the_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Callers get constant words and the trace id under which the log has the rest."""
    with caplog.at_level(logging.ERROR):
        refusal = errors.explain(error, trace_id=TRACE)
    status = errors.to_status(refusal)
    assert "hunter2" not in str(status)
    assert (refusal.reason, refusal.metadata) == (Reason.INFERENCE_FAILED, {"trace_id": TRACE})
    assert TRACE in caplog.text
    assert SECRET in caplog.text


def test_a_failed_batch_is_not_logged_once_a_member(caplog: pytest.LogCaptureFixture) -> None:
    """The scheduler logs the cause of a failed batch once; a member adds its trace id and no traceback."""
    with caplog.at_level(logging.ERROR):
        refusal = errors.explain(InferenceFailedError(SECRET), trace_id=TRACE)
    assert refusal.reason is Reason.INFERENCE_FAILED
    [record] = caplog.records
    assert TRACE in record.getMessage()
    assert not record.exc_info


def test_an_untraced_failure_gets_an_id_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Two failures without a trace can be told apart in the log."""
    ids = {errors.explain(ValueError(), trace_id="").metadata["trace_id"] for _ in range(2)}
    assert len(ids) == 2
    assert all(len(trace_id) == 32 and trace_id in caplog.text for trace_id in ids)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (QueueFullError(0.1), Reason.QUEUE_FULL),
        (PredictedDeadlineMissError(0.25, 0.1), Reason.PREDICTED_DEADLINE_MISS),
        (DisplacedError(0.1), Reason.DISPLACED),
        (ExpiredInQueueError(), Reason.EXPIRED_IN_QUEUE),
        (ExpiredInExecutionError(), Reason.EXPIRED_IN_EXECUTION),
        (SchedulerClosedError(SECRET), Reason.DRAINING),
        (EngineHungError(30.0), Reason.INFERENCE_FAILED),
        (Refusal(Reason.WINDOW_STALE, "Old."), Reason.WINDOW_STALE),
    ],
)
def test_the_schedulers_errors_have_reasons(error: Exception, reason: Reason) -> None:
    """How a request ended in the scheduler is told by its reason, without the scheduler's words."""
    refusal = errors.explain(error, trace_id=TRACE)
    assert refusal.reason is reason
    assert "hunter2" not in refusal.message


def test_an_expected_refusal_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Bad input is no fault of ours: a flood of it does not fill the log."""
    errors.explain(Refusal(Reason.INVALID_SHAPE, "Words."), trace_id="")
    errors.explain(QueueFullError(0.1), trace_id="")
    assert caplog.text == ""


def test_within_puts_the_enclosing_path_in_front() -> None:
    """A field is named from the request message on, whatever code found it, and nothing else changes."""
    inner = Refusal(Reason.QUEUE_FULL, "Words.", field="values", retry_delay=1.5, metadata={"a": "b"})
    outer = inner.within("window").within("items[3]")
    assert outer.field == "items[3].window.values"
    assert (outer.reason, outer.message, outer.retry_delay, outer.metadata) == (
        inner.reason, inner.message, inner.retry_delay, inner.metadata,
    )  # fmt: skip
    assert Refusal(Reason.MISSING_INPUT, "Words.").within("window").field == "window"
