"""Laws of a routed answer: stable makes good what a candidate fails, in time; shadows are never seen; arms are kept."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from batching import (
    CostEstimate,
    DisplacedError,
    EngineHungError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    PredictedDeadlineMissError,
    QueueFullError,
    SchedulerClosedError,
    Statistics,
)
from server.config.live_settings import LiveSettings
from server.config.route_settings import RouteSettings
from server.config.settings import Settings
from server.inference.predictor import Answer, InvalidOutputError
from server.routes.arm_statistics import ArmFigures, Outcome
from server.routes.route_table import RouteTable
from server.routes.routed_predictor import Assignment, RoutedPredictor
from server.routes.router import Arm
from tests.support.fakes import FakeEngine, served_model, settle
from tests.support.registry import NAME, real_windows
from tests.support.routed import FakePool, ScriptedPredictor, no_costs, routes_settings, task

STANDARD, SHADOW = "STANDARD", "SHADOW"
STABLE_NEEDS = 0.25


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


class Service:
    """Two versions and what the routes make of them."""

    def __init__(self, **route: Any) -> None:
        values = {"stable": 1, "candidate": 2, "percent": 100, "compared_percent": 0, "min_requests": 4} | route
        self.engines = {version: FakeEngine() for version in (1, 2, 3)}
        self.pool = FakePool(*(served_model(self.engines[version], version=version) for version in (1, 2, 3)))
        self.predictor = ScriptedPredictor()
        self.live = LiveSettings(self._settings(values))
        self.table = RouteTable(self.pool, self.live, clock=self.predictor.now)
        self.routed = RoutedPredictor(self.predictor, self.table, statistics=self._costs)
        self._route = values

    def change(self, **route: Any) -> None:
        """Changes some of the route's settings."""
        self._route |= route
        self.live.change(self._settings(self._route))
        self.table.reconfigure()

    async def assign(self, key: str = "key", kept: dict[str, Arm] | None = None, version: int = 0) -> Assignment:
        """Returns who answers a key."""
        return self.routed.assign(await self.routed.resolve("", version), key, kept)

    async def ask(self, assignment: Assignment | None = None, **fields: Any) -> Answer:
        """Asks for one answer."""
        answer = await self.routed.predict(task(**fields), assignment or await self.assign())
        await settle()
        return answer

    def figures(self, arm: Arm) -> ArmFigures:
        """Returns what an arm has done."""
        return self.table.routes[NAME].statistics[arm].total

    @property
    def is_rolled_back(self) -> bool:
        """Whether the candidate is taken back."""
        return self.table.routes[NAME].rollback is not None

    def _costs(self) -> Statistics:
        quick = {1: CostEstimate(median=0.1, quantile=STABLE_NEEDS / 2)}
        return dataclasses.replace(no_costs(), costs={f"{1:064x}": quick, f"{2:064x}": quick})

    def _settings(self, values: dict[str, Any]) -> Settings:
        return routes_settings(RouteSettings(**values))


async def test_an_answer_says_who_gave_it() -> None:
    """The candidate, on its own terms but with the caller's deadline; stable is not asked."""
    service = Service()
    answer = await service.ask(deadline=1005.0)
    assert answer.task.work.model.version == 2
    assert service.predictor.asked() == [(2, STANDARD)]
    assert service.predictor.tasks[0].deadline == 1005.0 - STABLE_NEEDS
    assert (answer.task.deadline, answer.deadline_slack) == (1005.0, 5.0)
    await service.ask(await service.assign(version=1))
    assert service.predictor.asked()[1:] == [(1, STANDARD)]
    assert service.figures(Arm.STABLE).requests == 0  # a version that is named has no arm


FAILURES: list[tuple[Callable[[], BaseException], Outcome]] = [
    (lambda: InferenceFailedError("boom"), Outcome.ERROR),
    (lambda: EngineHungError(1.0), Outcome.ERROR),
    (lambda: InvalidOutputError("not finite"), Outcome.ERROR),
    (lambda: ValueError("a bug"), Outcome.ERROR),
    (lambda: ExpiredInQueueError(1.0), Outcome.LATE),
    (lambda: ExpiredInExecutionError(1.0), Outcome.LATE),
    (lambda: PredictedDeadlineMissError(5.1, 1.0), Outcome.LATE),
    (lambda: PredictedDeadlineMissError(4.9, 1.0), Outcome.DECLINED),
    (lambda: QueueFullError(1.0), Outcome.DECLINED),
    (lambda: DisplacedError(1.0), Outcome.DECLINED),
]


