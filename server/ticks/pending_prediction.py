"""A due prediction that waits in the scheduler's queue, and that a newer one of its symbol may replace there.

Owns what conflation means: the place in the queue is the oldest one's, the window is the newest one's, chosen at the
moment the batch is formed. So a symbol that ticks faster than the engine computes is neither pushed back by each of its
own ticks, nor answered with an old window.
"""

from __future__ import annotations

from server.inference.predictor import FloatArray, InputOrigin
from server.ticks.tick_event import DuePrediction


class PendingPrediction:
    """One place in the queue; a `predictor.LateInput`. Event loop only.

    Args:
        due: The first prediction that takes the place.
        received_at: Receipt of the tick that made it due, monotonic seconds.
        deadline: Until when its answer is of use, monotonic seconds.

    Attributes:
        due: The newest prediction, which the place is for now.
        received_at: Of the newest one.
        deadline: Of the newest one.
        first_sequence: Of the oldest prediction that the answer stands for.
        waiting_since: Receipt of the tick that made the oldest due, monotonic seconds: what the place's turn is by.
        conflated_count: How many older ones the newest has replaced.
        is_bound: Whether a batch has taken it: it cannot be replaced any more.
    """

    __slots__ = ("conflated_count", "deadline", "due", "first_sequence", "is_bound", "received_at", "waiting_since")

    def __init__(self, due: DuePrediction, *, received_at: float, deadline: float) -> None:
        self.due = due
        self.received_at = received_at
        self.waiting_since = received_at
        self.deadline = deadline
        self.first_sequence = due.sequence
        self.conflated_count = 0
        self.is_bound = False

    @property
    def window(self) -> FloatArray:
        """The newest one's window, `[features, steps]`."""
        return self.due.window

    @property
    def origin(self) -> InputOrigin:
        """Where that window came from."""
        return self.due.origin

    def replace(self, due: DuePrediction, *, received_at: float, deadline: float) -> None:
        """Puts a newer prediction in the older one's place."""
        assert not self.is_bound, "the engine computes it already"
        self.due = due
        self.received_at = received_at
        self.deadline = deadline
        self.conflated_count += 1

    def bind(self) -> FloatArray:
        """Returns the window to compute, which nothing replaces any more."""
        self.is_bound = True
        return self.due.window
