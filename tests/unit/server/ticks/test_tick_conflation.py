"""Laws of conflation, with a real scheduler and an engine that is held: only what waits is superseded."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from batching import PredictedDeadlineMissError
from server.rpc.tick_service import TickService
from server.windows.memory_window_store import MemoryWindowStore
from tests.support import messages as m
from tests.support.fakes import settle
from tests.support.tick_streams import FakePredictor, HeldEngine, Stream, row, tick_service
from tests.support.windows import eventually


@pytest_asyncio.fixture
async def held() -> AsyncIterator[HeldEngine]:
    """An engine that waits."""
    held = HeldEngine()
    await held.batcher.start()
    yield held
    held.gate.set()
    await held.batcher.close()


@pytest.fixture
def service(held: HeldEngine) -> TickService:
    """A service on it, with four messages in flight a stream."""
    return tick_service(held.predictor, MemoryWindowStore(max_symbols=20), engine=held.engine)


def digest(sequence: int) -> str:
    """Returns the digest of the window whose newest row has that number."""
    window = np.tile(np.arange(sequence - 59, sequence + 1, dtype=np.float32), (50, 1))
    return hashlib.sha256(window.tobytes()).hexdigest()


async def finish(held: HeldEngine, stream: Stream) -> None:
    """Lets the engine compute and the stream end."""
    held.gate.set()
    await stream.half_close()
    await stream.end()


async def test_the_newest_replaces_what_waits(service: TickService, held: HeldEngine) -> None:
    """Not what the engine computes; the answer says what it stands for, and has the newest window and its evidence."""
    stream = Stream(service)
    await stream.fill("A", conflate=True)
    await stream.send(row("A", 60))
    await held.until_held()
    await stream.send(*(row("A", sequence) for sequence in range(61, 70)))
    assert stream.read_count == 70
    assert service.counters.conflated == 8
    await finish(held, stream)
    assert stream.predictions() == [("A", 60, 60, 0), ("A", 61, 69, 8)]
    for response in stream.of("prediction"):
        told = response.prediction
        assert told.prediction.input.last_sequence == told.sequence
        assert told.prediction.input.sha256 == digest(told.sequence)
    assert service.counters.applied == 69
    assert sum(len(batch) for batch in held.engine.batches) == 2


async def test_without_conflation_each_is_answered(service: TickService, held: HeldEngine) -> None:
    """However long they wait."""
    stream = Stream(service)
    await stream.fill("A")
    await stream.send(*(row("A", sequence) for sequence in range(60, 70)))
    await held.until_held()
    await finish(held, stream)
    assert stream.predictions() == [("A", sequence, sequence, 0) for sequence in range(60, 70)]
    assert service.counters.conflated == 0


async def test_each_symbol_has_a_place_of_its_own(service: TickService, held: HeldEngine) -> None:
    """One that ticks fast neither replaces others nor is served before them again and again."""
    stream = Stream(service)
    await stream.fill("A", "B", "C", conflate=True)
    await stream.send(row("A", 60))
    await held.until_held()
    await stream.send(row("B", 60), row("A", 61), row("C", 60), *(row("A", sequence) for sequence in range(62, 66)))
    await finish(held, stream)
    assert sorted(stream.predictions()) == [("A", 60, 60, 0), ("A", 61, 65, 4), ("B", 60, 60, 0), ("C", 60, 60, 0)]


async def test_a_full_stream_is_still_read(service: TickService, held: HeldEngine) -> None:
    """Those that have no place yet are replaced, too: whoever is answered last is answered with the newest window."""
    names = [f"S{number}" for number in range(8)]
    stream = Stream(service)
    await stream.fill(*names, conflate=True)
    await stream.send(row("S0", 60))
    await held.until_held()
    for sequence in (60, 61, 62):
        await stream.send(*(row(name, sequence) for name in names if (name, sequence) != ("S0", 60)))
    assert stream.read_count == 1 + 8 * 62
    assert stream.responses[-1].HasField("progress")  # nothing but the warm-up has been answered
    assert stream.kinds().count("prediction") == 0
    await finish(held, stream)
    expected = [("S0", 60, 60, 0), ("S0", 61, 62, 1), *((name, 60, 62, 2) for name in names[1:])]
    assert sorted(stream.predictions()) == expected


async def test_only_due_ones_are_conflated(service: TickService, held: HeldEngine) -> None:
    """With `predict_every` the ticks between are applied, and acknowledged while there is room to say so."""
    stream = Stream(service)
    await stream.fill("A", conflate=True, predict_every=2)
    await stream.send(row("A", 60))
    await held.until_held()
    await stream.send(*(row("A", sequence) for sequence in range(61, 65)))
    await finish(held, stream)
    assert stream.predictions() == [("A", 60, 60, 0), ("A", 62, 64, 1)]
    assert [told.progress.sequence for told in stream.of("progress")][-2:] == [61, 63]


async def test_errors_reach_the_client(service: TickService, held: HeldEngine) -> None:
    """Once for each place, with the newest number; the next ticks are answered as ever."""
    held.engine.error = RuntimeError("broken")
    stream = Stream(service)
    await stream.fill("A", conflate=True)
    await stream.send(row("A", 60))
    await held.until_held()
    await stream.send(row("A", 61), row("A", 62))
    held.gate.set()
    await eventually(lambda: len(stream.errors()) == 2)
    held.engine.error = None
    await stream.send(row("A", 63))
    await finish(held, stream)
    assert stream.errors() == [("A", 60, "INFERENCE_FAILED"), ("A", 62, "INFERENCE_FAILED")]
    assert stream.predictions() == [("A", 63, 63, 0)]


async def test_a_client_that_goes_leaves_nothing(service: TickService, held: HeldEngine) -> None:
    """Neither in the queue, nor among those that had no place yet."""
    names = [f"S{number}" for number in range(8)]
    stream = Stream(service)
    await stream.fill(*names, conflate=True)
    before = asyncio.all_tasks() - {stream.task}
    await stream.send(row("S0", 60))
    await held.until_held()
    await stream.send(*(row(name, sequence) for sequence in (61, 62) for name in names))
    stream.task.cancel()
    await settle()
    assert sum(held.batcher.statistics().queue_size.values()) == 0
    assert asyncio.all_tasks() <= before
    assert service.open_stream_count == 0


async def conflated_pair(service: TickService, predictor: FakePredictor) -> Stream:
    """Returns a stream with a place whose first prediction is over at 1001 and whose second, later one at 1030."""
    stream = Stream(service)
    await stream.fill("A", conflate=True)
    await stream.send(row("A", 60, valid_duration=m.duration(1)))
    predictor.clock = 1000.5
    await stream.send(row("A", 61, valid_duration=m.duration(30)))
    assert [task.deadline for task in predictor.tasks] == [1001.0]
    return stream


@pytest.mark.parametrize("refused", [False, True])
async def test_a_place_that_expires_is_asked_for_again(refused: bool) -> None:
    """Its time was the older one's: the newer one, which has some left, gets a place with its own."""
    predictor = FakePredictor()
    service = tick_service(predictor, MemoryWindowStore(max_symbols=1))
    stream = await conflated_pair(service, predictor)
    if refused:
        predictor.ends[0].set_exception(PredictedDeadlineMissError(2.0, 1.0))
    else:
        predictor.expire(0)
    await settle()
    assert [task.deadline for task in predictor.tasks] == [1001.0, 1030.5]
    assert predictor.tasks[1].received_at == 1000.5
    assert stream.errors() == []
    await stream.send(row("A", 62, valid_duration=m.duration(1)))
    predictor.expire(1)  # the newest has no more time than the place had
    await settle()
    assert stream.errors() == [("A", 62, "EXPIRED_IN_QUEUE")]
    assert len(predictor.tasks) == 2
    stream.task.cancel()


async def test_one_that_a_batch_has_taken_is_over_when_it_expires() -> None:
    """The newer ones have a place of their own, and come after it."""
    predictor = FakePredictor()
    service = tick_service(predictor, MemoryWindowStore(max_symbols=1))
    stream = await conflated_pair(service, predictor)
    late = predictor.tasks[0].work.late
    assert late is not None
    late.bind()
    await stream.send(row("A", 62))
    assert len(predictor.tasks) == 2
    predictor.expire(1)
    await settle()
    assert stream.errors() == []
    predictor.expire(0)
    await settle()
    assert [sequence for _, sequence, _ in stream.errors()] == [61, 62]
    stream.task.cancel()
