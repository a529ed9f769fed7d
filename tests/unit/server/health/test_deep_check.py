"""Laws of the deep check: it is made when it is due or asked for, never too often, and tells the engine's truth."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import numpy as np
import pytest

from batching import (
    Completion,
    EngineHungError,
    InferenceFailedError,
    NoTurnError,
    PriorityClass,
    SchedulerClosedError,
)
from model.outputs import OutputRow
from server.config.health_settings import HealthSettings
from server.health.deep_check import DeepCheck, dummy_window
from server.health.deep_health import DeepHealth, DeepState
from server.inference.batch_runner import BatchRunner
from server.inference.computed_row import ComputedRow
from server.inference.predictor import Work
from server.models.served_model import ServedModel
from tests.support.fakes import POISON, FakeEngine, served_model, settle

EPOCH = 1.8e9


class FakeScheduler:
    """Runs what it is given at once, or ends it as it is told.

    Attributes:
        works: What it was given.
        engine_duration: What it says that the engine took, seconds.
        queue_duration: What it says that the wait took, seconds.
        error: Raised instead, if set.
        gate: Waited for by every call, if set.
    """

    def __init__(self) -> None:
        self.works: list[Work] = []
        self.patience = 0.0
        self.engine_duration = 0.004
        self.queue_duration = 0.0
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self._runner = BatchRunner()

    async def run_aside(self, batch_key: str, payload: Work, *, patience: float) -> Completion[ComputedRow]:
        """See `batching.Batcher`."""
        self.works.append(payload)
        self.patience = patience
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        [row] = self._runner(batch_key, [payload])
        return Completion(
            result=row,
            queue_duration=self.queue_duration,
            inference_duration=self.engine_duration,
            batch_size=1,
            effective_priority=PriorityClass.SHADOW,
            enqueued_at=0.0,
            chosen_at=self.queue_duration,
            completed_at=self.queue_duration + self.engine_duration,
        )


class Bench:
    """A deep check with all that it needs under the test's control."""

    def __init__(self) -> None:
        self.scheduler = FakeScheduler()
        self.engine = FakeEngine()
        self.model: ServedModel | None = served_model(self.engine)
        self.settings = HealthSettings(deep_interval=0)
        self.now = 1000.0
        self.waits: list[float | None] = []
        self.skips = 0
        self.check = DeepCheck(
            self.scheduler,
            model=lambda: self.model,
            settings=lambda: self.settings,
            clock=lambda: self.now,
            wall_clock=lambda: EPOCH + self.now,
            timeout=self._timeout,
        )

    def _timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Remembers how long a wait may take; lets the first `skips` bounded ones end at once, the clock moved on."""
        self.waits.append(seconds)
        if seconds is not None and self.skips:
            self.skips -= 1
            self.now += seconds
            return asyncio.timeout(0)
        return asyncio.timeout(None)

    async def found(self, *, later: float = 1.0) -> DeepHealth:
        """Asks, a while after the last check."""
        self.now += later
        return await self.check.ask()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A check that is made on demand only, and running."""
    made = Bench()
    task = asyncio.get_running_loop().create_task(made.check.run())
    await settle()
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_nothing_is_known_before_somebody_looks(bench: Bench) -> None:
    """Without an interval no check is made by itself."""
    assert bench.check.health == DeepHealth()
    assert not bench.scheduler.works


async def test_a_check_computes_a_window_on_the_model_and_is_marked(bench: Bench) -> None:
    """The engine really gets one window of the model's shape, always the same, flagged as no request's."""
    found = await bench.found()
    assert (found.state, found.checked_at, found.engine_duration) == (DeepState.HEALTHY, EPOCH + bench.now, 0.004)
    await bench.found()
    first, second = bench.scheduler.works
    assert first.is_probe
    assert first.model is bench.model
    assert first.window.shape == (50, 60)
    assert first.window.dtype == np.float32
    assert np.isfinite(first.window).all()
    assert np.array_equal(first.window, second.window)
    assert [batch.shape for batch in bench.engine.batches] == [(1, 50, 60)] * 2
    assert bench.scheduler.patience == bench.settings.deep_patience


async def test_slowness_is_judged_by_the_engine_alone(bench: Bench) -> None:
    """A long wait changes nothing, a slow engine does; the limit in force is the setting's."""
    bench.scheduler.queue_duration = 1.9
    assert (await bench.found()).state is DeepState.HEALTHY
    bench.scheduler.engine_duration = 0.1
    assert (await bench.found()).state is DeepState.DEGRADED
    bench.settings = HealthSettings(deep_interval=0, degraded_above=0.2)
    found = await bench.found()
    assert (found.state, found.queue_duration) == (DeepState.HEALTHY, 1.9)


def _no_model(bench: Bench) -> None:
    bench.model = None


