"""Laws of engine calls that no request asked for: they give way to everything, and leave no trace in any figure."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import pytest

from batching import (
    Batcher,
    EngineHungError,
    InferenceFailedError,
    NoTurnError,
    PriorityClass,
    Request,
    SchedulerClosedError,
    SchedulerConfig,
    Statistics,
)
from tests.unit.batching.conftest import GatedEngine

Shell = Batcher[int, int]
LONG = 3600.0


@pytest.fixture
async def batcher(engine: GatedEngine) -> AsyncIterator[Shell]:
    """A batcher around the engine that runs one request at a time."""
    made = make(engine)
    await made.start()
    yield made
    for _ in range(20):
        engine.release()
    await made.close(drain=False)


def make(engine: Any, **options: Any) -> Shell:
    """Make a batcher without heartbeats, lest they cover up for a pass that nobody asked for."""
    defaults: dict[str, Any] = {"config": SchedulerConfig(max_batch_size=1), "heartbeat_interval": LONG}
    return Batcher(engine, **defaults | options)


def submit(batcher: Shell, payload: int) -> asyncio.Task[Any]:
    """Submit a request as one that nobody is in a hurry for."""
    request = Request(
        priority=PriorityClass.SHADOW, deadline=float("inf"), batch_key="model", caller="caller", payload=payload
    )
    return asyncio.create_task(batcher.submit(request))


def aside(batcher: Shell, payload: int, *, patience: float = LONG) -> asyncio.Task[Any]:
    """Ask for a call aside."""
    return asyncio.create_task(batcher.run_aside("model", payload, patience=patience))


def figures(batcher: Shell) -> Statistics:
    """Return all figures but the age of the heartbeat."""
    return replace(batcher.statistics(), heartbeat_age=0.0)


async def turns(count: int = 10) -> None:
    """Let the loop turn over what is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_idle_engine_runs_it_and_no_figure_changes(engine: GatedEngine, batcher: Shell) -> None:
    """It has its result and its times; neither counters nor queues nor costs know of it, before, while or after."""
    before = figures(batcher)
    asked = aside(batcher, 7)
    assert await engine.begun() == [7]
    assert figures(batcher) == before
    engine.release()
    completion = await asked
    assert (completion.result, completion.batch_size) == (-7, 1)
    assert completion.enqueued_at <= completion.chosen_at <= completion.completed_at
    assert completion.queue_duration == completion.chosen_at - completion.enqueued_at
    assert 0 <= completion.inference_duration <= completion.completed_at - completion.chosen_at
    assert figures(batcher) == before
    assert not before.costs


async def test_it_waits_for_whatever_waits(engine: GatedEngine, batcher: Shell) -> None:
    """Even requests of the lowest class that came after it go first."""
    first = submit(batcher, 1)
    await engine.begun()
    asked = aside(batcher, 7)
    await turns()
    others = [submit(batcher, 2), submit(batcher, 3)]
    await turns()
    for _ in range(4):
        engine.release()
    assert [one.result for one in await asyncio.gather(first, *others, asked)] == [-1, -2, -3, -7]
    assert [payloads for _, payloads in engine.calls] == [[1], [2], [3], [7]]
    assert batcher.statistics().batches == 3


async def test_requests_that_come_meanwhile_are_served_next(engine: GatedEngine, batcher: Shell) -> None:
    """They are neither refused nor lost, and wait for this one call alone."""
    asked, later = aside(batcher, 7), aside(batcher, 8)
    await engine.begun()
    request = submit(batcher, 1)
    await turns()
    for _ in range(3):
        engine.release()
    assert (await request).result == -1
    assert ((await asked).result, (await later).result) == (-7, -8)
    assert [payloads for _, payloads in engine.calls] == [[7], [1], [8]]


