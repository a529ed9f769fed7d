"""Laws of dispatch: no call without the seam, and no error that is raised."""

import asyncio
import gc
from collections.abc import AsyncGenerator, AsyncIterator

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import status_pb2

from server.call import Call, current_call
from server.refusal import Reason, Refusal
from server.rpc.decode import Received
from server.rpc.dispatch import Dispatcher
from tests.support.fakes import FakeContext
from tests.support.raw_client import Refused, read_status
from tickserve.v1.prediction_service_pb2 import PredictResponse

CALL = Call(method="/m", received_at=1.0, trace_id="ab" * 16)


class Service:
    """Two methods that fail as they are told to.

    Attributes:
        calls: How often they were entered.
        error: Raised, if set: by the stream after its first response.
        closed: Whether the stream was closed.
    """

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls = 0
        self.error = error
        self.closed = False

    async def unary(self, request: Received, call: Call) -> Message:
        """Answers with the request."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        assert isinstance(request, bytes)
        return PredictResponse(request_id=request.decode() + call.method)

    async def streamed(self, requests: AsyncIterator[bytes], call: Call) -> AsyncGenerator[Message, None]:
        """Answers with the requests."""
        self.calls += 1
        try:
            async for request in requests:
                yield PredictResponse(request_id=request.decode())
                if self.error is not None:
                    raise self.error
        finally:
            self.closed = True

    def dispatcher(self) -> Dispatcher:
        """Returns a dispatcher that knows the two."""
        return Dispatcher(unary={"Predict": self.unary}, streamed={"StreamPredict": self.streamed})


async def requests() -> AsyncIterator[bytes]:
    """Two requests."""
    yield b"a"
    yield b"b"


def refused(context: FakeContext) -> Refused:
    """Returns the status that was set."""
    [(key, value)] = context.trailers
    assert key == "grpc-status-details-bin"
    assert isinstance(value, bytes)
    status = read_status(status_pb2.Status.FromString(value))
    assert (status.code, status.message) == (context.code, context.details)
    return status


@pytest.fixture
def context() -> FakeContext:
    """A context without status."""
    return FakeContext()


@pytest.fixture
async def within_call() -> None:
    """Puts the test inside a call, as the seam does."""


async def test_a_unary_call_is_served(context: FakeContext) -> None:
    """Bytes and the call go in, a message comes out, and no status is set."""
    current_call.set(CALL)
    response = await Service().dispatcher().unary("Predict", b"x", context)
    assert response == PredictResponse(request_id="x/m")
    assert context.code is None


async def test_a_stream_is_served(context: FakeContext) -> None:
    """Every response goes through."""
    current_call.set(CALL)
    stream = Service().dispatcher().streamed("StreamPredict", requests(), context)
    assert [r async for r in stream] == [PredictResponse(request_id="a"), PredictResponse(request_id="b")]
    assert context.code is None


async def test_a_call_past_the_seam_runs_nothing(context: FakeContext) -> None:
    """Ray Serve's fallback proxy knows no deadline: unary or streamed, it is told to come again."""
    service = Service()
    dispatcher = service.dispatcher()
    response = await dispatcher.unary("Predict", b"x", context)
    streamed_context = FakeContext()
    responses = [r async for r in dispatcher.streamed("StreamPredict", requests(), streamed_context)]
    assert (response.SerializeToString(), responses, service.calls) == (b"", [], 0)
    for status in (refused(context), refused(streamed_context)):
        assert (status.code, status.reason) == (grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
        assert status.retry_delay is not None


@pytest.mark.parametrize(
    ("error", "reason"), [(Refusal(Reason.QUEUE_FULL, "Full."), "QUEUE_FULL"), (ValueError("x"), "INFERENCE_FAILED")]
)
async def test_errors_are_returned(context: FakeContext, error: Exception, reason: str) -> None:
    """A failed method ends in a status and no message, raising nothing."""
    current_call.set(CALL)
    response = await Service(error).dispatcher().unary("Predict", b"x", context)
    assert response.SerializeToString() == b""
    assert refused(context).reason == reason


async def test_a_stream_that_fails_keeps_what_it_has_said(context: FakeContext) -> None:
    """Responses before the error go through, then the status ends the stream."""
    current_call.set(CALL)
    service = Service(RuntimeError("x"))
    responses = [r async for r in service.dispatcher().streamed("StreamPredict", requests(), context)]
    assert responses == [PredictResponse(request_id="a")]
    assert refused(context).metadata == {"trace_id": CALL.trace_id}


async def test_cancellation_passes(context: FakeContext) -> None:
    """A cancelled call is cancelled, not answered."""
    current_call.set(CALL)
    dispatcher = Service(asyncio.CancelledError()).dispatcher()
    with pytest.raises(asyncio.CancelledError):
        await dispatcher.unary("Predict", b"x", context)
    stream = dispatcher.streamed("StreamPredict", requests(), context)
    await anext(stream)
    with pytest.raises(asyncio.CancelledError):
        await anext(stream)
    assert context.code is None


async def test_an_abandoned_stream_is_closed(context: FakeContext) -> None:
    """Closing the RPC closes the method at once."""
    current_call.set(CALL)
    service = Service()
    stream = service.dispatcher().streamed("StreamPredict", requests(), context)
    await anext(stream)
    await stream.aclose()
    assert service.closed
    gc.collect()


async def test_a_refusal_is_kept_before_it_is_sent() -> None:
    """The hold is told why and of which call, and nothing is set on the context until it returns."""
    kept: list[tuple[Reason, Call]] = []
    context = FakeContext()

    async def hold(reason: Reason, call: Call) -> None:
        assert context.code is None
        kept.append((reason, call))

    service = Service(Refusal(Reason.QUEUE_FULL, "full"))
    dispatcher = Dispatcher(unary={"Predict": service.unary}, streamed={}, hold=hold)
    token = current_call.set(CALL)
    try:
        await dispatcher.unary("Predict", b"x", context)
    finally:
        current_call.reset(token)
    assert kept == [(Reason.QUEUE_FULL, CALL)]
    assert context.code is grpc.StatusCode.RESOURCE_EXHAUSTED
