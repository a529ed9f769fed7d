"""A due prediction that waits in the scheduler's queue, and that a newer one of its symbol may replace there.

Owns what conflation means: the place in the queue is the oldest one's, the window is the newest one's, chosen at the
moment the batch is formed. So a symbol that ticks faster than the engine computes is neither pushed back by each of its
own ticks, nor answered with an old window.
"""

from __future__ import annotations

from server.predictor import Work
from server.served_model import ServedModel
from server.tick_event import DuePrediction


class PendingPrediction:
    """One place in the queue. Event loop only.

    Args:
        due: The first prediction that takes the place.
        model: Answers it.
        deadline: Its deadline, monotonic seconds.

    Attributes:
        due: The newest prediction, which the place is for now.
        deadline: The newest one's deadline.
        first_sequence: Of the oldest prediction that the answer stands for.
        conflated_count: How many older ones the newest has replaced.
        is_bound: Whether a batch has taken it: it cannot be replaced any more.
    """

    __slots__ = ("_model", "conflated_count", "deadline", "due", "first_sequence", "is_bound")

    def __init__(self, due: DuePrediction, model: ServedModel, deadline: float) -> None:
        self._model = model
        self.due = due
        self.deadline = deadline
        self.first_sequence = due.sequence
        self.conflated_count = 0
        self.is_bound = False

    def replace(self, due: DuePrediction, deadline: float) -> None:
        """Puts a newer prediction in the older one's place."""
        assert not self.is_bound, "the engine computes it already"
        self.due = due
        self.deadline = max(deadline, self.deadline)
        self.conflated_count += 1

    def bind(self) -> Work:
        """Returns what the engine computes, from now on unchanged."""
        self.is_bound = True
        return self.work()

    def work(self) -> Work:
        """Returns what the engine would compute now."""
        return Work(window=self.due.window, model=self._model)
