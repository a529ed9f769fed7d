"""What a replica's tick streams have done, as frozen values; a part of `catalog.ReplicaStatistics`."""

from __future__ import annotations

from dataclasses import dataclass

from tickserve.v1 import model_service_pb2
from tickserve.wire import from_duration

__all__ = ("TickStatistics",)


@dataclass(frozen=True, slots=True)
class TickStatistics:
    """Counts since the replica's start."""

    applied_count: int
    """Ticks that were applied to a window."""
    duplicate_count: int
    """Ticks that had been applied before."""
    missing_count: int
    """Sequence numbers that were never received."""
    conflated_count: int
    """Predictions that a newer one replaced while they waited."""
    resumed_count: int
    """Symbols that a returning client resumed."""
    recomputed_count: int
    """Predictions that were computed again for returning clients."""
    store_failure_count: int
    """Writes to the window store that failed and were repeated."""
    event_time_skew: float
    """Seconds by which receipt was later than the events' own times, a running mean; negative: their clock is ahead."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.TickStatistics) -> TickStatistics:
        """Reads the contract's message."""
        return cls(
            applied_count=message.applied_count,
            duplicate_count=message.duplicate_count,
            missing_count=message.missing_count,
            conflated_count=message.conflated_count,
            resumed_count=message.resumed_count,
            recomputed_count=message.recomputed_count,
            store_failure_count=message.store_failure_count,
            event_time_skew=from_duration(message.event_time_skew),
        )
