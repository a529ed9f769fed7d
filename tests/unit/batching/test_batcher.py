"""The asyncio shell, with an engine that the test opens and shuts; no sleeps, no timed assertions."""

import asyncio
import gc
import logging
import math
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NoReturn, Protocol

import pytest

from batching import (
    Batcher,
    Completion,
    EngineHungError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    PriorityClass,
    QueueFullError,
    Request,
    SchedulerClosedError,
    SchedulerConfig,
    SchedulerError,
)

Shell = Batcher[int, int]


class Engine(Protocol):
    """What the fixture ``engine`` offers."""

    calls: list[tuple[str, list[int]]]

    def __call__(self, batch_key: str, payloads: Sequence[int]) -> Sequence[int]:
        """Run a batch."""

    async def begun(self) -> list[int]:
        """Wait for a call."""

    def release(self, answer: Callable[[Sequence[int]], Sequence[int]] | None = None) -> None:
        """Let a call go on."""


Make = Callable[..., Awaitable[Shell]]


@pytest.fixture
async def start(engine: Engine) -> AsyncIterator[Make]:
    """Start batchers around the engine, and close them at the end."""
    batchers: list[Shell] = []

    async def make(run_batch: Any = None, **options: Any) -> Shell:
        # Without heartbeats, lest they cover up for an alarm that was not set.
        batcher: Shell = Batcher(run_batch or engine, **{"heartbeat_interval": 1000.0} | options)
        batchers.append(batcher)
        await batcher.start()
        return batcher

    yield make
    for _ in range(100):
        engine.release()  # whatever is still in the engine may finish
    for batcher in batchers:
        await batcher.close(drain=False)


class ManualClock:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


def request(
    payload: int,
    *,
    deadline: float = math.inf,
    priority: PriorityClass = PriorityClass.STANDARD,
    key: str = "model",
) -> Request[int]:
    """Build a request."""
    return Request(priority=priority, deadline=deadline, batch_key=key, caller="caller", payload=payload)


def submit(batcher: Shell, *requests: Request[int]) -> list[asyncio.Task[Completion[int]]]:
    """Submit requests in one turn of the loop."""
    return [asyncio.create_task(batcher.submit(one)) for one in requests]


async def ends(tasks: Sequence[asyncio.Task[Completion[int]]]) -> list[Any]:
    """Return each task's result, or the type of its exception."""
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [one.result if isinstance(one, Completion) else type(one) for one in found]


async def turns(count: int = 5) -> None:
    """Let the loop turn over what is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_request_is_answered_with_its_timings(engine: Engine, start: Make) -> None:
    """A request comes back with its result and how it came about."""
    batcher = await start()
    engine.release()
    completion = await batcher.submit(request(7, priority=PriorityClass.REAL_TIME))
    assert (completion.result, completion.batch_size) == (-7, 1)
    assert completion.effective_priority is PriorityClass.REAL_TIME
    assert completion.enqueued_at <= completion.chosen_at <= completion.completed_at
    assert 0 <= completion.inference_duration <= completion.completed_at - completion.chosen_at


async def test_requests_of_one_loop_turn_share_a_batch(engine: Engine, start: Make) -> None:
    """Law 2: an idle slot takes at once all that arrived in the same turn of the loop."""
    batcher = await start()
    engine.release()
    assert await ends(submit(batcher, request(1), request(2), request(3))) == [-1, -2, -3]
    assert engine.calls == [("model", [1, 2, 3])]


async def test_next_batch_is_chosen_when_the_slot_frees(engine: Engine, start: Make) -> None:
    """Law 2: what arrives while the engine is busy, the urgent first, goes when it frees."""
    batcher = await start(config=SchedulerConfig(max_batch_size=2))
    first = submit(batcher, request(1))
    assert await engine.begun() == [1]
    rest = submit(batcher, request(2), request(3), request(4, priority=PriorityClass.REAL_TIME))
    await turns()
    assert len(engine.calls) == 1
    engine.release()
    assert await engine.begun() == [4, 2]
    engine.release()
    engine.release()
    assert await ends(first + rest) == [-1, -2, -3, -4]


async def test_engine_runs_in_one_thread_of_its_own(start: Make) -> None:
    """The engine always runs in the same thread, which is not the loop's."""
    seen: list[threading.Thread] = []

    def run(batch_key: str, payloads: Sequence[int]) -> Sequence[int]:
        seen.append(threading.current_thread())
        return payloads

    batcher = await start(run)
    for number in range(5):
        await batcher.submit(request(number))
    assert len(seen) == 5
    assert {thread.name for thread in seen} == {"engine-0"}
    assert threading.current_thread() not in seen


