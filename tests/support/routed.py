"""Routes for tests of single parts: a pool that has what it is given, and predictors whose answers the test decides."""

import asyncio
from collections.abc import Callable

import numpy as np

from batching import Completion, PriorityClass, Scheduler, SchedulerConfig, Statistics
from server.config.live_settings import LiveSettings
from server.config.route_settings import RouteSettings
from server.config.settings import Settings
from server.inference.predictor import Answer, InputOrigin, PredictionTask, Work
from server.models.model_pool import ModelPool
from server.models.served_model import ServedModel
from server.refusal import Reason, Refusal, model_loading
from server.routes.route_table import Pool, RouteTable
from server.routes.routed_predictor import RoutedPredictor
from server.routes.shadow_runner import AnswersTasks
from tests.support.fakes import served_model
from tests.support.registry import NAME

# Read here, before there is an event loop: it looks for a file.
_SETTINGS = Settings()


class FakePool:
    """Has the versions that it is given.

    Attributes:
        served: Loaded versions by number, all of the model `NAME`.
        coming: Versions that are being loaded, and so refused for the time being.
        latest: The version that serves.
        protected: What is to be kept.
        requested: Versions that were asked for and not there.
    """

    def __init__(self, *served: ServedModel, latest: int = 0) -> None:
        self.served = {model.version: model for model in served}
        self.coming: set[int] = set()
        self.latest = latest or max(self.served, default=0)
        self.protected: frozenset[tuple[str, int]] = frozenset()
        self.requested: list[int] = []

    async def get(self, name: str, version: int) -> ServedModel:
        """See `Pool`."""
        served = self.request(name, version)
        if served is not None:
            return served
        if version in self.coming:
            raise model_loading("It")
        raise Refusal(Reason.MODEL_NOT_FOUND, "There is none.", field="model")

    def request(self, name: str, version: int) -> ServedModel | None:
        """See `Pool`."""
        assert name in ("", NAME)
        served = self.served.get(version or self.latest)
        if served is None:
            self.requested.append(version)
        return served

    def protect(self, keys: frozenset[tuple[str, int]]) -> None:
        """See `Pool`."""
        self.protected = keys


class ScriptedPredictor:
    """Answers each task as the test decided for its version, and remembers what it was asked.

    Attributes:
        clock: Monotonic seconds; moves only when told to.
        takes: Seconds that a call to a version takes on that clock; none by default.
        errors: What ends a call to a version, by its number.
        cached: Versions whose answers are known already.
        held: While clear, calls of the class SHADOW wait.
        tasks: What was asked.
    """

    def __init__(self) -> None:
        self.clock = 1000.0
        self.takes: dict[int, float] = {}
        self.errors: dict[int, Callable[[], BaseException]] = {}
        self.cached: set[int] = set()
        self.held = asyncio.Event()
        self.held.set()
        self.tasks: list[PredictionTask] = []

    def now(self) -> float:
        """The test's time."""
        return self.clock

    async def predict(self, task: PredictionTask) -> Answer:
        """Computes with the version's fake engine."""
        self.tasks.append(task)
        if task.priority is PriorityClass.SHADOW:
            await self.held.wait()
        model = task.work.model
        self.clock += self.takes.get(model.version, 0.0)
        if model.version in self.errors:
            raise self.errors[model.version]()
        row = model.engine.run(np.stack([task.work.window])).row(0)
        return Answer(
            task=task,
            completion=Completion(
                result=row,
                queue_duration=0.0,
                inference_duration=0.0,
                batch_size=1,
                effective_priority=task.priority,
                enqueued_at=self.clock,
                chosen_at=self.clock,
                completed_at=self.clock,
            ),
            row=row,
            input_sha256="ab" * 32,
            out_of_distribution=False,
            total_duration=self.clock - task.received_at,
            deadline_slack=task.deadline - self.clock,
            replica_id="replica",
            cached=model.version in self.cached,
        )

    def asked(self) -> list[tuple[int, str]]:
        """Returns version and class of all that was asked."""
        return [(task.work.model.version, task.priority.name) for task in self.tasks]


def routes_settings(route: RouteSettings | None) -> Settings:
    """Returns settings with one route, or none, for the model `NAME`."""
    return _SETTINGS.model_copy(update={"routes": {} if route is None else {NAME: route}})


def no_costs() -> Statistics:
    """Returns a scheduler's statistics that knows no durations."""
    return Scheduler[object, object](SchedulerConfig()).statistics(0.0)


def routed(
    predictor: AnswersTasks,
    pool: Pool | ModelPool | None = None,
    settings: Settings | None = None,
    *,
    statistics: Callable[[], Statistics] = no_costs,
) -> RoutedPredictor:
    """Returns a predictor behind the routes of the settings; one version and no routes unless told otherwise."""
    table = RouteTable(pool or FakePool(served_model()), LiveSettings(settings or _SETTINGS), clock=predictor.now)
    return RoutedPredictor(predictor, table, statistics=statistics)


def task(*, deadline: float = 1005.0, received_at: float = 1000.0, first: float = 0.0) -> PredictionTask:
    """Returns a task whose window begins with the given number; who is to compute it is decided later."""
    window = np.zeros((50, 60), np.float32)
    window[0, 0] = first
    return PredictionTask(
        work=Work(window=window, model=served_model(version=99)),
        origin=InputOrigin(),
        priority=PriorityClass.STANDARD,
        deadline=deadline,
        received_at=received_at,
        caller="caller",
        trace_id="",
        shareable=True,
        cacheable=True,
    )
