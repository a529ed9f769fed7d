"""The wire form of every error: one table from reason to gRPC code, and the `google.rpc.Status` that carries it.

Every status has one `ErrorInfo` of the domain `tickserve`; invalid arguments add a `BadRequest` with the field's path,
overload and unavailability a `RetryInfo`. An exception that is not meant for the caller becomes INFERENCE_FAILED with
constant words and a trace id; its own text stays in the log.
"""

from __future__ import annotations

import logging
import secrets
from typing import Protocol

import grpc
from google.protobuf import any_pb2, duration_pb2, message
from google.rpc import error_details_pb2, status_pb2

from batching import (
    DisplacedError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    PredictedDeadlineMissError,
    QueueFullError,
    SchedulerClosedError,
)
from server.refusal import Reason, Refusal, draining, inference_failed

DOMAIN = "tickserve"

logger = logging.getLogger("tickserve")

_Code = grpc.StatusCode
CODES: dict[Reason, grpc.StatusCode] = {
    Reason.MISSING_INPUT: _Code.INVALID_ARGUMENT,
    Reason.MALFORMED_MESSAGE: _Code.INVALID_ARGUMENT,
    Reason.INVALID_SHAPE: _Code.INVALID_ARGUMENT,
    Reason.NON_FINITE_VALUE: _Code.INVALID_ARGUMENT,
    Reason.FEATURE_SCHEMA_MISMATCH: _Code.INVALID_ARGUMENT,
    Reason.INVALID_TIMEOUT: _Code.INVALID_ARGUMENT,
    Reason.INVALID_PRIORITY: _Code.INVALID_ARGUMENT,
    Reason.INVALID_TICK: _Code.INVALID_ARGUMENT,
    Reason.INVALID_SYMBOL: _Code.INVALID_ARGUMENT,
    Reason.TOO_MANY_WINDOWS: _Code.INVALID_ARGUMENT,
    Reason.LIMIT_EXCEEDED: _Code.INVALID_ARGUMENT,
    Reason.INVALID_TENSOR: _Code.INVALID_ARGUMENT,
    Reason.MODEL_NOT_FOUND: _Code.NOT_FOUND,
    Reason.SYMBOL_NOT_FOUND: _Code.NOT_FOUND,
    Reason.WINDOW_INCOMPLETE: _Code.FAILED_PRECONDITION,
    Reason.WINDOW_STALE: _Code.FAILED_PRECONDITION,
    Reason.STREAM_NOT_OPEN: _Code.FAILED_PRECONDITION,
    Reason.STREAM_ALREADY_OPEN: _Code.FAILED_PRECONDITION,
    Reason.SYMBOL_NOT_OPEN: _Code.FAILED_PRECONDITION,
    Reason.HALTED: _Code.FAILED_PRECONDITION,
    Reason.REQUEST_ID_REUSED: _Code.ALREADY_EXISTS,
    Reason.QUEUE_FULL: _Code.RESOURCE_EXHAUSTED,
    Reason.PREDICTED_DEADLINE_MISS: _Code.RESOURCE_EXHAUSTED,
    Reason.DISPLACED: _Code.RESOURCE_EXHAUSTED,
    Reason.RATE_LIMITED: _Code.RESOURCE_EXHAUSTED,
    Reason.EXPIRED_IN_QUEUE: _Code.DEADLINE_EXCEEDED,
    Reason.EXPIRED_IN_EXECUTION: _Code.DEADLINE_EXCEEDED,
    Reason.EDGE_REQUIRED: _Code.UNAUTHENTICATED,
    Reason.API_KEY_MISSING: _Code.UNAUTHENTICATED,
    Reason.API_KEY_INVALID: _Code.UNAUTHENTICATED,
    Reason.METHOD_NOT_ALLOWED: _Code.PERMISSION_DENIED,
    Reason.PRIORITY_NOT_ALLOWED: _Code.PERMISSION_DENIED,
    Reason.DRAINING: _Code.UNAVAILABLE,
    Reason.MODEL_LOADING: _Code.UNAVAILABLE,
    Reason.STORE_UNAVAILABLE: _Code.UNAVAILABLE,
    Reason.DECISION_LOG_UNAVAILABLE: _Code.UNAVAILABLE,
    Reason.HALT_STORE_UNAVAILABLE: _Code.UNAVAILABLE,
    Reason.NOT_SUPPORTED: _Code.UNIMPLEMENTED,
    Reason.INFERENCE_FAILED: _Code.INTERNAL,
}


