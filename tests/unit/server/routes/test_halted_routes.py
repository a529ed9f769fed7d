"""Laws of a routed answer while something is halted: no arm answers that is halted, and none answers for it unseen."""

import asyncio
import logging
from typing import Any

import pytest

from batching import InferenceFailedError
from server.config.live_settings import LiveSettings
from server.config.route_settings import RouteSettings
from server.inference.halting_predictor import HaltingPredictor
from server.inference.predictor import Answer
from server.refusal import Reason, Refusal
from server.routes.arm_statistics import Outcome
from server.routes.route_table import RouteTable
from server.routes.routed_predictor import RoutedPredictor
from server.routes.router import Arm
from server.security.halt_view import Halts
from tests.support.fakes import served_model, settle
from tests.support.halts import EVERYTHING, halted, scope
from tests.support.registry import NAME, real_windows
from tests.support.routed import FakePool, ScriptedPredictor, no_costs, routes_settings, task

STANDARD, SHADOW = "STANDARD", "SHADOW"


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


class Service:
    """Stable 1, candidate 2 and shadow 3, behind the halts."""

    def __init__(self, **route: Any) -> None:
        values = {"stable": 1, "candidate": 2, "percent": 100, "shadow": 3, "compared_percent": 0} | route
        self.predictor = ScriptedPredictor()
        self.halts = Halts(clock=self.predictor.now)
        pool = FakePool(*(served_model(version=version) for version in (1, 2, 3)))
        self.table = RouteTable(pool, LiveSettings(routes_settings(RouteSettings(**values))), clock=self.predictor.now)
        guarded = HaltingPredictor(self.predictor, self.halts)
        self.routed = RoutedPredictor(guarded, self.table, statistics=no_costs)

    async def ask(self) -> Answer:
        """Asks for one answer."""
        assignment = self.routed.assign(await self.routed.resolve("", 0), "key")
        answer = await self.routed.predict(task(), assignment)
        await settle()
        return answer


async def test_a_halted_candidate_is_replaced_by_stable(caplog: pytest.LogCaptureFixture) -> None:
    """It is not asked; the log has no fault of its, and its figures none either."""
    service = Service(shadow=None)
    halted(service.halts, scope("model", NAME, 2))
    with caplog.at_level(logging.WARNING):
        answer = await service.ask()
    assert answer.task.work.model.version == 1
    assert service.predictor.asked() == [(1, STANDARD)]
    assert not caplog.records
    figures = service.table.routes[NAME].statistics[Arm.CANDIDATE].total
    assert {outcome: count for outcome, count in figures.outcomes.items() if count} == {Outcome.DECLINED: 1}


async def test_a_halted_stable_is_no_fallback() -> None:
    """While the candidate answers nobody needs it; when it fails, the caller is told HALTED."""
    service = Service(shadow=None)
    halted(service.halts, scope("model", NAME, 1))
    assert (await service.ask()).task.work.model.version == 2
    service.predictor.errors[2] = lambda: InferenceFailedError("broken")
    with pytest.raises(Refusal) as caught:
        await service.ask()
    assert caught.value.reason is Reason.HALTED
    assert service.predictor.asked() == [(2, STANDARD), (2, STANDARD)]


async def test_a_halted_shadow_computes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it, and nothing is logged as its failure."""
    service = Service()
    halted(service.halts, scope("model", NAME, 3))
    with caplog.at_level(logging.WARNING):
        assert (await service.ask()).task.work.model.version == 2
    assert service.predictor.asked() == [(2, STANDARD)]
    assert not caplog.records
    halted(service.halts)
    await service.ask()
    assert service.predictor.asked()[-1] == (3, SHADOW)


@pytest.mark.parametrize("stopped", [EVERYTHING, scope("model", NAME)], ids=str)
async def test_no_arm_answers_for_a_halted_model(stopped: Any) -> None:
    """Nor is any asked."""
    service = Service()
    halted(service.halts, stopped)
    with pytest.raises(Refusal) as caught:
        await service.ask()
    assert caught.value.metadata["scope"] == str(stopped)
    assert not service.predictor.tasks


async def test_an_answer_that_is_ready_when_the_halt_comes_is_not_given() -> None:
    """The last look is after the work, whatever the work was."""
    halts, ready = Halts(), asyncio.Event()

    class Slow(ScriptedPredictor):
        async def predict(self, task: Any) -> Answer:
            answer = await super().predict(task)
            halted(halts, EVERYTHING)
            ready.set()
            return answer

    predictor = HaltingPredictor(Slow(), halts)
    with pytest.raises(Refusal) as caught:
        await predictor.predict(task())
    assert ready.is_set()
    assert caught.value.reason is Reason.HALTED
