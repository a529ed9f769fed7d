"""Laws of what a tick stream tells beside its answers, and of how it ends: durable, lost, drain, age, bounds."""

import asyncio

import pytest

from server.config.window_settings import WindowSettings
from server.rpc.tick_service import TickService
from tests.support import messages as m
from tests.support.fakes import settle
from tests.support.tick_streams import NOW, FakePredictor, Stream, ToldStore, row, tick_service
from tests.support.windows import eventually


@pytest.fixture
def predictor() -> FakePredictor:
    """Answers nothing by itself."""
    return FakePredictor()


@pytest.fixture
def store() -> ToldStore:
    """Nothing is durable until a test says so."""
    return ToldStore(max_symbols=10)


@pytest.fixture
def service(predictor: FakePredictor, store: ToldStore) -> TickService:
    """The service with default settings."""
    return tick_service(predictor, store)


def durable(stream: Stream) -> list[tuple[str, int]]:
    """Returns what a client has been told to be durable."""
    return [(told.durable.symbol, told.durable.sequence) for told in stream.of("durable")]


async def test_what_is_durable_is_told_when_the_store_says_so(service: TickService, store: ToldStore) -> None:
    """Not before; each sequence once, for each symbol."""
    stream = Stream(service)
    await stream.send(m.opening("A", "B"), row("A", 1), row("A", 2), row("B", 1))
    assert durable(stream) == []
    store.say_durable()
    store.say_durable()
    await settle()
    await stream.send(row("A", 3))
    store.say_durable()
    await settle()
    assert durable(stream) == [("A", 2), ("B", 1), ("A", 3)]
    stream.task.cancel()


async def test_durable_costs_a_slow_reader_no_memory(service: TickService, store: ToldStore) -> None:
    """Of each symbol only the newest word waits; the reader's own bound holds for notices, too."""
    stream = Stream(service)
    await stream.send(m.opening("A", "B"))
    stream.may_read.clear()
    for sequence in range(1, 4):
        await stream.send(row("A", sequence))
    for sequence in range(1, 1000):
        for held in store._held:
            held.tell_durable(sequence)
        await asyncio.sleep(0)
    stream.may_read.set()
    await settle()
    told = durable(stream)
    assert len(told) <= 6
    assert dict(told) == {"A": 999, "B": 999}
    stream.task.cancel()


async def test_half_closing_makes_durable_first(service: TickService, store: ToldStore) -> None:
    """The client hears of it before the stream ends; one that never opened has nothing to store."""
    unopened = Stream(service)
    await unopened.half_close()
    await unopened.end()
    assert store.flush_count == 0
    stream = Stream(service)
    await stream.send(m.opening("A"), row("A", 1))
    await stream.half_close()
    await stream.end()
    assert stream.kinds() == ["opened", "progress", "durable"]
    assert store.flush_count == 1


