"""Laws of halts on a tick stream: ticks are applied, due predictions refused, and each change is told once."""

import dataclasses

import pytest

from server.rpc.tick_service import TickService
from server.security.halt_view import Halts
from tests.support import messages as m
from tests.support.fakes import settle
from tests.support.halts import EVERYTHING, halted, scope
from tests.support.registry import NAME
from tests.support.tick_streams import CALL, FakePredictor, Stream, ToldStore, row, tick_service


@pytest.fixture
def predictor() -> FakePredictor:
    """Answers nothing by itself."""
    return FakePredictor()


@pytest.fixture
def halts(predictor: FakePredictor) -> Halts:
    """What is halted."""
    return Halts(clock=predictor.now)


@pytest.fixture
def service(predictor: FakePredictor, halts: Halts) -> TickService:
    """The service with default settings."""
    return tick_service(predictor, ToldStore(max_symbols=10), halts=halts)


def told(stream: Stream) -> list[tuple[str, bool]]:
    """Returns symbol, and whether it ended, of all halts that a client was told."""
    return [(response.halt.symbol, response.halt.resumed) for response in stream.of("halt")]


async def test_ticks_are_applied_while_predictions_are_refused(service: TickService, halts: Halts) -> None:
    """Each due one is answered with HALTED under its own number, and the window goes on, as it does afterwards."""
    stream = Stream(service)
    await stream.fill("A")
    halted(halts, EVERYTHING)
    for sequence in (60, 61, 62):
        await stream.send(row("A", sequence))
    assert stream.errors() == [("A", sequence, "HALTED") for sequence in (60, 61, 62)]
    assert service.counters.applied == 62
    assert service.counters.refused == 0
    halted(halts)
    await stream.send(row("A", 63))
    assert len(stream.errors()) == 3
    assert told(stream) == [("", False), ("", True)]
    stream.task.cancel()


async def test_what_waits_for_the_engine_ends_at_once(
    service: TickService, halts: Halts, predictor: FakePredictor
) -> None:
    """In the symbols' order, and of the halted symbol alone."""
    stream = Stream(service)
    await stream.fill("A", "B")
    await stream.send(row("A", 60), row("B", 60), row("A", 61))
    assert len(predictor.tasks) == 3
    halted(halts, scope("symbol", "A"))
    await settle()
    assert stream.errors() == [("A", 60, "HALTED"), ("A", 61, "HALTED")]
    assert told(stream) == [("A", False)]
    assert [end.cancelled() for end in predictor.ends] == [True, False, True]
    stream.task.cancel()


async def test_a_conflated_prediction_that_waits_is_dropped_with_an_error(
    service: TickService, halts: Halts, predictor: FakePredictor
) -> None:
    """And is not answered after the resume; the next one is."""
    stream = Stream(service)
    await stream.fill("A", conflate=True)
    await stream.send(row("A", 60), row("A", 61))
    halted(halts, EVERYTHING)
    await settle()
    assert stream.errors() == [("A", 61, "HALTED")]
    predictor.clock += 1
    halted(halts)
    await stream.send(row("A", 62))
    assert len(stream.errors()) == 1
    assert len(predictor.tasks) == 2
    stream.task.cancel()


async def test_a_prediction_without_a_place_is_dropped_too(halts: Halts, predictor: FakePredictor) -> None:
    """One that a client who does not read has kept from the queue must not be computed after the resume."""
    service = tick_service(predictor, ToldStore(max_symbols=10), halts=halts, max_in_flight_per_stream=1)
    stream = Stream(service)
    await stream.fill("A", conflate=True)
    stream.may_read.clear()
    await stream.send(m.heartbeat(), row("A", 60))
    assert not predictor.tasks
    halted(halts, EVERYTHING)
    predictor.clock += 1
    halted(halts)
    stream.may_read.set()
    await settle()
    assert stream.errors() == [("A", 60, "HALTED")]
    assert not predictor.tasks
    stream.task.cancel()


@pytest.mark.parametrize(
    ("kind", "name", "version", "expected"),
    [
        ("model", NAME, 0, [("", False), ("", True)]),
        ("model", NAME, 1, [("", False), ("", True)]),
        ("model", NAME, 7, []),
        ("model", "another", 0, []),
        ("symbol", "A", 0, [("A", False), ("A", True)]),
        ("symbol", "C", 0, []),
        ("key", "desk", 0, []),
    ],
)
async def test_a_stream_is_told_of_what_concerns_it(
    service: TickService, halts: Halts, kind: str, name: str, version: int, expected: list[tuple[str, bool]]
) -> None:
    """Its model, its symbols, everything; once when it begins, and once when it ends."""
    stream = Stream(service)
    await stream.send(m.opening("A", "B"))
    stopped = scope(kind, name, version)
    for scopes in ((stopped,), (stopped,), ()):
        halted(halts, *scopes)
        await settle()
    assert told(stream) == expected
    stream.task.cancel()


async def test_what_is_halted_already_is_told_when_the_stream_opens(service: TickService, halts: Halts) -> None:
    """Behind `opened`; before it, nobody knows what concerns it."""
    halted(halts, EVERYTHING, scope("symbol", "A"), scope("symbol", "Z"))
    stream = Stream(service)
    await settle()
    assert await stream.send(m.opening("A")) == ["opened", "halt", "halt"]
    assert sorted(told(stream)) == [("", False), ("A", False)]
    first = stream.of("halt")[0].halt.halt
    assert (first.reason, first.author, first.halt_time.seconds) == ("why", "ops", 1)
    stream.task.cancel()


async def test_a_halted_key_loses_its_streams(service: TickService, halts: Halts) -> None:
    """With an error in the stream, then as its end; others keep theirs, and the key gets no new one."""
    call = dataclasses.replace(CALL, owner="desk")
    mine, other = Stream(service, call), Stream(service)
    await mine.send(m.opening("A"))
    await other.send(m.opening("B"))
    halted(halts, scope("key", "desk"))
    await mine.end()
    assert mine.errors() == [("", 0, "HALTED")]
    assert mine.kinds() == ["opened", "error"]
    assert mine.refusal is not None
    assert mine.refusal.reason.name == "HALTED"
    late = Stream(service, call)
    await late.end()
    assert late.refusal is not None
    assert late.refusal.reason.name == "HALTED"
    assert await other.send(row("B", 1)) == ["opened", "progress"]
    assert service.open_stream_count == 1
    other.task.cancel()
