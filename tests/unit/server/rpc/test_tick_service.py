"""Laws of `StreamTicks` on the server: order within a symbol, time from receipt, bounds, and a clean end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from server.rpc.tick_service import TickService
from server.windows.memory_window_store import MemoryWindowStore
from tests.support import messages as m
from tests.support.fakes import settle
from tests.support.raw_client import read_status
from tests.support.tick_streams import CALL, NOW, FakePredictor, Stream, row, tick_service
from tickserve.v1.prediction_service_pb2 import StreamTicksRequest
from tickserve.v1.tick_pb2 import ResumePoint, Watermark


@pytest.fixture
def predictor() -> FakePredictor:
    """Answers nothing by itself."""
    return FakePredictor()


@pytest.fixture
def windows() -> MemoryWindowStore:
    """Has room for two symbols."""
    return MemoryWindowStore(max_symbols=2)


@pytest.fixture
def service(predictor: FakePredictor, windows: MemoryWindowStore) -> TickService:
    """The service around them."""
    return tick_service(predictor, windows)


def watermark() -> StreamTicksRequest:
    """Returns a watermark of now."""
    return StreamTicksRequest(watermark=Watermark(event_time=Timestamp(seconds=int(NOW))))


async def check_symbols_are_free(service: TickService) -> None:
    """Asserts that the store has room for two others: nobody holds a symbol."""
    stream = Stream(service)
    assert await stream.send(m.opening("FREE1", "FREE2")) == ["opened"]
    stream.task.cancel()
    await settle()


async def test_answers_of_one_symbol_come_in_order(service: TickService, predictor: FakePredictor) -> None:
    """A later answer waits for the earlier one of its symbol, but not for those of other symbols."""
    stream = Stream(service)
    await stream.fill("A", "B")
    await stream.send(row("A", 60), row("A", 61), row("B", 60))
    assert [task.origin.symbol for task in predictor.tasks] == ["A", "A", "B"]
    predictor.expire(1)
    await settle()
    assert stream.errors() == []
    predictor.expire(2)
    await settle()
    predictor.expire(0)
    await settle()
    assert [(symbol, sequence) for symbol, sequence, _ in stream.errors()] == [("B", 60), ("A", 60), ("A", 61)]
    await stream.half_close()
    await stream.end()


async def test_answers_to_ticks_are_not_cached(service: TickService, predictor: FakePredictor) -> None:
    """A stream's windows never come again: keeping them would push out what does. They share executions, though."""
    stream = Stream(service)
    await stream.fill("A")
    await stream.send(row("A", 60))
    [task] = predictor.tasks
    assert (task.cacheable, task.shareable) == (False, True)
    await stream.half_close()
    predictor.expire()
    await stream.end()


async def test_validity_counts_from_receipt(service: TickService, predictor: FakePredictor) -> None:
    """Time that a tick spent waiting for a place on its own stream is gone from its `valid_duration`."""
    stream = Stream(service)
    await stream.fill("A")
    await stream.send(*(row("A", sequence) for sequence in range(60, 64)))
    received = predictor.clock = 2000.0
    await stream.send(row("A", 64, valid_duration=m.duration(3)))
    assert len(predictor.tasks) == 4  # the stream is full: the fifth waits
    predictor.clock = 2002.0
    predictor.expire(0)
    await settle()
    assert predictor.tasks[4].origin.last_sequence == 64
    assert (predictor.tasks[4].received_at, predictor.tasks[4].deadline) == (received, received + 3)
    assert predictor.tasks[0].deadline == 1060.0
    stream.task.cancel()


async def test_what_is_computed_again_has_its_own_time(service: TickService, predictor: FakePredictor) -> None:
    """A long list of owed answers does not expire while it waits for places: each counts from its turn."""
    stream = Stream(service)
    await stream.fill("A")
    await stream.send(*(row("A", sequence) for sequence in range(60, 64)))
    predictor.expire()
    await settle()
    await stream.send(*(row("A", sequence) for sequence in range(64, 66)))
    stream.task.cancel()
    await settle()
    predictor.tasks.clear()
    predictor.ends.clear()
    returned = Stream(service)
    await returned.send(m.opening("A", resume=[ResumePoint(symbol="A", last_answered_sequence=59)]))
    assert len(predictor.tasks) == 4
    predictor.clock = 1005.0
    predictor.expire(0, 1)
    await settle()
    assert [task.deadline for task in predictor.tasks] == [1060.0] * 4 + [1060.0, 1065.0]
    assert [task.origin.last_sequence for task in predictor.tasks] == list(range(60, 66))
    returned.task.cancel()


