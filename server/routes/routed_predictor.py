"""Answers a task through its model's route: by the candidate or by stable, with copies for the shadow.

Owns what happens when a candidate fails: stable answers within the caller's deadline, one after the other and never
both at once, for a second execution of every request would cost half the capacity. Knows no RPCs and no protobuf.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from batching import (
    DisplacedError,
    InferenceFailedError,
    PredictedDeadlineMissError,
    QueueFullError,
    SchedulerClosedError,
    SchedulerError,
    Statistics,
)
from model.outputs import OutputRow
from server.inference.predictor import Answer, InvalidOutputError, PredictionTask
from server.models.served_model import ServedModel
from server.refusal import Refusal
from server.routes.arm_statistics import ArmStatistics, Outcome
from server.routes.disagreement import compare
from server.routes.fallback_reserve import FallbackReserve
from server.routes.route import Route
from server.routes.route_table import RouteTable, Target
from server.routes.router import Arm, place
from server.routes.shadow_runner import AnswersTasks, ShadowRunner

logger = logging.getLogger("tickserve")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Who answers a request, or a stream for as long as it lives.

    Attributes:
        stable: Answers unless the candidate does.
        candidate: Tried first; None on stable's arm.
        route: Whose arms these are; None where there is no choice.
    """

    stable: ServedModel
    candidate: ServedModel | None = None
    route: Route | None = None

    @property
    def model(self) -> ServedModel:
        """The version that is asked first."""
        return self.candidate or self.stable


