"""Every status becomes the one exception that its caller would catch, with all that the service said."""

import pickle

import grpc
import pytest

from tests.unit.client.fake_service import rich_status
from tickserve import errors
from tickserve.errors import TickserveError, error_from_parts, error_from_status

KINDS = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: errors.NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.PreconditionError,
    grpc.StatusCode.ALREADY_EXISTS: errors.RequestIdReusedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.OverloadedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineError,
    grpc.StatusCode.UNAUTHENTICATED: errors.AuthenticationError,
    grpc.StatusCode.PERMISSION_DENIED: errors.AccessDeniedError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.INTERNAL: errors.InferenceError,
}


@pytest.mark.parametrize(("code", "kind"), KINDS.items())
def test_each_code_of_the_contract_has_its_exception(code: grpc.StatusCode, kind: type[TickserveError]) -> None:
    """A status with our ErrorInfo becomes the exception of its code."""
    error = error_from_status(rich_status(code, "SOME_REASON"))
    assert type(error) is kind
    assert (error.reason, error.code) == ("SOME_REASON", code)


def test_an_error_carries_everything_the_service_said() -> None:
    """Reason, code, message, metadata, retry delay and fields all arrive."""
    status = rich_status(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_SHAPE",
        "49 features, not 50",
        metadata={"have": "49", "need": "50"},
        retry_delay=1.25,
        fields={"window.feature_count": "must be 50"},
    )
    error = error_from_status(status)
    assert error.message == "49 features, not 50"
    assert error.metadata == {"have": "49", "need": "50"}
    assert error.retry_delay == 1.25
    assert error.fields == (errors.FieldViolation("window.feature_count", "must be 50"),)
    assert str(error) == "INVALID_SHAPE: 49 features, not 50"


def test_an_unknown_code_with_our_reason_is_still_a_tickserve_error() -> None:
    """A newer service may use a code that this client has no class for."""
    error = error_from_status(rich_status(grpc.StatusCode.ABORTED, "NEW_REASON"))
    assert type(error) is TickserveError
    assert error.reason == "NEW_REASON"


@pytest.mark.parametrize(
    ("reason", "metadata"),
    [("QUEUE_FULL", {}), ("PREDICTED_DEADLINE_MISS", {"predicted_completion": "0.250000"}), ("DISPLACED", {})],
)
def test_every_kind_of_shedding_is_an_overload(reason: str, metadata: dict[str, str]) -> None:
    """One class catches all shed load; it says why, with what figures, and when to try again."""
    status = rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, reason, metadata=metadata, retry_delay=0.125)
    error = error_from_status(status)
    assert type(error) is errors.OverloadedError
    assert (error.reason, error.metadata, error.retry_delay) == (reason, metadata, 0.125)


@pytest.mark.parametrize("code", [code for code in KINDS if code is not grpc.StatusCode.DEADLINE_EXCEEDED])
def test_an_error_of_another_domain_is_the_transports(code: grpc.StatusCode) -> None:
    """A reason that is not tickserve's is not passed off as one."""
    error = error_from_status(rich_status(code, "THEIRS", domain="example.com"))
    assert type(error) is errors.TransportError
    assert (error.reason, error.code) == ("", code)


def test_a_bare_deadline_is_a_deadline_error_without_a_reason() -> None:
    """Whoever handles lateness catches one class, and `reason` tells who gave up."""
    error = error_from_parts(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", ())
    assert type(error) is errors.DeadlineError
    assert error.reason == ""


@pytest.mark.parametrize("trailers", [None, (), (("grpc-status-details-bin", b"\xff\xff garbage"),)])
def test_an_unreadable_status_leaves_code_and_words(trailers: tuple[tuple[str, bytes], ...] | None) -> None:
    """Missing or broken trailers cost the details, never the error itself."""
    error = error_from_parts(grpc.StatusCode.UNKNOWN, "Received http2 header with status: 503", trailers)
    assert type(error) is errors.TransportError
    assert (error.code, error.message) == (grpc.StatusCode.UNKNOWN, "Received http2 header with status: 503")


def test_an_unreadable_detail_does_not_hide_the_others() -> None:
    """Garbage in one detail costs that detail only."""
    status = rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_delay=0.5)
    broken = status.details.add()
    broken.type_url = "type.googleapis.com/google.rpc.BadRequest"
    broken.value = b"\xff\xff"
    error = error_from_status(status)
    assert (error.reason, error.retry_delay, error.fields) == ("QUEUE_FULL", 0.5, ())


def test_an_error_survives_pickling() -> None:
    """A process pool hands on the whole error, not its message alone."""
    error = error_from_status(rich_status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_delay=0.5))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.reason, copy.retry_delay, str(copy)) == (
        errors.OverloadedError,
        "QUEUE_FULL",
        0.5,
        str(error),
    )


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    """Each class of the module is drawn, and nothing else is."""
    classes = {
        name
        for name in errors.__all__
        if isinstance(kind := getattr(errors, name), type) and issubclass(kind, Exception)
    }
    drawn = {word for line in (errors.__doc__ or "").splitlines() for word in line.split() if word.endswith("Error")}
    assert drawn == classes
