"""A client that sends bytes, good or bad, and reads typed errors: for tests of what really goes over the socket."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from server.rpc.ingress import METHODS, STREAMED_METHODS
from tests.support import messages
from tests.support.bad_input import BadInput
from tickserve.v1.prediction_service_pb2 import PredictBatchResponse, StreamPredictResponse, StreamTicksResponse

TIMEOUT = 60.0
_STATUS_TRAILER = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A typed error as the caller sees it; `domain` and what follows are empty where the error is not typed.

    Attributes:
        code: gRPC's.
        message: For people.
        domain: Of the `ErrorInfo`.
        reason: Of the `ErrorInfo`.
        metadata: Of the `ErrorInfo`.
        fields: Paths in the `BadRequest`; None without one.
        retry_delay: Of the `RetryInfo`, seconds; None without one.
    """

    code: grpc.StatusCode
    message: str = ""
    domain: str = ""
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] | None = None
    retry_delay: float | None = None


_CODES = {code.value[0]: code for code in grpc.StatusCode}


def read_status(status: Any) -> Refused:
    """Reads a `google.rpc.Status`.

    Raises:
        AssertionError: It has a detail twice, or one of a kind that the contract does not know.
    """
    known: dict[str, Any] = {}
    for packed in status.details:
        name = packed.type_url.rpartition(".")[2]
        assert name not in known, f"{name} twice"
        known[name] = getattr(error_details_pb2, name)()
        assert packed.Unpack(known[name])
    assert known.keys() <= {"ErrorInfo", "BadRequest", "RetryInfo"}, known.keys()
    info, bad, retry = known.get("ErrorInfo"), known.get("BadRequest"), known.get("RetryInfo")
    return Refused(
        code=_CODES[status.code],
        message=status.message,
        domain=info.domain if info else "",
        reason=info.reason if info else "",
        metadata=dict(info.metadata) if info else {},
        fields=tuple(violation.field for violation in bad.field_violations) if bad else None,
        retry_delay=_seconds(retry.retry_delay) if retry else None,
    )


async def call(
    channel: grpc.aio.Channel, method: str, request: bytes, *, timeout: float | None = TIMEOUT, **metadata: str
) -> bytes | Refused:
    """Makes one unary call; `metadata` keys use `_` for `-`."""
    multi: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHODS[method])
    pairs = tuple((key.replace("_", "-"), value) for key, value in metadata.items())
    try:
        response: bytes = await multi(request, timeout=timeout, metadata=pairs or None)
    except grpc.aio.AioRpcError as error:
        return read_error(error)
    return response


async def exchange(
    channel: grpc.aio.Channel, method: str, requests: Iterable[bytes], *, timeout: float | None = TIMEOUT
) -> list[bytes]:
    """Sends a whole stream, closes the sending side and returns all that is answered.

    Raises:
        grpc.aio.AioRpcError: The stream as a whole failed.
    """
    multi: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHODS[method])
    stream = multi(iter(requests), timeout=timeout)
    return [response async for response in stream]


def read_error(error: grpc.aio.AioRpcError) -> Refused:
    """Reads what ended an RPC.

    Raises:
        AssertionError: The status in the trailers is not the one that gRPC tells.
    """
    trailers = {str(key): value for key, value in error.trailing_metadata() or ()}
    packed = trailers.get(_STATUS_TRAILER)
    if not isinstance(packed, bytes):
        return Refused(code=error.code(), message=error.details() or "")
    refused = read_status(status_pb2.Status.FromString(packed))
    assert (refused.code, refused.message) == (error.code(), error.details())
    return refused


async def provoke(channel: grpc.aio.Channel, case: BadInput) -> Refused:
    """Sends a bad input and returns how it was refused.

    Raises:
        AssertionError: It was answered; or what was sent beside it, before and after, was not.
    """
    if case.in_item:
        return await _provoke_item(channel, case)
    if case.method == "StreamPredict":
        return await _provoke_stream(channel, case)
    if case.method == "StreamTicks":
        return await _provoke_ticks(channel, case)
    assert case.method not in STREAMED_METHODS
    outcome = await call(channel, case.method, case.request())
    assert isinstance(outcome, Refused), f"{case.name} was answered"
    return outcome


async def _provoke_item(channel: grpc.aio.Channel, case: BadInput) -> Refused:
    outcome = await call(channel, case.method, case.request())
    assert isinstance(outcome, bytes), f"{case.name} failed as a whole: {outcome}"
    results = PredictBatchResponse.FromString(outcome).results
    kinds = [result.WhichOneof("result") for result in results]
    assert kinds == ["prediction", "error", "prediction"], kinds
    return read_status(results[1].error)


async def _provoke_stream(channel: grpc.aio.Channel, case: BadInput) -> Refused:
    good = [messages.item(request_id).SerializeToString() for request_id in ("before", "after")]
    answers = await exchange(channel, case.method, [good[0], *case.before(), case.request(), good[1]])
    responses = [StreamPredictResponse.FromString(answer) for answer in answers]
    answered = {response.request_id for response in responses if response.HasField("prediction")}
    assert {"before", "after"} <= answered, f"{case.name} harmed its neighbours: {responses}"
    errors = [response.error for response in responses if response.HasField("error")]
    assert len(errors) == 1, f"{case.name}: {errors}"
    return read_status(errors[0])


async def _provoke_ticks(channel: grpc.aio.Channel, case: BadInput) -> Refused:
    after = messages.heartbeat().SerializeToString()
    answers = await exchange(channel, case.method, [*case.before(), case.request(), after])
    responses = [StreamTicksResponse.FromString(answer) for answer in answers]
    kinds = [response.WhichOneof("message") for response in responses]
    assert kinds[-1] == "heartbeat", f"{case.name} harmed the stream: {kinds}"
    assert kinds.count("error") == 1, f"{case.name}: {kinds}"
    return read_status(responses[kinds.index("error")].error.error)


def _seconds(value: Duration) -> float:
    return value.seconds + value.nanos / 1e9
