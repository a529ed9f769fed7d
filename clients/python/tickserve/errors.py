"""What can go wrong with a call, as one tree of exceptions.

TickserveError
├── InvalidRequestError     INVALID_ARGUMENT: the request is malformed; `fields` says where
├── NotFoundError           NOT_FOUND: no such model, version or symbol
├── PreconditionError       FAILED_PRECONDITION: a window is incomplete or stale, a symbol not open, trading halted
├── RequestIdReusedError    ALREADY_EXISTS: the request id belongs to another payload
├── OverloadedError         RESOURCE_EXHAUSTED: queue full, would be late, displaced, rate limited; see `retry_delay`
├── DeadlineError           DEADLINE_EXCEEDED: expired in the queue or the engine, or no answer came in time
├── AuthenticationError     UNAUTHENTICATED: API key missing or invalid
├── AccessDeniedError       PERMISSION_DENIED: the key does not allow the method or the priority
├── UnavailableError        UNAVAILABLE: the replica drains, loads its model or misses its store; see `retry_delay`
├── InferenceError          INTERNAL: the model failed on this batch
├── TransportError          something between here and tickserve failed, so the error carries no reason of tickserve's
└── StreamClosedError       a stream was used after this side closed it, or after it had ended

Each kind is one that a caller would treat differently; `reason` tells the cases within a kind apart. This file knows
`google.rpc` and gRPC's status codes; it must not know the contract's own messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

__all__ = (
    "AccessDeniedError",
    "AuthenticationError",
    "DeadlineError",
    "FieldViolation",
    "InferenceError",
    "InvalidRequestError",
    "NotFoundError",
    "OverloadedError",
    "PreconditionError",
    "RequestIdReusedError",
    "StreamClosedError",
    "TickserveError",
    "TransportError",
    "UnavailableError",
    "error_from_parts",
    "error_from_rpc",
    "error_from_status",
    "typed_errors",
)

_DOMAIN = "tickserve"
_STATUS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """Says what is wrong with one field of a request."""

    field: str
    """The path of the field, as in `window.raw_float32` or `items[3].window`."""
    description: str
    """What it should have been."""


class TickserveError(Exception):
    """A refusal or a failure that a call ended with; the base of all errors of this package.

    Attributes:
        message: What happened, for people.
        reason: What happened, for programs: QUEUE_FULL, MODEL_NOT_FOUND, ...; empty where tickserve gave none.
        code: The gRPC status code.
        metadata: The values behind the message, by name, as strings.
        retry_delay: How long to wait before another attempt, in seconds; None where the service did not say.
        fields: The fields that were wrong; empty but for `InvalidRequestError`.
    """

    default_code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        code: grpc.StatusCode | None = None,
        metadata: Mapping[str, str] | None = None,
        retry_delay: float | None = None,
        fields: Iterable[FieldViolation] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.code = self.default_code if code is None else code
        self.metadata = dict(metadata or {})
        self.retry_delay = retry_delay
        self.fields = tuple(fields)

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.message}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(reason={self.reason!r}, code={self.code.name}, message={self.message!r})"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled by their positional arguments alone; process pools would lose everything else.
        return (type(self), (self.message,), self.__dict__)


class InvalidRequestError(TickserveError):
    """The request is malformed; sending it again cannot help."""

    default_code = grpc.StatusCode.INVALID_ARGUMENT


class NotFoundError(TickserveError):
    """The model, the version or the symbol does not exist."""

    default_code = grpc.StatusCode.NOT_FOUND


class PreconditionError(TickserveError):
    """The request is well formed, and the service is not in a state to answer it."""

    default_code = grpc.StatusCode.FAILED_PRECONDITION


class RequestIdReusedError(TickserveError):
    """The request id was used for another payload, or is still in flight on this stream."""

    default_code = grpc.StatusCode.ALREADY_EXISTS


class OverloadedError(TickserveError):
    """The service sheds load: the request would have been late, or would have made others late.

    Among the values of `reason` are QUEUE_FULL; PREDICTED_DEADLINE_MISS, where `metadata["predicted_completion"]` says
    after how many seconds the answer would have come; and DISPLACED: it waited in a full queue and a more urgent
    request took its place.
    """

    default_code = grpc.StatusCode.RESOURCE_EXHAUSTED


class DeadlineError(TickserveError):
    """The deadline passed. `reason` is empty where this side gave up without hearing from the service."""

    default_code = grpc.StatusCode.DEADLINE_EXCEEDED


class AuthenticationError(TickserveError):
    """The service does not know who calls."""

    default_code = grpc.StatusCode.UNAUTHENTICATED


class AccessDeniedError(TickserveError):
    """The service knows who calls and does not allow it."""

    default_code = grpc.StatusCode.PERMISSION_DENIED


class UnavailableError(TickserveError):
    """The replica that was reached stops, starts, or cannot reach its windows' store; try again."""

    default_code = grpc.StatusCode.UNAVAILABLE


