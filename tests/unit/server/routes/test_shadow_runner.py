"""Laws of copies: they wait in the last class, are bounded and end with the service; no caller hears of them."""

import asyncio
import dataclasses
import logging
from collections.abc import Callable

import pytest

from batching import DisplacedError, EngineHungError, ExpiredInQueueError, PriorityClass, QueueFullError
from model.outputs import OutputRow
from server.inference.predictor import InvalidOutputError
from server.routes.arm_statistics import ArmStatistics, Outcome
from server.routes.shadow_runner import ShadowRunner
from server.trace_context import TraceContext
from tests.support.fakes import served_model, settle
from tests.support.routed import ScriptedPredictor, task

SHADOW = served_model(version=3)


@pytest.fixture
def predictor() -> ScriptedPredictor:
    """Answers at once."""
    return ScriptedPredictor()


@pytest.fixture
def statistics(predictor: ScriptedPredictor) -> ArmStatistics:
    """The shadow's figures."""
    return ArmStatistics(window=60.0, clock=predictor.now)


async def test_a_copy_is_the_same_window_in_the_last_class(
    predictor: ScriptedPredictor, statistics: ArmStatistics
) -> None:
    """It shares no execution, no trace and no known answer, does not outlive its patience, and begins later."""
    rows: list[OutputRow] = []
    asked = task(deadline=1000.001, first=1.5)
    traced = TraceContext(trace_id="ab" * 16, span_id="cd" * 8, is_sampled=True)
    asked = dataclasses.replace(asked, work=dataclasses.replace(asked.work, trace=traced))
    predictor.takes[3] = 0.25
    ShadowRunner(predictor).start(asked, SHADOW, rows.append, statistics=statistics)
    assert not predictor.tasks
    await settle()
    [copy] = predictor.tasks
    assert copy.work.model is SHADOW
    assert copy.work.window is asked.work.window
    assert copy.work.trace is None
    assert (copy.priority, copy.shareable, copy.cacheable) == (PriorityClass.SHADOW, False, False)
    assert copy.deadline == 1005.0
    assert len(rows) == 1
    assert statistics.total.outcomes[Outcome.ANSWERED] == 1
    assert 0.25 <= statistics.total.latency.quantile(1) <= 0.275


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (lambda: QueueFullError(1.0), Outcome.DECLINED),
        (lambda: DisplacedError(1.0), Outcome.DECLINED),
        (lambda: ExpiredInQueueError(1.0), Outcome.DECLINED),
        (lambda: EngineHungError(1.0), Outcome.ERROR),
        (lambda: InvalidOutputError("not finite"), Outcome.ERROR),
        (lambda: ValueError("a bug"), Outcome.ERROR),
    ],
)
async def test_a_copy_that_fails_is_counted(
    predictor: ScriptedPredictor,
    statistics: ArmStatistics,
    caplog: pytest.LogCaptureFixture,
    error: Callable[[], BaseException],
    outcome: Outcome,
) -> None:
    """Load is no fault of the version; only what nobody expects is logged."""
    predictor.errors[3] = error
    runner = ShadowRunner(predictor)
    with caplog.at_level(logging.WARNING, "tickserve"):
        runner.start(task(), SHADOW, lambda _: pytest.fail("there is no answer"), statistics=statistics)
        runner.start(task(), SHADOW, lambda _: pytest.fail("there is no answer"), statistics=None)
        await settle()
    assert statistics.total.requests == statistics.total.outcomes[outcome] == 1
    assert bool(caplog.records) == isinstance(error(), ValueError)
    assert not len(runner)


async def test_copies_are_bounded(predictor: ScriptedPredictor, statistics: ArmStatistics) -> None:
    """What finds no room is dropped and counted; room that is given back is used."""
    predictor.held.clear()
    runner = ShadowRunner(predictor, max_outstanding=2)
    for _ in range(5):
        runner.start(task(), SHADOW, lambda _: None, statistics=statistics)
    await settle()
    assert (len(runner), len(predictor.tasks)) == (2, 2)
    assert statistics.total.outcomes[Outcome.DECLINED] == 3
    predictor.held.set()
    await settle()
    runner.start(task(), SHADOW, lambda _: None, statistics=statistics)
    await settle()
    assert statistics.total.outcomes[Outcome.ANSWERED] == 3


async def test_closing_gives_copies_up(predictor: ScriptedPredictor, statistics: ArmStatistics) -> None:
    """None is left over, those that have not begun included, and none is taken afterwards."""
    predictor.held.clear()
    runner = ShadowRunner(predictor)
    runner.start(task(), SHADOW, lambda _: None, statistics=statistics)
    await settle()
    runner.start(task(), SHADOW, lambda _: None, statistics=statistics)
    await runner.close()
    runner.start(task(), SHADOW, lambda _: None, statistics=statistics)
    await runner.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(predictor.tasks) == 1
    assert statistics.total.outcomes[Outcome.ANSWERED] == 0
