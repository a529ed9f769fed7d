"""Answers tasks that are not halted. Stands around the predictor, so that no way to an answer goes past it.

Engines, caches, shared executions, candidates, fallbacks and shadows are all asked through it, each for its own
version.
"""

from __future__ import annotations

from typing import Protocol

from server.inference.predictor import Answer, PredictionTask
from server.security.halt import Subject
from server.security.halt_view import Halts


class Predicts(Protocol):
    """What computes answers; the `Predictor`."""

    def now(self) -> float:
        """Returns monotonic seconds."""
        ...

    async def predict(self, task: PredictionTask) -> Answer:
        """Answers one task, or raises what ended it."""
        ...


class HaltingPredictor:
    """Asks the halts before and after each answer, and is ended by them in between.

    Args:
        predictor: Answers.
        halts: What is halted.
    """

    def __init__(self, predictor: Predicts, halts: Halts) -> None:
        self._predictor = predictor
        self._halts = halts

    def now(self) -> float:
        """Returns the monotonic clock that deadlines are measured on."""
        return self._predictor.now()

    async def predict(self, task: PredictionTask) -> Answer:
        """Answers one task before its deadline.

        Raises:
            Refusal: HALTED.
            batching.SchedulerError, InvalidOutputError: See `Predictor.predict`.
        """
        name, version = task.work.model.key
        late = task.work.late
        subject = Subject(name, version, task.origin.symbol, task.key_id)
        # The newest tick's receipt, of a place that was kept for one tick after the other.
        self._halts.check(subject, received_at=task.received_at if late is None else late.received_at)
        async with self._halts.ending(subject):
            answer = await self._predictor.predict(task)
        # Again: the answer may have been there already when the halt came.
        self._halts.check(subject)
        return answer