async def test_two_slots_run_two_batches(engine: Engine, start: Make) -> None:
    """Law 2: a device may declare two slots; a third batch waits for one of them."""
    batcher = await start(slots=2, config=SchedulerConfig(max_batch_size=1))
    tasks = submit(batcher, request(1), request(2), request(3))
    assert sorted([await engine.begun(), await engine.begun()]) == [[1], [2]]
    await turns()
    assert len(engine.calls) == 2
    engine.release()
    assert await engine.begun() == [3]
    engine.release()
    engine.release()
    assert await ends(tasks) == [-1, -2, -3]


async def test_cancelling_touches_no_neighbour(engine: Engine, start: Make) -> None:
    """Law 11: cancelled requests, waiting or running, end alone; those that wait never reach the engine."""
    batcher = await start()
    running = submit(batcher, request(1), request(2))
    await engine.begun()
    waiting = submit(batcher, request(3), request(4))
    await turns()
    running[0].cancel()
    waiting[0].cancel()
    engine.release()
    engine.release()
    assert await ends(running + waiting) == [asyncio.CancelledError, -2, asyncio.CancelledError, -4]
    assert engine.calls == [("model", [1, 2]), ("model", [4])]
    assert batcher.statistics().cancelled == 2


async def test_random_cancellations_end_everything_once(engine: Engine, start: Make) -> None:
    """Laws 1 and 11: whenever requests are cancelled, each ends once and the others get their own results."""
    batcher = await start(config=SchedulerConfig(max_batch_size=4))
    chance = random.Random(2)
    tasks: list[asyncio.Task[Completion[int]]] = []
    for _ in range(400):
        what = chance.random()
        if what < 0.5:
            tasks += submit(batcher, request(len(tasks)))
        elif what < 0.75 and tasks:
            chance.choice(tasks).cancel()
        else:
            engine.release()
        if chance.random() < 0.5:
            await turns(chance.randint(1, 3))
    for _ in range(400):
        engine.release()
    found = await ends(tasks)
    assert all(one in (-number, asyncio.CancelledError) for number, one in enumerate(found))
    statistics = batcher.statistics()
    assert 0 < statistics.cancelled < statistics.submitted
    assert statistics.submitted == statistics.completed + statistics.cancelled
    assert (statistics.in_flight, sum(statistics.queue_size.values())) == (0, 0)


async def test_cancelling_together_with_the_result_is_harmless(start: Make) -> None:
    """Law 1: a cancellation that arrives with the outcome changes no other request."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Completion[int]]] = []

    def run(batch_key: str, payloads: Sequence[int]) -> Sequence[int]:
        loop.call_soon_threadsafe(lambda: loop.call_soon(tasks[0].cancel))
        if payloads == (3, 4):
            raise RuntimeError("boom")
        return payloads

    batcher = await start(run)
    for pair in ((1, 2), (3, 4)):
        tasks[:] = submit(batcher, request(pair[0]), request(pair[1]))
        _, second = await ends(tasks)
        assert second == (2 if pair == (1, 2) else InferenceFailedError)


async def test_outcome_that_meets_a_cancellation_harms_no_neighbour(engine: Engine, start: Make) -> None:
    """Law 11: when the outcome comes between a cancellation and the task's next turn, the others get theirs."""
    clock = ManualClock()
    batcher = await start(clock=clock)
    tasks = submit(batcher, request(1, deadline=1.0), request(2, deadline=1.0))
    await engine.begun()
    clock.now = 1.0
    tasks[0].cancel()
    batcher.reconfigure(SchedulerConfig())  # passes at once
    assert await ends(tasks) == [asyncio.CancelledError, ExpiredInExecutionError]


async def test_expiry_fires_while_the_engine_is_busy(engine: Engine, start: Make) -> None:
    """Law 9: running and waiting requests end at their deadlines though the engine does not answer."""
    clock = ManualClock()
    batcher = await start(clock=clock)
    running = submit(batcher, request(1, deadline=0.002), request(2))
    await engine.begun()
    waiting = submit(batcher, request(3, deadline=0.001))
    await turns()
    clock.now = 0.002
    assert await ends([running[0], waiting[0]]) == [ExpiredInExecutionError, ExpiredInQueueError]
    engine.release()
    assert await ends(running[1:]) == [-2]
    assert engine.calls == [("model", [1, 2])]


