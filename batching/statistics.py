"""Owns the counters and the snapshot shown outside. Must not know how anything is decided."""

from collections.abc import Mapping
from dataclasses import dataclass

from batching.priority import PriorityClass


@dataclass(slots=True)
class Counters:
    """How requests have ended since the start.

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
    closed: int = 0
    batches: int = 0

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
            + self.closed
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """The scheduler at one moment; never changes afterwards.

    Attributes:
        queue_size: Requests that wait, by class.
        oldest_age: How long the oldest of them has waited, by class, in seconds; 0 when none waits.
        in_flight: Requests in the engine that have not ended.
        running_batches: Engine calls that have not returned.
        submitted: Requests handed in, refused ones included.
        completed: Ended with a result in time.
        failed: Ended by a failure of the engine or the scheduler.
        expired_in_queue: Ended at their deadline, never executed.
        expired_in_execution: Ended at their deadline while executed.
        cancelled: Given up by their callers in time.
        refused_queue_full: Refused at arrival by a limit.
        closed: Still waiting when the scheduler was closed without draining.
        batches: Engine calls begun.
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
    heartbeat_age: float = 0.0
