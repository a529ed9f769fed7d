"""`stream_predict` over a real socket: each item ends once, by its id, and errors go to whoever must see them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import grpc
import numpy as np
import pytest

from tests.unit.client.fake_service import FakeService, rich_status
from tickserve import (
    AsyncClient,
    Client,
    OverloadedError,
    Prediction,
    Result,
    StreamClosedError,
    StreamItem,
    UnavailableError,
)

WINDOW = np.zeros((2, 3), dtype=np.float32)
ITEMS = [StreamItem("1", WINDOW), StreamItem("bad2", WINDOW), StreamItem("3", symbol="EURUSD")]


async def collect(service: FakeService, items: list[StreamItem], kind: str) -> list[tuple[str, Result]]:
    """Answers items with one of the two clients."""
    if kind == "async":
        async with AsyncClient(service.target) as client:
            return [answer async for answer in client.stream_predict(items, routing_key="r")]

    def call() -> list[tuple[str, Result]]:
        with Client(service.target) as client:
            return list(client.stream_predict(items, routing_key="r"))

    return await asyncio.to_thread(call)


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which client."""
    return str(request.param)


async def test_every_item_ends_once(service: FakeService, kind: str) -> None:
    """Answers come in the service's order, each with its item's id; a refused item does not end the stream."""
    answers = await collect(service, ITEMS, kind)
    assert [request_id for request_id, _ in answers] == ["bad2", "1", "3"]
    results = dict(answers)
    assert isinstance(results["1"], Prediction)
    assert isinstance(error := results["bad2"], OverloadedError)
    assert (error.reason, error.retry_delay) == ("QUEUE_FULL", 0.25)
    assert service.metadata["x-tickserve-routing-key"] == "r"
    assert service.time_remaining is None or service.time_remaining > 1e6, "a stream has no deadline of its own"


async def test_no_items_no_answers(service: FakeService, kind: str) -> None:
    """An empty stream ends in good order."""
    assert await collect(service, [], kind) == []


async def test_a_refused_stream_raises(service: FakeService, kind: str) -> None:
    """A stream that ends with a status raises it."""
    service.refusal = rich_status(grpc.StatusCode.UNAVAILABLE, "DRAINING", retry_delay=1.0)
    with pytest.raises(UnavailableError, match="DRAINING"):
        await collect(service, ITEMS, kind)


@pytest.mark.parametrize("position", [0, 2])
async def test_a_bad_item_is_raised_where_answers_are_read(service: FakeService, kind: str, position: int) -> None:
    """What cannot be sent is told to the caller as it is, not as a cancelled call."""
    items = [*ITEMS[:position], StreamItem("wrong", np.zeros(3))]
    with pytest.raises(ValueError, match="features, steps"):
        await collect(service, items, kind)


async def test_items_may_come_asynchronously(service: FakeService) -> None:
    """Items are taken one by one while answers are given: the third waits for the answer to the first."""
    answered = asyncio.Event()

    async def items() -> AsyncIterator[StreamItem]:
        yield ITEMS[0]
        yield ITEMS[1]
        await answered.wait()
        yield ITEMS[2]

    got = []
    async with AsyncClient(service.target) as client:
        async for request_id, _ in client.stream_predict(items()):
            got.append(request_id)
            answered.set()
    assert got == ["bad2", "1", "3"]


async def test_leaving_early_cancels_the_stream(service: FakeService) -> None:
    """A caller who has seen enough leaves nothing running, here or there."""
    closed = asyncio.Event()

    async def items() -> AsyncGenerator[StreamItem, None]:
        try:
            while True:
                yield ITEMS[0]
                await asyncio.sleep(0)
        finally:
            closed.set()

    async with AsyncClient(service.target) as client:
        source = items()
        answers = client.stream_predict(source)
        await anext(answers)
        await answers.aclose()
        await source.aclose()
    assert closed.is_set()
    assert await asyncio.to_thread(service.cancelled.wait, 10)


async def test_a_refusal_is_never_lost_to_a_late_write(service: FakeService) -> None:
    """However the end of the stream and a write meet, the caller is told the service's reason."""
    service.refusal = rich_status(grpc.StatusCode.UNAVAILABLE, "DRAINING")
    async with AsyncClient(service.target) as client:
        for _ in range(100):
            with pytest.raises(UnavailableError, match="DRAINING"):
                [answer async for answer in client.stream_predict(ITEMS * 50)]
            with pytest.raises(UnavailableError, match="DRAINING"):
                await client.stream_ticks(["A"]).__aenter__()


async def test_closing_the_client_is_not_a_cancellation(service: FakeService) -> None:
    """A reader whose client was closed under it is told so; only its own cancellation looks like one."""
    hold = asyncio.Event()

    async def items() -> AsyncIterator[StreamItem]:
        yield ITEMS[0]
        yield ITEMS[1]
        await hold.wait()

    client = AsyncClient(service.target)
    answers = client.stream_predict(items())
    await anext(answers)
    await anext(answers)
    await client.close()
    with pytest.raises(StreamClosedError, match="client was closed"):
        await anext(answers)


async def test_cancelling_the_reader_cancels_the_stream(service: FakeService) -> None:
    """A cancelled task ends as cancelled, and so does its call."""
    started = asyncio.Event()

    async def items() -> AsyncIterator[StreamItem]:
        started.set()
        await asyncio.get_running_loop().create_future()
        yield ITEMS[0]  # never

    async def read() -> None:
        async with AsyncClient(service.target) as client:
            async for _ in client.stream_predict(items()):
                raise AssertionError("nothing was sent")

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_leaving_early_cancels_the_sync_stream(service: FakeService) -> None:
    """As the asynchronous one."""

    def items() -> Iterator[StreamItem]:
        while True:
            yield ITEMS[0]

    with Client(service.target) as client:
        answers = client.stream_predict(items())
        next(answers)
        answers.close()
    assert service.cancelled.wait(10)
