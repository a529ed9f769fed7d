"""Runs windows again on other versions while nothing else is to do, for their answers to be compared.

Owns those tasks and their bound. Nobody awaits them: what finds no room is dropped, and only counted.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from typing import Protocol

from batching import InferenceFailedError, PriorityClass, SchedulerError
from model.outputs import OutputRow
from server.inference.predictor import Answer, InvalidOutputError, PredictionTask
from server.models.served_model import ServedModel
from server.refusal import Refusal
from server.routes.arm_statistics import ArmStatistics, Outcome

logger = logging.getLogger("tickserve")

MAX_OUTSTANDING = 64
"""Most copies that wait or run at once. Each keeps its window and the answer that it is compared with in memory."""

# Seconds that a copy may wait for a moment in which nothing else is to do.
_PATIENCE = 5.0


class AnswersTasks(Protocol):
    """What computes answers; the `Predictor`."""

    def now(self) -> float:
        """Returns monotonic seconds."""
        ...

    async def predict(self, task: PredictionTask) -> Answer:
        """Answers one task, or raises what ended it."""
        ...


class ShadowRunner:
    """Keeps a bounded set of copies going.

    Args:
        predictor: Computes them.
        max_outstanding: Most of them at once.
    """

    def __init__(self, predictor: AnswersTasks, *, max_outstanding: int = MAX_OUTSTANDING) -> None:
        self._predictor = predictor
        self._max_outstanding = max_outstanding
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        return len(self._tasks)

    def start(
        self,
        task: PredictionTask,
        model: ServedModel,
        on_row: Callable[[OutputRow], None],
        *,
        statistics: ArmStatistics | None,
    ) -> None:
        """Begins a copy of a task, in a later turn of the event loop; returns at once, whatever becomes of it.

        Args:
            task: What was answered.
            model: Who is to answer it again.
            on_row: Called with the copy's answer, if there is one.
            statistics: Where the copy is counted, or None.
        """
        if self._closed or len(self._tasks) >= self._max_outstanding:
            if statistics is not None:
                statistics.count(Outcome.DECLINED)
            return
        copy = dataclasses.replace(
            task,
            # A copy is no request, and so no part of the request's trace.
            work=dataclasses.replace(task.work, model=model, trace=None),
            priority=PriorityClass.SHADOW,
            deadline=self._predictor.now() + _PATIENCE,
            shareable=False,
            # Else it would push out answers that somebody may ask for.
            cacheable=False,
        )
        running = asyncio.get_running_loop().create_task(self._run(copy, on_row, statistics))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Gives up all copies, and takes no more. Idempotent."""
        self._closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(
        self, task: PredictionTask, on_row: Callable[[OutputRow], None], statistics: ArmStatistics | None
    ) -> None:
        started = self._predictor.now()
        seconds: float | None = None
        try:
            answer = await self._predictor.predict(task)
            outcome, seconds = Outcome.ANSWERED, self._predictor.now() - started
            on_row(answer.row)
        except (InferenceFailedError, InvalidOutputError):
            outcome = Outcome.ERROR
        except (SchedulerError, Refusal):
            outcome = Outcome.DECLINED  # refused, displaced, expired, closed or halted: it was not to be
        except Exception:
            logger.exception("a copy of a request failed on model %s version %d", *task.work.model.key)
            outcome = Outcome.ERROR
        if statistics is not None:
            statistics.count(outcome, seconds)
