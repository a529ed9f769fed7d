"""Laws of the due predictions' records: one for each place, of what the place was for in the end."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.rpc.tick_service import TickService
from server.windows.memory_window_store import MemoryWindowStore
from tests.support.fakes import settle
from tests.support.observed import Recorder
from tests.support.tick_streams import HeldEngine, Stream, row, tick_service


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


def records(service: TickService) -> list[RequestRecord]:
    """Returns what has ended so far."""
    assert isinstance(service.watcher.observer, Recorder)
    return service.watcher.observer.requests


@pytest.mark.parametrize("conflate", [False, True])
async def test_each_answer_is_one_record(service: TickService, held: HeldEngine, conflate: bool) -> None:
    """With its symbol, its class and its stages; what was replaced while it waited leaves none."""
    stream = Stream(service)
    await stream.fill("A", conflate=conflate)
    await stream.send(row("A", 60))
    await held.until_held()
    await stream.send(*(row("A", sequence) for sequence in range(61, 64)))
    assert records(service)[:-1] == records(service) == []
    held.gate.set()
    await stream.half_close()
    await stream.end()
    assert len(records(service)) == len(stream.predictions()) == (2 if conflate else 4)
    for record in records(service):
        assert (record.kind, record.outcome, record.symbol) == (RequestKind.TICK, Outcome.ANSWERED, "A")
        assert record.answer is not None
        # Of the newest tick that the answer is about.
        assert record.received_at == record.answer.task.received_at
        assert record.deadline == record.answer.task.deadline
        assert record.stages is not None
        assert record.duration >= record.stages.inference >= 0
    newest = [record.answer.task.origin.last_sequence for record in records(service) if record.answer is not None]
    assert newest == [told.prediction.sequence for told in stream.of("prediction")]


@pytest.mark.parametrize("conflate", [False, True])
async def test_a_client_that_goes_cancels_all_that_was_due(
    service: TickService, held: HeldEngine, conflate: bool
) -> None:
    """What is computed, what waits for the engine, and what waits for a place on its stream."""
    names = [f"S{number}" for number in range(8)]
    stream = Stream(service)
    await stream.fill(*names, conflate=conflate)
    await stream.send(row("S0", 60))
    await held.until_held()
    await stream.send(*(row(name, 60) for name in names[1:]))
    assert records(service) == []
    stream.task.cancel()
    await settle()
    # Four messages may be in flight: without conflation the fifth that is due holds the reader up.
    due = names if conflate else names[:5]
    assert sorted(record.symbol for record in records(service)) == due
    assert {record.outcome for record in records(service)} == {Outcome.CANCELLED}
