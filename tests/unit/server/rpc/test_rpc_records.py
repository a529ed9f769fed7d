"""Laws of the RPCs' records: each RPC ends in one, with the code that its client sees."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from google.protobuf.message import Message

from server.call import Call, current_call
from server.refusal import Reason, Refusal
from server.rpc.decode import Received
from server.rpc.dispatch import Dispatcher
from tests.support.fakes import FakeContext
from tests.support.observed import Recorder
from tickserve.v1.prediction_service_pb2 import PredictResponse

NOW = 50.0


class Service:
    """Two methods that end as they are told to: with an error, or not before they are cancelled.

    Attributes:
        error: Raised, if set.
        is_endless: Whether they wait for ever before that.
    """

    def __init__(self, error: Exception | None = None, *, is_endless: bool = False) -> None:
        self.error = error
        self.is_endless = is_endless

    async def unary(self, request: Received, call: Call) -> Message:
        """Answers, or not."""
        await self._end()
        return PredictResponse()

    async def streamed(self, requests: AsyncIterator[bytes], call: Call) -> AsyncGenerator[Message, None]:
        """Answers once, then ends."""
        yield PredictResponse()
        await self._end()

    async def _end(self) -> None:
        if self.is_endless:
            await asyncio.Event().wait()
        if self.error is not None:
            raise self.error


async def no_requests() -> AsyncIterator[bytes]:
    """Sends nothing."""
    return
    yield b""


async def make(service: Service, recorder: Recorder, call: Call | None, *, is_streamed: bool) -> None:
    """Makes one call and gives it up where it does not end."""
    dispatcher = Dispatcher(
        unary={"Predict": service.unary},
        streamed={"StreamPredict": service.streamed},
        observer=recorder,
        clock=lambda: NOW,
    )

    async def serve() -> None:
        current_call.set(call)
        if is_streamed:
            async for _ in dispatcher.streamed("StreamPredict", no_requests(), FakeContext()):
                pass
        else:
            await dispatcher.unary("Predict", b"", FakeContext())

    task = asyncio.get_running_loop().create_task(serve())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if service.is_endless:
        task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(
    ("service", "deadline", "code", "reason"),
    [
        (Service(), None, "OK", None),
        (Service(Refusal(Reason.QUEUE_FULL, "Full.")), None, "RESOURCE_EXHAUSTED", Reason.QUEUE_FULL),
        (Service(ValueError("a bug")), None, "INTERNAL", Reason.INFERENCE_FAILED),
        (Service(is_endless=True), None, "CANCELLED", None),
        (Service(is_endless=True), NOW + 0.001, "CANCELLED", None),
        (Service(is_endless=True), NOW, "DEADLINE_EXCEEDED", None),
    ],
)
async def test_each_ends_in_one_record(
    is_streamed: bool, service: Service, deadline: float | None, code: str, reason: Reason | None
) -> None:
    """Whatever ended it; gRPC cancels what has run out of time, and tells the client so."""
    recorder = Recorder()
    call = Call(method="/service/Method", received_at=48.0, rpc_deadline=deadline)
    await make(service, recorder, call, is_streamed=is_streamed)
    [record] = recorder.rpcs
    assert record.call is call
    assert (record.code, record.reason, record.is_streamed) == (code, reason, is_streamed)
    assert (record.method, record.ended_at, record.duration) == ("Method", NOW, 2.0)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_one_past_the_seam_is_told_too(is_streamed: bool) -> None:
    """Nothing is known of it but its method."""
    recorder = Recorder()
    await make(Service(), recorder, None, is_streamed=is_streamed)
    [record] = recorder.rpcs
    assert (record.code, record.reason) == ("UNAVAILABLE", Reason.MODEL_LOADING)
    assert (record.method, record.duration) == ("StreamPredict" if is_streamed else "Predict", 0.0)


async def test_a_stream_that_its_client_leaves_is_cancelled() -> None:
    """GRPC closes the generator of responses, which is no error of ours."""
    recorder = Recorder()
    current_call.set(Call(method="/service/StreamPredict", received_at=48.0))
    dispatcher = Dispatcher(unary={}, streamed={"StreamPredict": Service().streamed}, observer=recorder)
    stream = dispatcher.streamed("StreamPredict", no_requests(), FakeContext())
    await anext(stream)
    assert recorder.rpcs == []
    await stream.aclose()
    assert [record.code for record in recorder.rpcs] == ["CANCELLED"]
