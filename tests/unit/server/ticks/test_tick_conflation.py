"""Laws of conflation, with a real scheduler and an engine that is held: only what waits is superseded."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio

from batching import SchedulerConfig
from server.refusal import Refusal
from server.rpc.tick_service import TickService
from server.windows.memory_window_store import MemoryWindowStore
from tests.support import messages as m
from tests.support.fakes import served_model, settle
from tests.support.tick_streams import FakePredictor, HeldEngine, Stream, row, tick_service
from tests.support.windows import eventually
from tickserve.v1.tick_pb2 import BarCorrection, WindowReset


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
    """Returns a stream with a place whose first prediction is over at 1001 and whose second, later one at 1030.5."""
    stream = Stream(service)
    await stream.fill("A", conflate=True)
    await stream.send(row("A", 60, valid_duration=m.duration(1)))
    predictor.clock = 1000.5
    await stream.send(row("A", 61, valid_duration=m.duration(30)))
    return stream


async def test_a_place_is_kept_for_the_newest() -> None:
    """The scheduler does not end it by the older one's time, but by the longest that anything may take."""
    predictor = FakePredictor()
    service = tick_service(predictor, MemoryWindowStore(max_symbols=1))
    stream = await conflated_pair(service, predictor)
    [task] = predictor.tasks
    assert task.deadline == 1000.0 + service.settings.max_timeout
    late = task.work.late
    assert late is not None
    assert (late.received_at, late.deadline) == (1000.5, 1030.5)
    stream.task.cancel()


async def test_a_place_goes_when_the_newest_is_over() -> None:
    """Not when an older one is: what has a newer one waits on."""
    predictor = FakePredictor()
    service = tick_service(predictor, MemoryWindowStore(max_symbols=2))
    stream = Stream(service)
    await stream.fill("A", "B", conflate=True)
    short = m.duration(nanos=10_000_000)
    # The timers are real, so they look in this order; what time it is the test says.
    await stream.send(row("A", 60, valid_duration=short), row("B", 60, valid_duration=short))
    await stream.send(row("A", 61, valid_duration=m.duration(30)), row("B", 61, valid_duration=short))
    predictor.clock += 1
    await eventually(lambda: bool(stream.errors()))
    assert stream.errors() == [("B", 61, "EXPIRED_IN_QUEUE")]
    assert [end.cancelled() for end in predictor.ends] == [False, True]
    assert len(predictor.tasks) == 2
    await stream.send(row("B", 62))
    assert len(predictor.tasks) == 3  # a symbol that had an error is answered as ever
    stream.task.cancel()


async def test_a_crowd_waits_and_is_not_refused(service: TickService, held: HeldEngine) -> None:
    """However late the scheduler predicts them to be: by then there may be newer ones, which are in time."""
    names = [f"S{number}" for number in range(4)]
    stream = Stream(service)
    await stream.fill(*names, conflate=True)
    for size in (1, 4):
        held.batcher.observe_warm_up(served_model().sha256, size, 45.0)
    await stream.send(row("S0", 60))
    await held.until_held()
    # No gaps: to tell of one takes a place, which a full stream has not, and nothing is read until it has.
    await stream.send(*(row(name, 60) for name in names[1:]))
    for sequence in (61, 62, 63):
        await stream.send(*(row(name, sequence) for name in names))
    assert stream.errors() == []
    await finish(held, stream)
    expected = [("S0", 60, 60, 0), ("S0", 61, 63, 2), *((name, 60, 63, 3) for name in names[1:])]
    assert sorted(stream.predictions()) == expected


async def test_a_full_queue_refuses_the_newest_only(service: TickService, held: HeldEngine) -> None:
    """That is certain; it is told once for all that waited in the place, and the next tick asks again."""
    stream = Stream(service)
    await stream.fill("A", "B", "C", conflate=True)
    await stream.send(row("A", 60))
    await held.until_held()
    held.batcher.reconfigure(SchedulerConfig(max_batch_size=4, max_total_queue_size=1))
    await stream.send(row("B", 61), row("B", 62), row("C", 61))
    assert stream.errors() == [("C", 61, "QUEUE_FULL")]
    await stream.send(row("B", 63))
    held.batcher.reconfigure(SchedulerConfig(max_batch_size=4))
    await stream.send(row("C", 62), row("C", 63))
    await finish(held, stream)
    assert sorted(stream.predictions()) == [("A", 60, 60, 0), ("B", 61, 63, 2), ("C", 62, 63, 1)]


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


@pytest.mark.parametrize("disturbance", ["correction", "reset", "history", "gap", "takeover"])
async def test_the_window_is_that_of_its_tick(held: HeldEngine, disturbance: str) -> None:
    """Copied late, but as it was then: what becomes of the rows while it waits is no part of it."""
    store, model = MemoryWindowStore(max_symbols=20), served_model()
    service = tick_service(held.predictor, store, engine=held.engine)
    stream, other = Stream(service), Stream(service)
    digests: dict[int, str] = {}

    async def tick(sequence: int, **event: object) -> None:
        await stream.send(m.tick("B", sequence, **event))
        with contextlib.suppress(Refusal):  # a reset leaves no window
            window, _ = await store.window("B", model.config, max_age=None)
            digests[sequence] = hashlib.sha256(np.ascontiguousarray(window).tobytes()).hexdigest()

    past = [m.bar(index) for index in range(200)]
    await stream.send(m.opening("A", "B", conflate=True), m.history("A", past, 199), m.history("B", past, 199))
    await stream.send(m.tick("A", 200))
    await held.until_held()
    await tick(200)
    await tick(201)
    match disturbance:
        case "correction":
            await tick(202, correction=BarCorrection(bar=m.bar(201, volume=7.0)))
        case "reset":
            await tick(202, reset=WindowReset())
        case "history":
            await stream.send(m.history("B", [m.bar(index) for index in range(202, 205)], 204))
        case "gap":
            stream.may_read.clear()
            await tick(210)
        case _:
            await other.send(m.opening("B"), m.tick("B", 202), m.tick("B", 203, reset=WindowReset()))
    held.gate.set()
    stream.may_read.set()
    await eventually(lambda: any(symbol == "B" for symbol, *_ in stream.predictions()))
    told = next(response.prediction for response in stream.of("prediction") if response.prediction.symbol == "B")
    assert told.sequence == {"correction": 202, "gap": 210}.get(disturbance, 201)
    assert told.prediction.input.sha256 == digests[told.sequence]
    for each in (stream, other):
        await each.half_close()
        await each.end()