async def test_newcomer_with_the_earliest_deadline_sets_the_timer(engine: Engine, start: Make) -> None:
    """Law 9: the timer follows a request that arrives while the engine is busy with others that never expire."""
    clock = ManualClock()
    batcher = await start(clock=clock)
    running = submit(batcher, request(1))
    await engine.begun()
    waiting = submit(batcher, request(2, deadline=0.001))
    await turns()
    clock.now = 0.001
    assert await ends(waiting) == [ExpiredInQueueError]
    engine.release()
    assert await ends(running) == [-1]


async def test_deadline_in_the_past_ends_at_once(engine: Engine, start: Make) -> None:
    """Law 9: a request that comes too late is expired, also while the engine is busy."""
    batcher = await start()
    busy = submit(batcher, request(1))
    await engine.begun()
    assert await ends(submit(batcher, request(2, deadline=time.monotonic()))) == [ExpiredInQueueError]
    engine.release()
    assert await ends(busy) == [-1]


async def test_limit_refuses_at_once(engine: Engine, start: Make) -> None:
    """Law 10: a full queue refuses with a typed error."""
    batcher = await start(config=SchedulerConfig(max_batch_size=1, max_total_queue_size=1))
    tasks = submit(batcher, request(1))
    await engine.begun()
    tasks += submit(batcher, request(2), request(3))
    await turns()
    engine.release()
    engine.release()
    assert await ends(tasks) == [-1, -2, QueueFullError]


async def test_held_back_batch_goes_when_its_time_has_come(engine: Engine, start: Make) -> None:
    """Law 3: with a delay the slot waits for company, but not for ever."""
    clock = ManualClock()
    batcher = await start(clock=clock, config=SchedulerConfig(max_queue_delay=0.002))
    engine.release()
    tasks = submit(batcher, request(1))
    await turns()
    clock.now = 0.001
    tasks += submit(batcher, request(2))
    await turns()
    assert engine.calls == []
    clock.now = 0.002
    assert await ends(tasks) == [-1, -2]
    assert engine.calls == [("model", [1, 2])]


