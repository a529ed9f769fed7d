"""Laws of the predictor: one window in, one answer with its evidence out, and no neighbour's fault."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator

import numpy as np
import pytest

from batching import Batcher, ExpiredInExecutionError, ExpiredInQueueError, InferenceFailedError, PriorityClass
from model.outputs import OUTPUT_NAMES, ModelOutputs
from server.config.live_settings import LiveSettings
from server.config.settings import Settings
from server.inference.batch_runner import BatchRunner
from server.inference.computed_row import ComputedRow
from server.inference.predictor import InputOrigin, InvalidOutputError, PredictionTask, Predictor, Work
from server.results.known_results import KnownResults
from tests.support.fakes import POISON, FakeEngine, served_model
from tests.support.registry import real_windows

NOW = 100.0


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


@pytest.fixture
def engine() -> FakeEngine:
    """The engine of the model that answers."""
    return FakeEngine()


@pytest.fixture
async def predictor() -> AsyncIterator[Predictor]:
    """A predictor whose clock stands still."""
    batcher: Batcher[Work, ComputedRow] = Batcher(BatchRunner(), clock=lambda: NOW, heartbeat_interval=1000.0)
    await batcher.start()
    yield Predictor(batcher, replica_id="replica", clock=lambda: NOW)
    await batcher.close()


def task(
    engine: FakeEngine,
    *,
    first: float = 0.0,
    deadline: float = NOW + 5.0,
    received_at: float = NOW,
    cacheable: bool = False,
) -> PredictionTask:
    """Returns a task for a window that begins with the given number."""
    window = np.zeros((50, 60), np.float32)
    window[0, 0] = first
    return PredictionTask(
        work=Work(window=window, model=served_model(engine)),
        origin=InputOrigin(),
        priority=PriorityClass.STANDARD,
        deadline=deadline,
        received_at=received_at,
        caller="",
        trace_id="",
        shareable=False,
        cacheable=cacheable,
    )


async def test_an_answer_has_its_evidence(predictor: Predictor, engine: FakeEngine) -> None:
    """The hash is that of the window's little-endian bytes; times are measured from receipt."""
    asked = task(engine, first=1.5, received_at=NOW - 2.0)
    answer = await predictor.predict(asked)
    assert answer.task is asked
    assert answer.input_sha256 == hashlib.sha256(asked.work.window.astype("<f4").tobytes()).hexdigest()
    assert (answer.total_duration, answer.deadline_slack) == (2.0, 5.0)
    assert (answer.replica_id, answer.out_of_distribution) == ("replica", False)
    [batch] = engine.batches
    assert np.array_equal(batch[0], asked.work.window)
    assert answer.row.class_probabilities.sum() == pytest.approx(1.0)


async def test_an_unusual_window_is_marked(predictor: Predictor, engine: FakeEngine) -> None:
    """The answer says that it deserves less trust."""
    assert (await predictor.predict(task(engine, first=-101.0))).out_of_distribution


async def test_an_answer_that_is_there_too_late_is_none(engine: FakeEngine) -> None:
    """The engine was in time, and the event loop came to it after the deadline: the caller is told so, typed."""
    batcher: Batcher[Work, ComputedRow] = Batcher(BatchRunner(), clock=lambda: NOW, heartbeat_interval=1000.0)
    await batcher.start()
    predictor = Predictor(batcher, replica_id="replica", clock=lambda: NOW + 5.0)
    with pytest.raises(ExpiredInExecutionError):
        await predictor.predict(task(engine, deadline=NOW + 5.0))
    assert len(engine.batches) == 1
    await batcher.close()


async def test_an_expired_task_is_not_computed(predictor: Predictor, engine: FakeEngine) -> None:
    """A deadline that has passed ends the task before the engine sees it."""
    with pytest.raises(ExpiredInQueueError):
        await predictor.predict(task(engine, deadline=NOW - 0.001))
    assert not engine.batches


async def test_a_bad_answer_is_its_own_windows_alone(predictor: Predictor, engine: FakeEngine) -> None:
    """Of one batch, the window whose answer is not finite fails, and its neighbours are answered."""
    model = served_model(engine)
    works = [Work(window=task(engine, first=first).work.window, model=model) for first in (0.0, POISON, 1.0)]
    rows = [computed.row for computed in BatchRunner()(model.sha256, works)]
    assert [row is None for row in rows] == [False, True, False]
    with pytest.raises(InvalidOutputError):
        await predictor.predict(task(engine, first=POISON))
    await predictor.predict(task(engine))


