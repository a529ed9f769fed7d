"""What a replica remembers of its answers, as frozen values; a part of `catalog.ReplicaStatistics`."""

from __future__ import annotations

from dataclasses import dataclass

from tickserve.v1 import model_service_pb2

__all__ = ("CacheStatistics", "SharedCacheStatistics")


@dataclass(frozen=True, slots=True)
class SharedCacheStatistics:
    """How the answers that replicas share fare, seen from one of them."""

    available: bool
    """Whether their store answers now."""
    hit_count: int
    miss_count: int
    timeout_count: int
    """Those among the misses that were waited for no longer."""
    skip_count: int
    """Look-ups that were not made: the store was down or behind, or the request had no time for it."""
    failure_count: int
    """How often the store stopped answering, or refused to be written to."""
    write_count: int
    drop_count: int
    """Answers that were not written."""

    @classmethod
    def from_proto(cls, message: model_service_pb2.SharedCacheStatistics) -> SharedCacheStatistics:
        """Reads the contract's message."""
        return cls(
            available=message.available,
            hit_count=message.hit_count,
            miss_count=message.miss_count,
            timeout_count=message.timeout_count,
            skip_count=message.skip_count,
            failure_count=message.failure_count,
            write_count=message.write_count,
            drop_count=message.drop_count,
        )


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What a replica remembers of its answers, and how often that saved a computation."""

    entry_count: int
    """Answers kept now."""
    size_bytes: int
    hit_count: int
    miss_count: int
    expiration_count: int
    """Answers that were dropped because of their age."""
    eviction_count: int
    """Answers that made room for others."""
    request_id_count: int
    """Request ids whose answers are remembered now."""
    replay_count: int
    """Requests that got the answer of an earlier one with their id."""
    reuse_count: int
    """Requests that were refused with REQUEST_ID_REUSED."""
    shared: SharedCacheStatistics | None
    """None where replicas share no answers."""

    @property
    def hit_ratio(self) -> float | None:
        """The part of the look-ups that found an answer in the replica's memory, in [0, 1]; None if none was made."""
        looked = self.hit_count + self.miss_count
        return self.hit_count / looked if looked else None

    @classmethod
    def from_proto(cls, message: model_service_pb2.CacheStatistics) -> CacheStatistics:
        """Reads the contract's message."""
        return cls(
            entry_count=message.entry_count,
            size_bytes=message.size_bytes,
            hit_count=message.hit_count,
            miss_count=message.miss_count,
            expiration_count=message.expiration_count,
            eviction_count=message.eviction_count,
            request_id_count=message.request_ids.entry_count,
            replay_count=message.request_ids.replay_count,
            reuse_count=message.request_ids.reuse_count,
            shared=SharedCacheStatistics.from_proto(message.shared) if message.HasField("shared") else None,
        )