@pytest.mark.parametrize(("failure", "outcome"), FAILURES)
async def test_stable_makes_good_what_the_candidate_fails(
    failure: Callable[[], BaseException], outcome: Outcome
) -> None:
    """Whatever it was, the caller gets stable's answer, under its own deadline, one after the other."""
    service = Service()
    service.predictor.errors[2] = failure
    answer = await service.ask(deadline=1005.0)
    assert answer.task.work.model.version == 1
    assert service.predictor.asked() == [(2, STANDARD), (1, STANDARD)]
    assert service.predictor.tasks[1].deadline == 1005.0
    figures = service.figures(Arm.CANDIDATE)
    assert (figures.outcomes[outcome], figures.requests, figures.fallbacks) == (1, 1, 1)
    assert service.figures(Arm.STABLE).requests == 0


async def test_a_caller_hears_of_stables_failure_only() -> None:
    """If stable fails, too, its error is the answer; and it is no fallback then."""
    service = Service()
    service.predictor.errors[2] = lambda: InferenceFailedError("candidate")
    service.predictor.errors[1] = lambda: QueueFullError(0.5)
    with pytest.raises(QueueFullError):
        await service.ask()
    assert service.figures(Arm.CANDIDATE).fallbacks == 0


async def test_without_time_for_both_stable_answers() -> None:
    """A candidate that could not be made good is not tried, and that is no fault of it."""
    service = Service()
    answer = await service.ask(deadline=1000.0 + STABLE_NEEDS)
    assert answer.task.work.model.version == 1
    assert service.predictor.asked() == [(1, STANDARD)]
    assert service.figures(Arm.CANDIDATE).outcomes[Outcome.DECLINED] == 1


async def test_a_cancelled_caller_costs_nothing_more() -> None:
    """Stable is not asked for somebody who has gone, and nobody is blamed."""
    service = Service()
    service.predictor.errors[2] = asyncio.CancelledError
    with pytest.raises(asyncio.CancelledError):
        await service.ask()
    assert service.predictor.asked() == [(2, STANDARD)]
    assert service.figures(Arm.CANDIDATE).requests == 0


async def test_a_service_that_stops_has_nobody_to_fall_back_on() -> None:
    """The caller is told to go elsewhere, and nobody is blamed."""
    service = Service()
    service.predictor.errors[2] = SchedulerClosedError
    with pytest.raises(SchedulerClosedError):
        await service.ask()
    assert service.figures(Arm.CANDIDATE).requests == 0


async def test_stables_own_requests_are_counted() -> None:
    """Answers with their latency, and how the others ended."""
    service = Service(percent=0)
    service.predictor.takes[1] = 0.5
    await service.ask(deadline=1100.0)
    service.predictor.errors[1] = lambda: ExpiredInQueueError(1.0)
    with pytest.raises(ExpiredInQueueError):
        await service.ask()
    figures = service.figures(Arm.STABLE)
    assert (figures.outcomes[Outcome.ANSWERED], figures.outcomes[Outcome.LATE]) == (1, 1)
    assert 0.5 <= figures.latency.quantile(1) <= 0.55


async def test_a_failing_candidate_is_rolled_back_and_callers_never_notice() -> None:
    """From `min_requests` failures on it is not even tried."""
    service = Service(min_requests=4)
    service.predictor.errors[2] = lambda: InvalidOutputError("not finite")
    versions = [(await service.ask()).task.work.model.version for _ in range(6)]
    assert versions == [1] * 6
    assert service.is_rolled_back
    assert [version for version, _ in service.predictor.asked()] == [2, 1] * 4 + [1, 1]


async def test_overload_is_no_fault_of_the_candidate() -> None:
    """A queue that is full for everybody rolls nothing back."""
    service = Service(min_requests=1, max_late_rate=0, max_error_rate=0)
    service.predictor.errors[2] = service.predictor.errors[1] = lambda: QueueFullError(1.0)
    for _ in range(5):
        with pytest.raises(QueueFullError):
            await service.ask()
    assert not service.is_rolled_back


async def test_a_shadow_is_compared_and_never_seen() -> None:
    """The answer is stable's; the copy runs in the last class and counts as different."""
    service = Service(candidate=None, percent=0, shadow=3)
    service.engines[3] = FakeEngine()
    answer = await service.ask(first=1.0)
    assert answer.task.work.model.version == 1
    assert service.predictor.asked() == [(1, STANDARD), (3, SHADOW)]
    figures = service.figures(Arm.SHADOW)
    assert (figures.compared, figures.other_class, figures.probability_most) == (1, 0, 0.0)