async def test_a_stream_ends_even_if_the_store_does_not_answer(
    predictor: FakePredictor, store: ToldStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flush has as long as a write; what was not stored is not told to be."""

    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "flush", never)
    stream = Stream(tick_service(predictor, store, windows=WindowSettings(write_timeout=0.01)))
    await stream.send(m.opening("A"), row("A", 1))
    await stream.half_close()
    await stream.end()
    assert stream.kinds() == ["opened", "progress"]
    assert stream.refusal is None


async def test_a_lost_symbol_is_told_once_and_refused_from_then_on(service: TickService) -> None:
    """Without any tick of the old stream's; the symbols that it has kept are served as before."""
    old, new = Stream(service), Stream(service)
    await old.send(m.opening("A", "B"))
    await new.send(m.opening("A"))
    await old.send(row("A", 1), row("B", 1))
    assert old.errors() == [("A", 0, "SYMBOL_NOT_OPEN"), ("A", 1, "SYMBOL_NOT_OPEN")]
    assert old.kinds()[-1] == "progress"
    assert await new.send(row("A", 1)) == ["opened", "progress"]
    old.task.cancel()
    await settle()
    assert await new.send(row("A", 2)) == ["opened", "progress", "progress"]
    new.task.cancel()


async def test_what_was_durable_of_a_lost_symbol_is_not_told(service: TickService, store: ToldStore) -> None:
    """The loss is the last that a client hears of it."""
    old, new = Stream(service), Stream(service)
    await old.send(m.opening("A"))
    old.may_read.clear()
    await old.send(*(row("A", sequence) for sequence in range(1, 10)))
    store.say_durable()
    await new.send(m.opening("A"))
    old.may_read.set()
    await settle()
    assert ("A", 0, "SYMBOL_NOT_OPEN") in old.errors()
    assert durable(old) == []
    old.task.cancel()
    new.task.cancel()


async def test_draining_asks_everybody_to_leave(service: TickService, predictor: FakePredictor) -> None:
    """Each stream hears it once, with the grace; new streams and new opens are refused; all else is served."""
    open_one, unopened = Stream(service), Stream(service)
    await open_one.fill("A")
    await settle()
    draining = asyncio.create_task(service.drain(60.0))
    await settle()
    again = asyncio.create_task(service.drain(60.0))
    for stream in (open_one, unopened):
        await settle()
        [told] = stream.of("drain")
        assert told.drain.grace_duration.ToTimedelta().total_seconds() == 60.0
    assert (await unopened.send(m.opening("B")))[-1] == "error"
    assert [reason for *_, reason in unopened.errors()] == ["DRAINING"]
    late = Stream(service)
    await late.end()
    assert late.refusal is not None
    assert late.refusal.reason.name == "DRAINING"
    await open_one.send(row("A", 60))
    predictor.expire()
    await open_one.half_close()
    await unopened.half_close()
    await open_one.end()
    await unopened.end()
    await asyncio.wait_for(asyncio.gather(draining, again), 60)  # it does not wait for the grace when all have gone
    assert (open_one.refusal, unopened.refusal) == (None, None)
    assert open_one.errors() == [("A", 60, "EXPIRED_IN_QUEUE")]


async def test_streams_that_stay_are_ended_after_the_grace(service: TickService, predictor: FakePredictor) -> None:
    """Nothing more is read; what was due is answered, and stored, before the stream ends with DRAINING."""
    stream = Stream(service)
    await stream.fill("A")
    await stream.send(row("A", 60), row("A", 61))
    await service.drain(0.0)
    read = stream.read_count
    await stream.send(row("A", 62))
    assert stream.read_count == read
    assert not stream.task.done()
    assert durable(stream) == [("A", 61)]
    predictor.expire()
    await stream.end()
    assert [sequence for _, sequence, _ in stream.errors()] == [60, 61]
    assert stream.refusal is not None
    assert stream.refusal.reason.name == "DRAINING"
    assert stream.refusal.retry_delay is not None
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_client_that_was_done_is_not_sent_elsewhere(service: TickService, predictor: FakePredictor) -> None:
    """It has closed its side and waits for its last answers: the stream ends well although the replica drains."""
    stream = Stream(service)
    await stream.fill("A")
    await stream.send(row("A", 60))
    await stream.half_close()
    await service.drain(0.0)
    predictor.expire()
    await stream.end()
    assert stream.refusal is None
    assert stream.errors() == [("A", 60, "EXPIRED_IN_QUEUE")]


async def test_old_streams_are_sent_elsewhere(predictor: FakePredictor, store: ToldStore) -> None:
    """At their greatest age they hear `drain`, and end after the grace; the replica itself goes on."""
    service = tick_service(predictor, store, stream_max_age=0.05, stream_drain_grace=0.05)
    stream = Stream(service)
    await stream.send(m.opening("A"))
    await eventually(lambda: stream.of("drain"))
    await stream.end()
    assert stream.kinds() == ["opened", "drain"]
    assert stream.refusal is not None
    assert stream.refusal.reason.name == "DRAINING"
    assert await Stream(service).send(m.opening("A")) == ["opened"]


async def test_silence_is_broken_by_heartbeats(predictor: FakePredictor, store: ToldStore) -> None:
    """Also on a stream that has not been opened."""
    stream = Stream(tick_service(predictor, store, heartbeat_interval=0.01))
    await eventually(lambda: len(stream.of("heartbeat")) >= 2)
    assert stream.of("heartbeat")[0].heartbeat.send_time.seconds > NOW
    await stream.half_close()
    await stream.end()