async def test_no_turn_is_told_and_the_engine_never_sees_it(engine: GatedEngine, batcher: Shell) -> None:
    """Whoever is patient for no time at all hears at once that the engine is busy."""
    request = submit(batcher, 1)
    await engine.begun()
    with pytest.raises(NoTurnError, match="nothing was idle"):
        await aside(batcher, 7, patience=0)
    engine.release()
    await request
    await turns()
    assert [payloads for _, payloads in engine.calls] == [[1]]


async def test_patience_is_for_the_turn_alone(engine: GatedEngine, batcher: Shell) -> None:
    """Once it runs, it is waited for, however long that takes."""
    asked = aside(batcher, 7, patience=0)
    await engine.begun()
    await turns()
    assert not asked.done()
    engine.release()
    assert (await asked).result == -7


def boom(_payloads: Sequence[int]) -> NoReturn:
    """Fail as an engine might."""
    raise RuntimeError("boom")


@pytest.mark.parametrize("answer", [boom, lambda _: [1, 2]], ids=["raises", "wrong length"])
async def test_its_failure_is_its_own(engine: GatedEngine, batcher: Shell, answer: Any) -> None:
    """The engine's failure ends it alone, and is counted nowhere."""
    before = figures(batcher)
    asked = aside(batcher, 7)
    await engine.begun()
    engine.release(answer)
    with pytest.raises(InferenceFailedError):
        await asked
    assert figures(batcher) == before
    engine.release()
    assert (await submit(batcher, 1)).result == -1


async def test_engine_that_hangs_in_it_is_a_hung_engine(engine: GatedEngine) -> None:
    """Law 11 holds for it: it ends, health turns, and `on_hang` is called."""
    hung = asyncio.Event()
    batcher = make(engine, config=SchedulerConfig(engine_hang_timeout=0.02, max_batch_duration=0.01), on_hang=hung.set)
    await batcher.start()
    asked = aside(batcher, 7)
    with pytest.raises(EngineHungError):
        await asked
    await hung.wait()
    assert (batcher.healthy, batcher.has_hung, batcher.alive) == (False, True, True)
    engine.release()
    await batcher.close()


async def test_closing_ends_what_waits_and_finishes_what_runs(engine: GatedEngine, batcher: Shell) -> None:
    """The call that runs is waited for; one that waits, and one that comes too late, hear that it is closed."""
    running, waiting = aside(batcher, 7), aside(batcher, 8)
    await engine.begun()
    closing = asyncio.create_task(batcher.close())
    with pytest.raises(SchedulerClosedError):
        await waiting
    assert not closing.done()
    engine.release()
    assert (await running).result == -7
    await closing
    with pytest.raises(SchedulerClosedError):
        await batcher.run_aside("model", 9, patience=LONG)
    assert [payloads for _, payloads in engine.calls] == [[7]]


@pytest.mark.parametrize("begun", [False, True])
async def test_whoever_asked_may_go(engine: GatedEngine, batcher: Shell, begun: bool) -> None:
    """One that waits never runs then; one that runs ends unheard, failure and all; the slot is free again."""
    blocker = None if begun else submit(batcher, 1)
    asked = aside(batcher, 7)
    await engine.begun()
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert asked.cancelled()
    engine.release(boom)
    if blocker is not None:
        await asyncio.gather(blocker, return_exceptions=True)
    engine.release()
    assert (await submit(batcher, 2)).result == -2
    assert [payloads for _, payloads in engine.calls] == [[7] if begun else [1], [2]]


async def test_two_slots_run_it_beside_a_request(engine: GatedEngine) -> None:
    """A device that declares two slots has room for both."""
    batcher = make(engine, slots=2)
    await batcher.start()
    request = submit(batcher, 1)
    await engine.begun()
    asked = aside(batcher, 7)
    assert await engine.begun() == [7]
    engine.release()
    engine.release()
    results: Sequence[Any] = await asyncio.gather(request, asked)
    assert {one.result for one in results} == {-1, -7}
    await batcher.close()