async def test_an_answer_does_not_wait_for_its_shadow() -> None:
    """However long that takes; and closing gives it up."""
    service = Service(candidate=None, percent=0, shadow=3)
    service.predictor.held.clear()
    answer = await asyncio.wait_for(service.ask(), timeout=30)
    assert answer.task.work.model.version == 1
    assert service.predictor.asked() == [(1, STANDARD), (3, SHADOW)]
    await service.routed.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_shadow_that_fails_is_only_counted() -> None:
    """Callers and other arms know nothing of it."""
    service = Service(shadow=3)
    service.predictor.errors[3] = lambda: InferenceFailedError("boom")
    assert (await service.ask()).task.work.model.version == 2
    assert service.figures(Arm.SHADOW).outcomes[Outcome.ERROR] == 1
    assert not service.is_rolled_back


async def test_the_candidate_is_compared_with_stable() -> None:
    """A share of its answers is computed by stable in the last class; too much disagreement rolls it back."""
    service = Service(compared_percent=100, max_disagreement=0.4, min_requests=3)
    service.predictor.cached = set()

    class Contrary(FakeEngine):
        def run(self, windows: Any) -> Any:
            outputs = super().run(windows)
            return dataclasses.replace(outputs, class_probabilities=outputs.class_probabilities[:, [1, 0, 2]].copy())

    service.pool.served[2] = served_model(Contrary(), version=2)
    for _ in range(2):
        await service.ask()
    figures = service.figures(Arm.CANDIDATE)
    assert (figures.compared, figures.other_class) == (2, 2)
    assert not service.is_rolled_back
    await service.ask()
    assert service.is_rolled_back
    assert service.predictor.asked() == [(2, STANDARD), (1, SHADOW)] * 3
    assert service.figures(Arm.STABLE).requests == 0


async def test_what_was_known_before_is_not_copied() -> None:
    """A cached answer was compared when it was computed, and took no time that says anything."""
    service = Service(shadow=3, compared_percent=100)
    service.predictor.cached = {2}
    await service.ask()
    assert service.predictor.asked() == [(2, STANDARD)]
    assert service.figures(Arm.CANDIDATE).latency.count == 0


async def test_a_shadow_of_the_answering_version_is_not_run() -> None:
    """It would agree with itself."""
    service = Service(shadow=2)
    await service.ask()
    assert service.predictor.asked() == [(2, STANDARD)]


async def test_a_stream_keeps_its_arm() -> None:
    """Whichever way the percentage moves, those that have an arm keep it; new ones follow it."""
    service = Service(percent=100)
    early, kept = await service.assign(), dict[str, Arm]()
    await service.assign(kept=kept)
    service.change(percent=0)
    assert (await service.ask(early)).task.work.model.version == 2
    assert (await service.assign(kept=kept)).model.version == 2
    assert (await service.assign()).model.version == 1
    late, kept = await service.assign(), dict[str, Arm]()
    await service.assign(kept=kept)
    service.change(percent=100)
    assert (await service.ask(late)).task.work.model.version == 1
    assert (await service.assign(kept=kept)).model.version == 1


async def test_a_stream_loses_a_candidate_that_is_none_any_more() -> None:
    """Rolled back, removed, replaced, forgotten or without a route: stable answers what the stream asks."""
    service = Service(min_requests=1)
    stream = await service.assign()
    assert stream.model.version == 2
    service.predictor.errors[2] = lambda: InferenceFailedError("boom")
    await service.ask(stream)
    assert service.is_rolled_back
    del service.predictor.errors[2]
    assert (await service.ask(stream)).task.work.model.version == 1
    service.change(percent=50)
    assert (await service.ask(stream)).task.work.model.version == 2
    served = service.pool.served.pop(2)
    assert (await service.ask(stream)).task.work.model.version == 1
    service.pool.served[2] = served
    service.change(candidate=3)
    assert (await service.ask(stream)).task.work.model.version == 1
    service.change(candidate=2)
    service.live.change(routes_settings(None))
    service.table.reconfigure()
    assert (await service.ask(stream)).task.work.model.version == 1


async def test_a_stream_of_a_promoted_candidate_goes_on() -> None:
    """Its version is stable now, and there is nothing to fall back to."""
    service = Service()
    stream = await service.assign()
    service.change(stable=2, candidate=None, percent=0)
    assert (await service.ask(stream)).task.work.model.version == 2
    assert service.figures(Arm.STABLE).requests == 1