async def test_engine_error_fails_its_batch_only(engine: Engine, start: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Law 11: an exception of the engine is logged, fails its own batch, and service goes on."""
    batcher = await start(config=SchedulerConfig(max_batch_size=2))

    def boom(payloads: Sequence[int]) -> NoReturn:
        raise ValueError("secret")

    tasks = submit(batcher, request(1), request(2), request(3))
    engine.release(boom)
    engine.release()
    assert await ends(tasks) == [InferenceFailedError, InferenceFailedError, -3]
    assert isinstance(tasks[0].exception().__cause__, ValueError)  # type: ignore[union-attr]
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert batcher.healthy


@pytest.mark.parametrize("answer", [[], [1], [1, 2, 3], None])
async def test_wrong_number_of_results_fails_its_batch_only(engine: Engine, start: Make, answer: Any) -> None:
    """Law 11: an answer that cannot be matched to the requests fails its own batch, loudly."""
    batcher = await start(config=SchedulerConfig(max_batch_size=2))
    tasks = submit(batcher, request(1), request(2), request(3))
    engine.release(lambda _: answer)
    engine.release()
    assert await ends(tasks) == [InferenceFailedError, InferenceFailedError, -3]


async def test_engine_that_exits_fails_its_batch_only(engine: Engine, start: Make) -> None:
    """Law 11: even SystemExit in the engine reaches the callers and leaves the thread alive."""

    def leave(payloads: Sequence[int]) -> NoReturn:
        raise SystemExit

    batcher = await start()
    engine.release(leave)
    assert await ends(submit(batcher, request(1))) == [InferenceFailedError]
    engine.release()
    assert await ends(submit(batcher, request(2))) == [-2]


async def test_hung_engine_fails_its_members_and_health(engine: Engine, start: Make) -> None:
    """Law 11: a hung call fails its members, turns health off, tells once, and does not block closing."""
    hung = asyncio.Event()
    told: list[bool] = []

    def on_hang() -> None:
        told.append(True)
        hung.set()

    batcher = await start(config=SchedulerConfig(max_batch_size=2, engine_hang_timeout=0.02), on_hang=on_hang)
    assert batcher.healthy
    tasks = submit(batcher, request(1), request(2), request(3))
    await hung.wait()
    assert await ends(tasks[:2]) == [EngineHungError] * 2
    assert not batcher.healthy
    await batcher.close(drain=True)  # the third can never be served
    assert await ends(tasks[2:]) == [SchedulerClosedError]
    assert told == [True]


async def test_engine_that_wakes_up_after_all_serves_again_but_stays_unhealthy(engine: Engine, start: Make) -> None:
    """Law 11: a late answer is thrown away; the slot is used until the process is replaced."""
    hung = asyncio.Event()
    batcher = await start(config=SchedulerConfig(engine_hang_timeout=0.02), on_hang=hung.set)
    lost = submit(batcher, request(1))
    await hung.wait()
    assert await ends(lost) == [EngineHungError]
    batcher.reconfigure(SchedulerConfig())
    engine.release()
    engine.release()
    assert await ends(submit(batcher, request(2))) == [-2]
    assert not batcher.healthy


async def test_failing_on_hang_is_only_logged(engine: Engine, start: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Law 11: an exception in the callback of others hangs nobody."""
    batcher = await start(config=SchedulerConfig(engine_hang_timeout=0.02), on_hang=lambda: 1 / 0)
    assert await ends(submit(batcher, request(1))) == [EngineHungError]
    await turns()
    assert "on_hang" in caplog.text


async def test_closing_with_drain_finishes_what_waits(engine: Engine, start: Make) -> None:
    """Closing with drain serves all that was taken in and takes nothing more."""
    batcher = await start(config=SchedulerConfig(max_batch_size=1))
    tasks = submit(batcher, request(1), request(2))
    await engine.begun()
    closing = asyncio.create_task(batcher.close(drain=True))
    await turns()
    assert not batcher.healthy
    assert await ends(submit(batcher, request(3))) == [SchedulerClosedError]
    engine.release()
    engine.release()
    assert await ends(tasks) == [-1, -2]
    await closing


async def test_closing_with_drain_ends_when_the_last_is_cancelled(engine: Engine, start: Make) -> None:
    """Closing does not wait for a request that nobody wants any more."""
    batcher = await start(config=SchedulerConfig(max_batch_size=1))
    tasks = submit(batcher, request(1), request(2))
    await engine.begun()
    closing = asyncio.create_task(batcher.close(drain=True))
    await turns()
    tasks[1].cancel()
    engine.release()
    await closing
    assert await ends(tasks) == [-1, asyncio.CancelledError]
    assert len(engine.calls) == 1


async def test_closing_without_drain_ends_what_waits(engine: Engine, start: Make) -> None:
    """Closing without drain ends waiting requests typed, and lets the running batch finish."""
    batcher = await start(config=SchedulerConfig(max_batch_size=1))
    tasks = submit(batcher, request(1), request(2))
    await engine.begun()
    closing = asyncio.create_task(batcher.close(drain=False))
    assert await ends(tasks[1:]) == [SchedulerClosedError]
    engine.release()
    assert await ends(tasks) == [-1, SchedulerClosedError]
    await closing


async def test_closing_stops_the_threads_and_may_be_repeated(start: Make) -> None:
    """Closing leaves no thread behind; closing again, or before starting, is nothing."""
    threads: set[threading.Thread] = set()

    def run(batch_key: str, payloads: Sequence[int]) -> Sequence[int]:
        threads.add(threading.current_thread())
        return payloads

    batcher = await start(run, slots=2)
    await batcher.submit(request(1))
    await batcher.close(drain=True)
    await batcher.close(drain=True)
    for thread in threads:
        await asyncio.to_thread(thread.join, 10)
    assert not any(thread.is_alive() for thread in threads)
    fresh: Shell = Batcher(run)
    await fresh.close(drain=True)
    assert await ends(submit(fresh, request(1))) == [SchedulerClosedError]
    with pytest.raises(SchedulerClosedError):
        await fresh.start()


async def test_not_started_takes_nothing(engine: Engine) -> None:
    """Requests before the start are refused, typed, and so are senseless slots."""
    batcher: Shell = Batcher(engine)
    assert not batcher.healthy
    assert await ends(submit(batcher, request(1))) == [SchedulerClosedError]
    with pytest.raises(ValueError, match="slots"):
        Batcher(engine, slots=0)


async def test_failing_policy_fails_its_requests_and_service_goes_on(
    engine: Engine, start: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Law 11: an internal fault while choosing fails the requests in hand only; the others are served at once."""
    batcher = await start(config=SchedulerConfig(max_batch_size=2))

    def faulty(candidates: Any, size: int) -> list[Any]:
        monkeypatch.undo()
        raise ZeroDivisionError(str(next(candidates)))

    monkeypatch.setattr("batching.batch_policy.islice", faulty)
    engine.release()
    assert await ends(submit(batcher, request(1), request(2))) == [InferenceFailedError, -2]
    assert "dispatch" in caplog.text
    assert batcher.healthy


@pytest.mark.parametrize("broken", ["complete", "fail"])
async def test_fault_in_the_core_leaves_nobody_waiting(
    engine: Engine, start: Make, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Law 11: even if the core fails half-way, the batch's callers end and the next batch is served."""
    batcher = await start()

    def faulty(*args: object, **options: object) -> NoReturn:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(batcher._scheduler, "complete", faulty)
        if broken == "fail":
            patch.setattr(batcher._scheduler, "fail", faulty)
        engine.release()
        assert await ends(submit(batcher, request(1), request(2))) == [InferenceFailedError] * 2
    engine.release()
    assert await ends(submit(batcher, request(3))) == [-3]


async def test_loop_that_cannot_schedule_turns_unhealthy(
    engine: Engine, start: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Law 11: a pass that fails is no heartbeat; when it works again, what waited is served."""
    clock = ManualClock()
    batcher = await start(clock=clock, heartbeat_interval=0.001)
    with monkeypatch.context() as patch:
        patch.setattr(batcher._scheduler, "choose", lambda _: 1 / 0)
        tasks = submit(batcher, request(1))
        while "dispatch" not in caplog.text:  # noqa: ASYNC110 - the log has no event to wait for
            await asyncio.sleep(0)
        clock.now = 1.0
        assert batcher.heartbeat_age() == batcher.statistics().heartbeat_age == 1.0
        assert not batcher.healthy
        assert not tasks[0].done()
    engine.release()
    assert await ends(tasks) == [-1]
    assert batcher.healthy


async def test_closing_ends_even_if_nothing_can_be_scheduled(
    engine: Engine, start: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing with drain gives up on what a broken policy will never serve."""
    batcher = await start()
    monkeypatch.setattr(batcher._scheduler, "choose", lambda _: 1 / 0)
    tasks = submit(batcher, request(1))
    await turns()
    await batcher.close(drain=True)
    assert await ends(tasks) == [SchedulerClosedError]


async def test_standing_clock_does_not_spin_or_hang(engine: Engine, start: Make) -> None:
    """A clock that stands still expires nothing and stops nothing."""
    batcher = await start(clock=ManualClock(), heartbeat_interval=0.001)
    tasks = submit(batcher, request(1, deadline=0.001))
    await engine.begun()
    await asyncio.sleep(0.003)  # the timer rings again and again, for nothing
    engine.release()
    assert await ends(tasks) == [-1]


async def test_failures_nobody_awaits_are_not_reported_as_lost(engine: Engine, start: Make) -> None:
    """No outcome is left in a future that complains about never having been looked at."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    def boom(payloads: Sequence[int]) -> NoReturn:
        raise RuntimeError

    clock = ManualClock()
    batcher = await start(clock=clock)
    tasks = submit(batcher, request(1), request(2, deadline=0.001))
    await engine.begun()
    tasks[0].cancel()
    clock.now = 0.001
    assert await ends(tasks) == [asyncio.CancelledError, ExpiredInExecutionError]
    engine.release(boom)
    await batcher.close(drain=True)
    del tasks, batcher
    gc.collect()
    await turns()
    assert complaints == []


async def test_answer_after_the_loop_has_gone_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Law 11: a hung call that ends after its loop was closed harms nobody."""
    begun, gate = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []

    def run(batch_key: str, payloads: Sequence[int]) -> Sequence[int]:
        threads.append(threading.current_thread())
        begun.set()
        gate.wait()
        return payloads

    async def hang() -> None:
        batcher: Shell = Batcher(run, config=SchedulerConfig(engine_hang_timeout=0.01))
        await batcher.start()
        with pytest.raises(SchedulerError):
            await batcher.submit(request(1))
        await batcher.close(drain=True)

    with caplog.at_level(logging.WARNING):
        await asyncio.to_thread(asyncio.run, hang())
        await asyncio.to_thread(begun.wait, 10)
        gate.set()
        await asyncio.to_thread(threads[0].join, 10)
    assert not threads[0].is_alive()
    assert "loop was closed" in caplog.text