class RoutedPredictor:
    """Runs tasks on the arms of routes.

    Args:
        predictor: Answers a task on one version.
        table: The routes, and the versions that they lead to.
        statistics: Looks at the scheduler, for what its batches cost.
        gate: Entered for as long as a caller's task is at work; may refuse it.
    """

    def __init__(
        self,
        predictor: AnswersTasks,
        table: RouteTable,
        *,
        statistics: Callable[[], Statistics],
        gate: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._predictor = predictor
        self._gate = gate
        self._table = table
        self._reserve = FallbackReserve(statistics, predictor.now)
        self._shadows = ShadowRunner(predictor)

    def now(self) -> float:
        """Returns the monotonic clock that deadlines are measured on."""
        return self._predictor.now()

    async def resolve(self, name: str, version: int) -> Target:
        """Returns what a reference to a model leads to.

        Raises:
            Refusal: MODEL_NOT_FOUND or MODEL_LOADING.
        """
        return await self._table.resolve(name, version)

    def assign(self, target: Target, key: str, kept: MutableMapping[str, Arm] | None = None) -> Assignment:
        """Returns who answers for a routing key.

        Args:
            target: What the request's reference leads to.
            key: See `router.routing_key`.
            kept: Arms by model of a stream, which it keeps whatever becomes of the percentage.
        """
        route = target.route
        if route is None:
            return Assignment(stable=target.model)
        arm = route.arm_of(key) if kept is None else kept.setdefault(route.model, route.arm_of(key))
        candidate = None
        if arm is Arm.CANDIDATE and route.rollback is None:
            candidate = self._table.version(route, Arm.CANDIDATE, target.model)
        return Assignment(stable=target.model, candidate=candidate, route=route)

    async def predict(self, task: PredictionTask, assignment: Assignment) -> Answer:
        """Answers one task before its deadline; whose model its work names does not matter.

        Raises:
            Refusal: What the gate refused it for.
            batching.SchedulerError, InvalidOutputError: What ended it on stable; never what ended it on a candidate.
        """
        with self._gate():
            return await self._predict(task, assignment)

    async def _predict(self, task: PredictionTask, assignment: Assignment) -> Answer:
        route = assignment.route
        if route is None:
            return await self._predictor.predict(_on(task, assignment.stable))
        stable, candidate = self._arms(assignment, route)
        if candidate is None:
            answer = await self._answer(_on(task, stable), route.statistics[Arm.STABLE])
        else:
            answer = await self._try(candidate, stable, task, route)
        self._copy(answer, stable, route)
        return answer

    async def close(self) -> None:
        """Gives up what nobody waits for. Idempotent."""
        await self._shadows.close()

    def _arms(self, assignment: Assignment, route: Route) -> tuple[ServedModel, ServedModel | None]:
        """Returns stable and the candidate as they are now: a stream keeps its arm longer than that may be good."""
        stable, candidate = assignment.stable, assignment.candidate
        if candidate is None:
            return stable, None
        if candidate.version == route.settings.stable:
            return candidate, None  # it has been promoted
        if route.rollback is not None or candidate.version != route.settings.candidate:
            return stable, None
        return stable, self._table.version(route, Arm.CANDIDATE, stable)

    async def _answer(self, task: PredictionTask, statistics: ArmStatistics) -> Answer:
        started = self._predictor.now()
        try:
            answer = await self._predictor.predict(task)
        except Exception as error:
            statistics.count(outcome_of(error))
            raise
        statistics.count(Outcome.ANSWERED, None if answer.cached else self._predictor.now() - started)
        return answer

    async def _try(self, candidate: ServedModel, stable: ServedModel, task: PredictionTask, route: Route) -> Answer:
        """Answers with the candidate, or else with stable in what is left of the time."""
        statistics = route.statistics[Arm.CANDIDATE]
        started = self._predictor.now()
        # Until then the candidate may try; what is left after it is what stable needs.
        limit = task.deadline - self._reserve.seconds(stable, candidate)
        outcome, seconds, answer = Outcome.DECLINED, None, None
        if limit > started:
            try:
                answer = await self._predictor.predict(_on(task, candidate, deadline=limit))
            except SchedulerClosedError:
                raise  # there is nobody to fall back on
            except Exception as error:
                outcome = outcome_of(error, asked_at=started, deadline=task.deadline)
                # These the scheduler has logged, or they are no faults.
                if not isinstance(error, SchedulerError | Refusal):
                    trace = None if isinstance(error, InvalidOutputError) else error
                    logger.warning("candidate failed, stable answers: %s", error, exc_info=trace)
            else:
                outcome = Outcome.ANSWERED
                seconds = None if answer.cached else self._predictor.now() - started
        statistics.count(outcome, seconds)
        route.review(statistics)
        if answer is not None:
            return _as_asked(answer, task)
        answer = await self._predictor.predict(_on(task, stable))
        statistics.count_fallback()
        return answer

    def _copy(self, answer: Answer, stable: ServedModel, route: Route) -> None:
        """Has an answer computed by others, too, if it is new; never raises, and never waits."""
        model, task = answer.task.work.model, answer.task
        if answer.cached:
            return
        deviation = stable.config.target_normalisation.standard_deviation
        is_candidate = model is not stable and model.version == route.settings.candidate
        # By content, so that no pattern in the order of requests decides what is compared.
        if is_candidate and place("compared", answer.input_sha256) < route.settings.compared_percent / 100:
            judged = partial(_compare_candidate, route, route.statistics[Arm.CANDIDATE], answer.row, deviation)
            self._shadows.start(task, stable, judged, statistics=None)
        shadow = self._table.version(route, Arm.SHADOW, stable)
        if shadow is not None and shadow.version != model.version:
            statistics = route.statistics[Arm.SHADOW]
            noted = partial(_compare_shadow, statistics, answer.row, deviation)
            self._shadows.start(task, shadow, noted, statistics=statistics)


def outcome_of(error: Exception, *, asked_at: float = 0.0, deadline: float = 0.0) -> Outcome:
    """Returns how a call that raised is counted.

    Args:
        error: What ended it.
        asked_at: When the arm was asked, monotonic seconds.
        deadline: The caller's own deadline where the arm was given an earlier one; 0 where it was not. One that was
            refused for the earlier deadline alone says nothing of the version.
    """
    if isinstance(error, QueueFullError | DisplacedError | SchedulerClosedError | Refusal):
        return Outcome.DECLINED  # no room for it, or an operator has halted it: that says nothing of the version
    if isinstance(error, PredictedDeadlineMissError):
        return Outcome.DECLINED if asked_at + error.predicted_completion < deadline else Outcome.LATE
    if isinstance(error, InferenceFailedError) or not isinstance(error, SchedulerError):
        return Outcome.ERROR
    return Outcome.LATE


def _on(task: PredictionTask, model: ServedModel, *, deadline: float | None = None) -> PredictionTask:
    if task.work.model is model and deadline is None:
        return task
    work = dataclasses.replace(task.work, model=model)
    return dataclasses.replace(task, work=work, deadline=task.deadline if deadline is None else deadline)


def _as_asked(answer: Answer, task: PredictionTask) -> Answer:
    """Returns an answer with the caller's own deadline instead of the one that the candidate was given."""
    if task.work.late is not None:
        return answer  # judged by what was the newest in its place, whose own deadline it has already
    gained = task.deadline - answer.task.deadline
    given = dataclasses.replace(answer.task, deadline=task.deadline)
    return dataclasses.replace(answer, task=given, deadline_slack=answer.deadline_slack + gained)


def _compare_candidate(
    route: Route, statistics: ArmStatistics, row: OutputRow, deviation: tuple[float, ...], stable_row: OutputRow
) -> None:
    statistics.count_comparison(compare(stable_row, row, deviation))
    route.review(statistics)


def _compare_shadow(
    statistics: ArmStatistics, row: OutputRow, deviation: tuple[float, ...], shadow_row: OutputRow
) -> None:
    statistics.count_comparison(compare(row, shadow_row, deviation))