class StatusContext(Protocol):
    """The part of a servicer context that ends an RPC with an error: gRPC's own has it, and Ray Serve's."""

    def set_code(self, code: grpc.StatusCode) -> None:
        """Sets the code."""

    def set_details(self, details: str) -> None:
        """Sets the message."""

    def set_trailing_metadata(self, trailing_metadata: list[tuple[str, str | bytes]]) -> None:
        """Sets the trailers."""


def to_status(refusal: Refusal) -> status_pb2.Status:
    """Returns the wire form of a refusal."""
    code = CODES[refusal.reason]
    details = [_pack(error_details_pb2.ErrorInfo(reason=refusal.reason.name, domain=DOMAIN, metadata=refusal.metadata))]
    if code is _Code.INVALID_ARGUMENT:
        violation = error_details_pb2.BadRequest.FieldViolation(field=refusal.field, description=refusal.message)
        details.append(_pack(error_details_pb2.BadRequest(field_violations=[violation])))
    if refusal.retry_delay is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(refusal.retry_delay * 1e9))
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    return status_pb2.Status(code=code.value[0], message=refusal.message, details=details)


def refusal_of(status: status_pb2.Status) -> Refusal:
    """Returns the refusal that a status of ours is the wire form of."""
    info, violation, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    unpacked = {
        kind.DESCRIPTOR.name
        for detail in status.details
        for kind in (info, violation, retry)
        if detail.Is(kind.DESCRIPTOR) and detail.Unpack(kind)
    }
    return Refusal(
        Reason[info.reason],
        status.message,
        field=violation.field_violations[0].field if violation.field_violations else "",
        retry_delay=retry.retry_delay.ToNanoseconds() / 1e9 if "RetryInfo" in unpacked else None,
        metadata=info.metadata,
    )


def set_status(context: StatusContext, refusal: Refusal) -> None:
    """Ends an RPC with a refusal; the caller then returns instead of raising.

    Under Ray Serve a raised error loses its trailers and logs two tracebacks, a returned one does neither.
    """
    context.set_code(CODES[refusal.reason])
    context.set_details(refusal.message)
    context.set_trailing_metadata([("grpc-status-details-bin", to_status(refusal).SerializeToString())])


def explain(error: Exception, *, trace_id: str) -> Refusal:
    """Returns what the caller is told about any exception; logs it in full where it is a fault of ours.

    Args:
        error: What ended the request.
        trace_id: Names the call in the log; a fresh id stands in where the call was not traced.
    """
    refusal = _expected(error)
    if refusal is None:
        trace_id = trace_id or secrets.token_hex(16)
        # A failed batch has many members; the scheduler has logged its cause once.
        cause = None if isinstance(error, InferenceFailedError) else error
        logger.error("request failed, trace_id=%s: %s", trace_id, type(error).__name__, exc_info=cause)
        refusal = inference_failed(trace_id)
    return refusal


def reason_of(error: Exception) -> Reason:
    """Returns why any exception ends a request, as its caller is told by `explain`; logs nothing."""
    refusal = _expected(error)
    return Reason.INFERENCE_FAILED if refusal is None else refusal.reason


def _expected(error: Exception) -> Refusal | None:
    """Returns the refusal for an exception that is part of normal service, else None."""
    match error:
        case Refusal():
            return error
        case QueueFullError():
            return Refusal(
                Reason.QUEUE_FULL,
                "The queue is full; retry after the delay, or lower the request rate.",
                retry_delay=error.retry_after,
            )
        case PredictedDeadlineMissError():
            return Refusal(
                Reason.PREDICTED_DEADLINE_MISS,
                "This deadline, or one already promised to another, would be missed; allow more time, or retry after "
                "the delay.",
                retry_delay=error.retry_after,
                metadata={"predicted_completion": f"{error.predicted_completion:.6f}"},
            )
        case DisplacedError():
            return Refusal(
                Reason.DISPLACED,
                "The queue was full and a more urgent request took this one's place; retry after the delay.",
                retry_delay=error.retry_after,
            )
        case ExpiredInQueueError():
            return Refusal(Reason.EXPIRED_IN_QUEUE, "The deadline passed while the request waited for the engine.")
        case ExpiredInExecutionError():
            return Refusal(Reason.EXPIRED_IN_EXECUTION, "The deadline passed while the engine computed the answer.")
        case SchedulerClosedError():
            return draining()
    return None


def _pack(detail: message.Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(detail)
    return packed