class InferenceError(TickserveError):
    """The model failed; `metadata` names the trace."""

    default_code = grpc.StatusCode.INTERNAL


class TransportError(TickserveError):
    """The call failed outside tickserve: no connection, a proxy's refusal, a message above the transport's limit."""


class StreamClosedError(TickserveError):
    """The stream is over: this side closed it, or the service ended it in good order."""

    default_code = grpc.StatusCode.CANCELLED


_BY_CODE: dict[grpc.StatusCode, type[TickserveError]] = {
    kind.default_code: kind
    for kind in (
        InvalidRequestError,
        NotFoundError,
        PreconditionError,
        RequestIdReusedError,
        OverloadedError,
        DeadlineError,
        AuthenticationError,
        AccessDeniedError,
        UnavailableError,
        InferenceError,
    )
}
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class _FinishedCall(Protocol):
    """The part of a failed call that carries its status; grpc's own stubs do not say that RpcError has it."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def error_from_status(status: status_pb2.Status) -> TickserveError:
    """Reads a `google.rpc.Status`, as it comes with one item of a batch or a stream."""
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    retry_delay: float | None = None
    for detail in status.details:
        try:
            detail.Unpack(info)
            detail.Unpack(bad_request)
            if detail.Unpack(retry):
                retry_delay = retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9
        except DecodeError:  # a detail that cannot be read must not hide the error itself
            continue
    ours = info.domain == _DOMAIN
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return _kind(code, ours=ours)(
        status.message,
        reason=info.reason if ours else "",
        code=code,
        metadata=info.metadata,
        retry_delay=retry_delay,
        fields=(FieldViolation(violation.field, violation.description) for violation in bad_request.field_violations),
    )


def error_from_rpc(error: grpc.RpcError) -> TickserveError:
    """Reads the status of a failed call, sync or async, and the details in its trailing metadata."""
    call = cast("_FinishedCall", error)
    return error_from_parts(call.code(), call.details(), call.trailing_metadata())


def error_from_parts(
    code: grpc.StatusCode, details: str | None, trailers: Iterable[tuple[str, str | bytes]] | None
) -> TickserveError:
    """Reads the status of a call that has not raised it, from its parts."""
    for key, value in trailers or ():
        if key == _STATUS_KEY and isinstance(value, bytes):
            try:
                return error_from_status(status_pb2.Status.FromString(value))
            except DecodeError:  # trailers that cannot be read are as good as none
                break
    return _kind(code, ours=False)(details or code.name, code=code)


@contextmanager
def typed_errors() -> Iterator[None]:
    """Turns gRPC's errors into ours."""
    try:
        yield
    except grpc.RpcError as error:
        raise error_from_rpc(error) from error


def _kind(code: grpc.StatusCode, *, ours: bool) -> type[TickserveError]:
    if ours:
        return _BY_CODE.get(code, TickserveError)
    # Nobody but the caller's own clock makes a bare DEADLINE_EXCEEDED, and whoever handles lateness wants it there.
    return DeadlineError if code is grpc.StatusCode.DEADLINE_EXCEEDED else TransportError


def service_unknown(error: TickserveError) -> str:
    """Gives the word for a service that health knows nothing of, where an error is the protocol's way to say so.

    Raises:
        TickserveError: The error, where it says something else.
    """
    if error.code is not grpc.StatusCode.NOT_FOUND:
        raise error
    return "SERVICE_UNKNOWN"
