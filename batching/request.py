"""Owns what callers hand in and get back. Must not know how a request is queued, batched or executed."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from batching.priority import PriorityClass

P = TypeVar("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[P]):
    """One unit of work.

    Attributes:
        priority: The class it competes in.
        deadline: Absolute, in seconds of the scheduler's monotonic clock; ``math.inf`` for none. The request is
            late from this very instant on.
        batch_key: Only requests of equal keys share a batch (the model's sha256).
        caller: The identity among which a class is shared fairly.
        payload: What the engine gets; never looked at here.
        share_key: Requests of equal ``batch_key`` and ``share_key`` are identical work: while one waits or runs, the
            others join it instead of being executed again (law 12). None never shares.
    """

    priority: PriorityClass
    deadline: float
    batch_key: str
    caller: str
    payload: P
    share_key: str | None = None

    def __post_init__(self) -> None:
        if self.deadline != self.deadline:  # NaN compares false with everything and would corrupt every heap
            raise ValueError("deadline must be a number of seconds on the monotonic clock, not NaN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion(Generic[R]):
    """A result together with how it came about; all times are monotonic seconds.

    Attributes:
        result: What the engine returned for this request.
        queue_duration: From arrival until the batch was chosen.
        inference_duration: Of the engine call of the whole batch, measured in the engine's own thread.
        batch_size: How many requests shared that call.
        effective_priority: The class the request was served in.
        enqueued_at: Arrival.
        chosen_at: When its batch was chosen.
        completed_at: When the scheduler learned the result.
    """

    result: R
    queue_duration: float
    inference_duration: float
    batch_size: int
    effective_priority: PriorityClass
    enqueued_at: float
    chosen_at: float
    completed_at: float
