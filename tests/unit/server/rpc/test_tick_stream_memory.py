"""What a tick stream leaves in memory when it has ended: its symbols' windows, and nothing of its own."""

import gc
import weakref
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from server.rpc.tick_service import TickService
from server.rpc.tick_stream import TickStream
from server.ticks.tick_session import TickSession
from server.windows.memory_window_store import MemoryWindowStore
from tests.support.fakes import settle
from tests.support.tick_streams import HeldEngine, Stream, row, tick_service
from tests.support.windows import eventually


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is in a cycle stays, until the test collects it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest_asyncio.fixture
async def held() -> AsyncIterator[HeldEngine]:
    """An engine that computes at once."""
    held = HeldEngine()
    held.gate.set()
    await held.batcher.start()
    yield held
    await held.batcher.close()


def alive() -> list[str]:
    """Returns the names of the classes of what is left of streams."""
    kinds = (TickStream, TickSession)
    return [type(each).__name__ for each in gc.get_objects() if type(each) in kinds]


async def used(service: TickService, symbol: str) -> Stream:
    """Returns a stream that has been answered."""
    stream = Stream(service)
    await stream.fill(symbol, conflate=True)
    await stream.send(row(symbol, 60), row(symbol, 61))
    await eventually(lambda: bool(stream.predictions()))
    return stream


@pytest.mark.usefixtures("no_collector")
async def test_a_stream_that_ends_is_gone_at_once(held: HeldEngine) -> None:
    """Without the collector, which looks at what is old once in a long while: nothing is left in a cycle."""
    store = MemoryWindowStore(max_symbols=20)
    service = tick_service(held.predictor, store, engine=held.engine)
    for number in range(5):
        stream = await used(service, f"S{number}")
        [left] = [weakref.ref(each) for each in service._streams]
        assert left() is not None
        await stream.half_close()
        await stream.end()
        del stream
        await settle()
        assert left() is None
    assert alive() == []
    assert len(store) == 5


@pytest.mark.usefixtures("no_collector")
async def test_a_stream_whose_client_goes_is_collected(held: HeldEngine) -> None:
    """Tracebacks of its cancelled tasks hold it until then; nothing else does."""
    service = tick_service(held.predictor, MemoryWindowStore(max_symbols=20), engine=held.engine)
    for number in range(5):
        stream = await used(service, f"S{number}")
        stream.task.cancel()
        await settle()
    del stream
    gc.collect()
    assert alive() == []
    assert service.open_stream_count == 0
