"""Owns the counters and the snapshot shown outside. Must not know how anything is decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from batching.cost_accuracy import CostAccuracy
from batching.cost_model import CostEstimate
from batching.priority import PriorityClass


def _by_class() -> dict[PriorityClass, int]:
    return dict.fromkeys(PriorityClass, 0)


@dataclass(slots=True)
class Counters:
    """How requests have ended since the start: those of the classes that somebody awaits, or shadows.

    Law of conservation: ``submitted`` = ``ended`` + those that wait + those in flight, at any moment between two calls
    of the scheduler.
    """

    submitted: int = 0
    completed: int = 0
    failed: int = 0
    expired_in_queue: int = 0
    expired_in_execution: int = 0
    cancelled: int = 0
    refused_queue_full: int = 0
    refused_predicted_miss: int = 0
    displaced: int = 0
    closed: int = 0
    batches: int = 0
    shared: int = 0

    @property
    def ended(self) -> int:
        """How many of the submitted requests have ended, refusals included."""
        return (
            self.completed
            + self.failed
            + self.expired_in_queue
            + self.expired_in_execution
            + self.cancelled
            + self.refused_queue_full
            + self.refused_predicted_miss
            + self.displaced
            + self.closed
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The scheduler at one moment; never changes afterwards.

    What is not by class counts requests that somebody awaits: shadows are shed whenever others need the room, and
    would look like trouble. Only ``in_flight``, ``running_batches`` and ``batches`` have them in it.

    Attributes:
        queue_size: Requests that wait, by class.
        oldest_age: How long the oldest of them has waited, by class, in seconds; 0 when none waits.
        in_flight: Requests in the engine that have not ended.
        running_batches: Engine calls that have not returned.
        submitted: Requests handed in, refused ones included.
        completed: Ended with a result in time.
        failed: Ended by a failure of the engine or the scheduler.
        expired_in_queue: Ended at their deadline, or when they could not meet it any more, never executed.
        expired_in_execution: Ended at their deadline while executed.
        cancelled: Given up by their callers in time.
        refused_queue_full: Refused at arrival by a limit.
        refused_predicted_miss: Refused at arrival by prediction (law 8).
        displaced: Made room for a higher class (law 10).
        closed: Still waiting when the scheduler was closed without draining.
        batches: Engine calls begun.
        promoted: Executions that were ever promoted (law 5).
        promoted_waiting: Executions that are promoted and wait.
        shared: Requests that joined the execution of another (law 12).
        in_time: Completed in time, by class.
        late: Admitted, but expired, by class: P(miss | admitted) = late / (late + in_time).
        shadow_outcomes: The counters of shadows, by the names that those above have; empty if there never were any.
        costs: Predicted durations by batch size, for every key measured (law 7).
        cost_accuracy: How those predictions have come true, for every key predicted and then measured.
        batch_limit: How many a batch may hold now, for every key measured (law 6).
        idle_with_queue: Seconds for which slots were idle although a request waited that then ran in them; held back
            for company, or because the loop was late (law 3). 0 from the core, which has no slots.
        heartbeat_age: Seconds since the scheduling loop last got through a pass; 0 from the core, which has no loop.
    """

    queue_size: Mapping[PriorityClass, int]
    oldest_age: Mapping[PriorityClass, float]
    in_flight: int
    running_batches: int
    submitted: int
    completed: int
    failed: int
    expired_in_queue: int
    expired_in_execution: int
    cancelled: int
    refused_queue_full: int
    closed: int
    batches: int
    refused_predicted_miss: int = 0
    displaced: int = 0
    promoted: int = 0
    promoted_waiting: int = 0
    shared: int = 0
    in_time: Mapping[PriorityClass, int] = field(default_factory=_by_class)
    late: Mapping[PriorityClass, int] = field(default_factory=_by_class)
    shadow_outcomes: Mapping[str, int] = field(default_factory=dict)
    costs: Mapping[str, Mapping[int, CostEstimate]] = field(default_factory=dict)
    cost_accuracy: Mapping[str, CostAccuracy] = field(default_factory=dict)
    batch_limit: Mapping[str, int] = field(default_factory=dict)
    idle_with_queue: float = 0.0
    heartbeat_age: float = 0.0
