"""A tick session of the asynchronous client, over a real socket."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import duration_pb2

from tests.unit.client.fake_service import FakeService, rich_status
from tickserve import (
    AsyncClient,
    Bar,
    DeadlineError,
    Drain,
    Durable,
    Gap,
    InvalidRequestError,
    Opened,
    Progress,
    StreamClosedError,
    TickFailure,
    TickPrediction,
    UnavailableError,
)
from tickserve.v1 import prediction_service_pb2, tick_pb2

START = datetime(2026, 1, 2, tzinfo=UTC)
BARS = [Bar(START + timedelta(hours=n), 1.0, 1.0, 1.0, 1.0) for n in range(10)]


async def test_a_session_from_open_to_end(service: FakeService) -> None:
    """Ticks are numbered, events come typed, and the iteration ends when all is answered."""
    service.state["B"] = (7, 3)
    async with AsyncClient(service.target) as client, client.stream_ticks(["A", "B"], routing_key="r") as stream:
        assert stream.opened.symbols["B"].next_sequence == 8
        await stream.history("A", BARS[:1])
        assert [await stream.tick("A", bar) for bar in BARS[1:3]] == [1, 2]
        assert await stream.tick("B", BARS[0]) == 8
        await stream.watermark(START)
        await stream.finish()
        events = [event async for event in stream]
    first, progress, answer, other = events
    assert isinstance(first, Opened)
    assert (first.model.name, first.bar_interval) == ("eurusd", 3600.0)
    assert progress == Progress("A", 1, 2, 3, duplicate=False)
    assert isinstance(answer, TickPrediction)
    assert (answer.symbol, answer.sequence, answer.prediction.label) == ("A", 2, "buy")
    assert isinstance(other, TickPrediction)
    assert (other.symbol, other.sequence) == ("B", 8)
    assert service.metadata["x-tickserve-routing-key"] == "r"


async def test_every_kind_of_event_is_typed(service: FakeService) -> None:
    """Each answer of the contract has its event; heartbeats have none."""
    response = prediction_service_pb2.StreamTicksResponse
    service.script = [
        response(durable=tick_pb2.TickDurable(symbol="A", sequence=4)),
        response(heartbeat=tick_pb2.Heartbeat()),
        response(gap=tick_pb2.TickGap(symbol="A", sequence=9, first_missing_sequence=5, last_missing_sequence=8)),
        response(drain=tick_pb2.StreamDrain(grace_duration=duration_pb2.Duration(seconds=2))),
        response(),
    ]
    async with AsyncClient(service.target) as client, client.stream_ticks("A") as stream:
        await stream.finish()
        events = [event async for event in stream]
    assert events[1:] == [Durable("A", 4), Gap("A", 9, 5, 8), Drain(2.0)]


async def test_a_failure_in_mid_stream_is_an_event(service: FakeService) -> None:
    """A refused tick does not end the stream; it is named by symbol and number."""
    async with AsyncClient(service.target) as client, client.stream_ticks(["A"]) as stream:
        await stream.tick("unopened", BARS[0])
        await stream.tick("A", BARS[0])
        await stream.finish()
        _, failure, progress = [event async for event in stream]
    assert isinstance(failure, TickFailure)
    assert (failure.symbol, failure.sequence, failure.error.reason) == ("unopened", 1, "SYMBOL_NOT_OPEN")
    assert isinstance(progress, Progress)


async def test_a_refused_open_raises_on_entry(service: FakeService) -> None:
    """Whether the refusal comes in the stream or ends it, `async with` raises it."""
    async with AsyncClient(service.target) as client:
        with pytest.raises(InvalidRequestError, match="INVALID_SYMBOL"):
            async with client.stream_ticks(["A!"]):
                raise AssertionError("it is not open")
        service.refusal = rich_status(grpc.StatusCode.UNAVAILABLE, "MODEL_LOADING")
        with pytest.raises(UnavailableError, match="MODEL_LOADING"):
            async with client.stream_ticks(["A"]):
                raise AssertionError("it is not open")


async def test_an_open_without_an_answer_ends_in_time(service: FakeService) -> None:
    """A silent service does not hold the caller for ever."""
    service.silent = True
    async with AsyncClient(service.target) as client:
        with pytest.raises(DeadlineError, match=r"within 0\.05 s"):
            async with client.stream_ticks(["A"], open_timeout=0.05):
                raise AssertionError("it is not open")


async def test_a_broken_stream_raises_where_it_is_read_and_written(service: FakeService) -> None:
    """Reader and writers are told the same reason."""
    service.end_ticks_with = rich_status(grpc.StatusCode.UNAVAILABLE, "DRAINING")
    async with AsyncClient(service.target) as client, client.stream_ticks(["A"], resume=None) as stream:
        await stream.tick("A", BARS[0])
        with pytest.raises(UnavailableError, match="DRAINING"):
            [event async for event in stream]
        with pytest.raises(UnavailableError, match="DRAINING"):
            await stream.tick("A", BARS[1])


async def test_nothing_is_sent_after_the_end(service: FakeService) -> None:
    """Writing after `finish`, after the end, after `close` and before the start is told apart from a failure."""
    async with AsyncClient(service.target) as client:
        stream = client.stream_ticks(["A"])
        with pytest.raises(StreamClosedError, match="async with"):
            await stream.tick("A", BARS[0])
        with pytest.raises(StreamClosedError, match="async with"):
            await anext(stream)
        async with stream:
            await stream.finish()
            with pytest.raises(StreamClosedError, match="finish"):
                await stream.tick("A", BARS[0])
            assert len([event async for event in stream]) == 1
        with pytest.raises(StreamClosedError, match="closed"):
            await stream.tick("A", BARS[0])


async def test_close_ends_a_waiting_reader(service: FakeService) -> None:
    """Another task may end the session; its reader sees the end of the events, not an error."""
    async with AsyncClient(service.target) as client, client.stream_ticks(["A"]) as stream:
        assert isinstance(await anext(stream), Opened)
        reader = asyncio.create_task(read_all(stream))
        await asyncio.sleep(0)
        await stream.close()
        assert await reader == []


async def test_cancelling_a_reader_is_a_cancellation(service: FakeService) -> None:
    """A cancelled task must not believe that the stream ended in good order."""
    async with AsyncClient(service.target) as client, client.stream_ticks(["A"]) as stream:
        await anext(stream)
        reader = asyncio.create_task(read_all(stream))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader


async def test_a_silent_writer_sends_heartbeats(service: FakeService) -> None:
    """A stream without ticks stays alive, without a word to its user."""
    service.heartbeat_interval = 0.01
    async with AsyncClient(service.target) as client, client.stream_ticks(["A"]) as stream:
        assert await asyncio.to_thread(service.heartbeat_received.wait, 10)
        await stream.tick("A", BARS[0])
        await stream.finish()
        events = [event async for event in stream]
    assert [type(event) for event in events] == [Opened, Progress]


async def test_many_writers_keep_each_symbols_order(service: FakeService) -> None:
    """Ticks leave in the order of their numbers, whoever writes them."""
    symbols = [f"S{n}" for n in range(4)]
    async with AsyncClient(service.target) as client, client.stream_ticks(symbols) as stream:

        async def write(symbol: str) -> None:
            for bar in BARS:
                await stream.tick(symbol, bar)

        reader = asyncio.create_task(read_all(stream))
        await asyncio.gather(*(write(symbol) for symbol in symbols * 2))
        await stream.finish()
        await reader
    for symbol in symbols:
        ticks = [m.tick for m in service.received if m.WhichOneof("message") == "tick"]
        sent = [tick.sequence for tick in ticks if tick.symbol == symbol]
        assert sent == list(range(1, 2 * len(BARS) + 1))


async def read_all(stream: Any) -> list[Any]:
    """Reads a stream to its end."""
    return [event async for event in stream]