@pytest.mark.parametrize(
    ("output", "value"),
    [
        ("class_probabilities", math.nan),
        ("class_probabilities", 0.9),
        ("regression_mean", math.inf),
        ("regression_standard_deviation", math.nan),
        ("regression_standard_deviation", -1.0),
        ("ensemble_class_probabilities", math.nan),
        ("ensemble_regression_mean", math.nan),
        ("ensemble_regression_standard_deviation", 0.0),
        ("ensemble_weights", 0.7),
        ("features", math.inf),
    ],
)
async def test_no_number_of_an_answer_is_taken_on_trust(predictor: Predictor, output: str, value: float) -> None:
    """Not finite, not normalised or not positive where it must be: whichever output it is, the answer is withheld."""

    class Broken(FakeEngine):
        def run(self, windows: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> ModelOutputs:
            outputs = super().run(windows)
            spoilt = getattr(outputs, output).copy()
            spoilt[0, 0] = value
            return ModelOutputs(**{name: getattr(outputs, name) for name in ModelOutputs.__slots__} | {output: spoilt})

    with pytest.raises(InvalidOutputError):
        await predictor.predict(task(Broken()))


async def test_an_engines_failure_is_a_failed_inference(predictor: Predictor, engine: FakeEngine) -> None:
    """It ends the batch's members and nothing after them."""
    engine.error = RuntimeError("boom")
    with pytest.raises(InferenceFailedError):
        await predictor.predict(task(engine))
    engine.error = None
    await predictor.predict(task(engine))


class Remembering:
    """A predictor that keeps answers, with a clock of its own to move.

    Attributes:
        now: Monotonic seconds.
        predictor: Under test.
    """

    def __init__(self, live: LiveSettings, batcher: Batcher[Work, ComputedRow]) -> None:
        self.now = NOW
        self.known = KnownResults(live, connect=lambda _: pytest.fail("no Redis is set"), clock=lambda: NOW)
        self.predictor = Predictor(batcher, replica_id="replica", known=self.known, clock=lambda: self.now)


@pytest.fixture
async def remembering() -> AsyncIterator[Remembering]:
    """Its scheduler's clock stands still."""
    live = await asyncio.to_thread(lambda: LiveSettings(Settings()))
    batcher: Batcher[Work, ComputedRow] = Batcher(BatchRunner(), clock=lambda: NOW, heartbeat_interval=1000.0)
    await batcher.start()
    yield Remembering(live, batcher)
    await batcher.close()


async def test_a_known_answer_skips_the_queue(remembering: Remembering, engine: FakeEngine) -> None:
    """It is the same answer, with this task's evidence and times, and says that it was cached."""
    first = await remembering.predictor.predict(task(engine, first=3.0, cacheable=True))
    asked = task(engine, first=3.0, cacheable=True, received_at=NOW - 1.0)
    again = await remembering.predictor.predict(asked)
    assert len(engine.batches) == 1
    assert (first.cached, again.cached) == (False, True)
    for name in OUTPUT_NAMES:
        assert np.array_equal(getattr(first.row, name), getattr(again.row, name))
    assert again.task is asked
    assert (again.input_sha256, again.out_of_distribution) == (first.input_sha256, first.out_of_distribution)
    assert (again.total_duration, again.deadline_slack) == (1.0, 5.0)
    completion = again.completion
    assert (completion.batch_size, completion.inference_duration, completion.queue_duration) == (0, 0.0, 0.0)
    assert completion.chosen_at == asked.received_at


async def test_a_known_answer_that_is_there_too_late_is_none(remembering: Remembering, engine: FakeEngine) -> None:
    """A deadline that has passed is passed for everybody."""
    await remembering.predictor.predict(task(engine, cacheable=True))
    remembering.now = NOW + 5.0
    with pytest.raises(ExpiredInQueueError):
        await remembering.predictor.predict(task(engine, cacheable=True))


async def test_an_answer_that_came_too_late_is_kept(remembering: Remembering, engine: FakeEngine) -> None:
    """Whoever asks again need not wait again."""
    remembering.now = NOW + 5.0
    with pytest.raises(ExpiredInExecutionError):
        await remembering.predictor.predict(task(engine, cacheable=True))
    remembering.now = NOW
    assert (await remembering.predictor.predict(task(engine, cacheable=True))).cached


async def test_a_task_that_is_not_to_be_cached_leaves_no_trace(remembering: Remembering, engine: FakeEngine) -> None:
    """It is computed though its answer is known, and its answer is not kept."""
    await remembering.predictor.predict(task(engine, first=1.0, cacheable=True))
    for first in (1.0, 2.0):
        assert not (await remembering.predictor.predict(task(engine, first=first))).cached
    assert not (await remembering.predictor.predict(task(engine, first=2.0, cacheable=True))).cached
    assert remembering.known.statistics()[0].entries == 2


async def test_failed_and_invalid_answers_are_not_kept(remembering: Remembering, engine: FakeEngine) -> None:
    """Both are tried again."""
    engine.error = RuntimeError("boom")
    with pytest.raises(InferenceFailedError):
        await remembering.predictor.predict(task(engine, cacheable=True))
    engine.error = None
    for _ in range(2):
        with pytest.raises(InvalidOutputError):
            await remembering.predictor.predict(task(engine, first=POISON, cacheable=True))
    assert len(engine.batches) == 3
    assert remembering.known.statistics()[0].entries == 0