async def test_a_full_stream_reads_no_further(service: TickService, predictor: FakePredictor) -> None:
    """With all places taken one more message is read, none after it; each answer lets one more in."""
    stream = Stream(service)
    await stream.fill("A")
    read = stream.read_count
    await stream.send(*(row("A", sequence) for sequence in range(60, 80)))
    assert (stream.read_count, len(predictor.tasks)) == (read + 5, 4)
    predictor.expire(0)
    await settle()
    assert (stream.read_count, len(predictor.tasks)) == (read + 6, 5)
    stream.task.cancel()


async def test_half_closing_waits_for_due_predictions(service: TickService, predictor: FakePredictor) -> None:
    """Then the stream ends, is no longer counted, and its symbols are free."""
    stream = Stream(service)
    await stream.fill("A")
    await stream.send(row("A", 60))
    await stream.half_close()
    assert not stream.task.done()
    assert service.open_stream_count == 1
    predictor.expire()
    await stream.end()
    assert stream.refusal is None
    assert read_status(stream.responses[-1].error.error).reason == "EXPIRED_IN_QUEUE"
    assert service.open_stream_count == 0
    await check_symbols_are_free(service)


async def test_a_client_that_goes_cancels_its_predictions(service: TickService, predictor: FakePredictor) -> None:
    """What is due is given up at once, and nothing stays behind."""
    stream = Stream(service)
    await stream.fill("A")
    await stream.send(row("A", 60), row("A", 61))
    stream.task.cancel()
    await settle()
    assert [end.cancelled() for end in predictor.ends] == [True, True]
    assert service.open_stream_count == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await check_symbols_are_free(service)


async def test_a_client_that_goes_while_it_is_held_leaves_nothing(
    service: TickService, predictor: FakePredictor
) -> None:
    """The reader waits for a place, notices and heartbeats may, too: all end."""
    stream = Stream(service)
    await stream.fill("A", "B")
    stream.may_read.clear()
    await stream.send(*(row("A", sequence) for sequence in range(60, 70)))
    predictor.expire()
    await settle()
    predictor.expire()
    taker = Stream(service)
    await taker.send(m.opening("A", "B"))
    stream.task.cancel()
    taker.task.cancel()
    await settle()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert service.open_stream_count == 0
    await check_symbols_are_free(service)


async def test_closing_a_stream_ends_its_tasks_first(service: TickService, predictor: FakePredictor) -> None:
    """Whoever closes the generator finds nothing running afterwards."""
    requests: asyncio.Queue[bytes] = asyncio.Queue()

    async def read() -> AsyncIterator[bytes]:
        while True:
            yield await requests.get()

    stream = service.stream_ticks(read(), CALL)
    requests.put_nowait(m.opening("A").SerializeToString())
    assert (await anext(stream)).HasField("opened")
    await stream.aclose()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_refused_open_can_be_mended(service: TickService) -> None:
    """The stream lives on, and a better `open` is taken; a second is not."""
    stream = Stream(service)
    assert await stream.send(m.opening("A B"), m.opening("A"), m.opening("B")) == ["error", "opened", "error"]
    assert [reason for *_, reason in stream.errors()] == ["INVALID_SYMBOL", "STREAM_ALREADY_OPEN"]
    stream.task.cancel()


async def test_a_watermark_is_taken_in_silence(service: TickService) -> None:
    """Ready bars are closed as they come."""
    stream = Stream(service)
    assert await stream.send(m.opening("A"), watermark(), m.heartbeat()) == ["opened", "heartbeat"]
    stream.task.cancel()


async def test_a_busy_stream_gives_way(service: TickService) -> None:
    """A client whose messages are all there already, and are answered at once, does not stop the others."""
    turns = 0

    async def flood() -> AsyncIterator[bytes]:
        yield m.opening("A").SerializeToString()
        while turns < 20:  # without a turn of the loop it would never end
            yield watermark().SerializeToString()

    async def look_on() -> None:
        nonlocal turns
        while turns < 20:
            turns += 1
            await asyncio.sleep(0)

    looking = asyncio.create_task(look_on())
    assert [response async for response in service.stream_ticks(flood(), CALL)]
    await looking