def _poison(bench: Bench) -> None:
    class Poisoned(FakeEngine):
        def run(self, windows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> object:  # type: ignore[override]
            return super().run(np.full_like(windows, POISON))

    bench.model = served_model(Poisoned())


def _raises(error: Exception) -> Callable[[Bench], None]:
    def arrange(bench: Bench) -> None:
        bench.scheduler.error = error

    return arrange


@pytest.mark.parametrize(
    ("arrange", "words"),
    [
        (_raises(InferenceFailedError("CUDA error at /secret/path.cu:17")), "the engine failed"),
        (_raises(EngineHungError(30)), "the engine did not answer within 30 s"),
        (_poison, "the answer was not finite or not normalised"),
        (_no_model, "no version of the default model is loaded"),
    ],
    ids=["raises", "hangs", "not finite", "no model"],
)
async def test_failures_are_unhealthy_until_the_next_success(
    bench: Bench, arrange: Callable[[Bench], None], words: str
) -> None:
    """Each says what failed without the engine's own words; one good check later all is well."""
    good = bench.model
    arrange(bench)
    found = await bench.found()
    assert (found.state, found.error) == (DeepState.UNHEALTHY, words)
    bench.model, bench.scheduler.error = good, None
    found = await bench.found()
    assert (found.state, found.error) == (DeepState.HEALTHY, "")


@pytest.mark.parametrize("error", [NoTurnError(2.0), SchedulerClosedError("closed")], ids=["no turn", "closing"])
async def test_what_says_nothing_of_the_engine_changes_no_judgement(bench: Bench, error: Exception) -> None:
    """A busy replica stays as healthy as it was, and so does one that ends."""
    before = await bench.found()
    bench.scheduler.error = error
    found = await bench.found()
    assert (found.state, found.checked_at) == (DeepState.HEALTHY, before.checked_at)
    assert found.skipped_count == (1 if isinstance(error, NoTurnError) else 0)


async def test_no_more_than_one_check_a_second_whoever_asks(bench: Bench) -> None:
    """Askers within a second of the last check get what it found; then the next one makes a check."""
    await bench.found()
    for _ in range(10):
        await bench.found(later=0.09)
    assert len(bench.scheduler.works) == 1
    await bench.found(later=0.1)
    assert len(bench.scheduler.works) == 2


async def test_those_who_ask_together_share_one_check(bench: Bench) -> None:
    """Also those who come while it is under way; one that leaves disturbs nobody."""
    bench.scheduler.gate = asyncio.Event()
    tasks = [asyncio.create_task(bench.check.ask()) for _ in range(3)]
    await settle()
    tasks += [asyncio.create_task(bench.check.ask())]
    tasks[0].cancel()
    await settle()
    bench.scheduler.gate.set()
    _, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in others] == [DeepHealth] * 3
    assert {one.state for one in others if isinstance(one, DeepHealth)} == {DeepState.HEALTHY}
    assert len(bench.scheduler.works) == 1


async def test_whoever_asks_does_not_wait_for_an_engine_that_hangs(bench: Bench) -> None:
    """The wait is bounded: what was known before is told, and the check goes on."""
    known = await bench.found()
    bench.scheduler.gate = asyncio.Event()
    bench.now += 1
    bench.skips = 1
    assert await bench.check.ask() == known
    assert bench.waits[-1] == bench.settings.deep_patience + 1.0
    bench.scheduler.gate.set()
    await settle()
    assert bench.check.health.checked_at > known.checked_at


async def test_checks_come_at_the_interval_the_first_at_once() -> None:
    """A replica is not unknown for longer than it must; each wait lasts until the next one is due."""
    bench = Bench()
    bench.settings = HealthSettings(deep_interval=10)
    bench.skips = 3
    task = asyncio.create_task(bench.check.run())
    await settle(60)
    assert len(bench.scheduler.works) == 4
    assert bench.waits == [10.0] * 4
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_check_on_demand_puts_off_the_next_one() -> None:
    """The interval counts from the last check, whoever asked for it."""
    bench = Bench()
    bench.settings = HealthSettings(deep_interval=10)
    task = asyncio.create_task(bench.check.run())
    await settle()
    await bench.found(later=7.0)
    await settle()
    assert bench.waits[-1] == 10.0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_new_interval_is_in_force_at_once(bench: Bench) -> None:
    """Switched on, the first check follows; switched off, no more do."""
    bench.settings = HealthSettings(deep_interval=5)
    bench.check.reconfigure()
    await settle()
    assert (len(bench.scheduler.works), bench.waits[-1]) == (1, 5.0)
    bench.settings = HealthSettings(deep_interval=0)
    bench.check.reconfigure()
    await settle()
    assert (len(bench.scheduler.works), bench.waits[-1]) == (1, None)


async def test_one_that_does_not_run_answers_what_it_knows() -> None:
    """Before the start and after the end nobody waits for it."""
    bench = Bench()
    assert await bench.check.ask() == DeepHealth()
    task = asyncio.create_task(bench.check.run())
    await settle()
    bench.scheduler.gate = asyncio.Event()
    asked = asyncio.create_task(bench.check.ask())
    await settle()
    task.cancel()
    assert await asked == DeepHealth()
    await asyncio.gather(task, return_exceptions=True)
    assert await bench.found() == DeepHealth()


async def test_only_changes_are_logged(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """One line a change, a warning unless it is for the better."""
    caplog.set_level(logging.INFO, "tickserve")
    for engine_duration in (0.004, 0.005, 0.3, 0.4, 0.004):
        bench.scheduler.engine_duration = engine_duration
        await bench.found()
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "deep check: healthy after unknown: 4.0 ms in the engine"),
        ("WARNING", "deep check: degraded after healthy: 300.0 ms in the engine"),
        ("INFO", "deep check: healthy after degraded: 4.0 ms in the engine"),
    ]


def test_the_dummy_window_has_the_models_shape() -> None:
    """Whatever the model reads."""
    model = served_model()
    network = model.config.network
    assert dummy_window(model).shape == (network.feature_count, network.time_steps)


def test_an_output_row_is_what_is_checked() -> None:
    """The fake scheduler runs the real batch runner, whose rows tell valid answers from others."""
    [computed] = BatchRunner()("key", [Work(window=dummy_window(served_model()), model=served_model(), is_probe=True)])
    assert isinstance(computed.row, OutputRow)
    assert computed.batch.is_probe
