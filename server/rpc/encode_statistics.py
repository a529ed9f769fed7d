"""A replica's figures to protobuf messages. Owns what `GetStatistics` shows of each; knows nothing of who asks."""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

from batching import PriorityClass, Statistics
from server.models.served_model import ServedModel
from server.rpc.encode import write_span, write_version
from server.rpc.encode_health import write_health
from server.rpc.encode_routes import write_route
from server.statistics.replica_snapshot import CacheFigures, ReplicaSnapshot
from tickserve.v1 import priority_pb2
from tickserve.v1.model_service_pb2 import (
    BatchCost,
    CacheStatistics,
    ClassStatistics,
    ModelCost,
    ReplicaStatistics,
    RequestIdStatistics,
    SharedCacheStatistics,
    TickStatistics,
)

_OUTCOMES = (
    "submitted",
    "completed",
    "failed",
    "expired_in_queue",
    "expired_in_execution",
    "cancelled",
    "refused_queue_full",
    "refused_predicted_miss",
    "displaced",
    "shared",
    "closed",
)


def write_statistics(snapshot: ReplicaSnapshot, loaded: Collection[ServedModel]) -> ReplicaStatistics:
    """Returns the wire form of a replica's figures, of which `loaded` are the versions in memory."""
    statistics = snapshot.scheduler
    return ReplicaStatistics(
        replica_id=snapshot.replica_id,
        uptime_duration=write_span(snapshot.uptime),
        sample_age=write_span(0.0),
        classes=[
            ClassStatistics(
                priority=cast("priority_pb2.Priority.ValueType", int(priority)),
                queued_count=statistics.queue_size[priority],
                oldest_duration=write_span(statistics.oldest_age[priority]),
                in_time_count=statistics.in_time[priority],
                late_count=statistics.late[priority],
            )
            for priority in PriorityClass
            # An operator who tries nothing out need not wonder what the class is.
            if priority is not PriorityClass.SHADOW or statistics.shadow_outcomes
        ],
        in_flight_count=statistics.in_flight,
        batch_count=statistics.batches,
        outcome_counts={name: getattr(statistics, name) for name in _OUTCOMES}
        | {f"shadow_{name}": count for name, count in statistics.shadow_outcomes.items() if count},
        heartbeat_age=write_span(statistics.heartbeat_age),
        open_stream_count=snapshot.open_streams,
        symbol_count=snapshot.symbols,
        models=[write_version(served) for served in loaded],
        costs=[_write_cost(served, statistics) for served in loaded if served.sha256 in statistics.costs],
        promoted_count=statistics.promoted,
        profile=snapshot.profile,
        cache=_write_cache(snapshot.cache),
        routes=[write_route(route) for route in snapshot.routes],
        ticks=_write_ticks(snapshot),
        health=write_health(snapshot.readiness, snapshot.deep_health),
    )


def _write_cost(served: ServedModel, statistics: Statistics) -> ModelCost:
    return ModelCost(
        model=write_version(served),
        batch_limit=statistics.batch_limit.get(served.sha256, 0),
        batches=[
            BatchCost(
                batch_size=size,
                median_duration=write_span(estimate.median),
                quantile_duration=write_span(estimate.quantile),
            )
            for size, estimate in sorted(statistics.costs[served.sha256].items())
        ],
    )


def _write_cache(figures: CacheFigures) -> CacheStatistics:
    results, shared, ids = figures.results, figures.shared, figures.request_ids
    message = CacheStatistics(
        entry_count=results.entries,
        size_bytes=results.size_bytes,
        hit_count=results.hits,
        miss_count=results.misses,
        expiration_count=results.expirations,
        eviction_count=results.evictions,
        request_ids=RequestIdStatistics(
            entry_count=ids.entries, size_bytes=ids.size_bytes, replay_count=ids.replays, reuse_count=ids.reused
        ),
    )
    if shared is not None:
        message.shared.CopyFrom(
            SharedCacheStatistics(
                available=shared.available,
                hit_count=shared.hits,
                miss_count=shared.misses,
                timeout_count=shared.timeouts,
                skip_count=shared.skipped,
                failure_count=shared.failures,
                write_count=shared.writes,
                drop_count=shared.dropped,
            )
        )
    return message


def _write_ticks(snapshot: ReplicaSnapshot) -> TickStatistics:
    counters = snapshot.ticks
    return TickStatistics(
        applied_count=counters.applied,
        duplicate_count=counters.duplicates,
        missing_count=counters.missing,
        conflated_count=counters.conflated,
        resumed_count=counters.resumed,
        recomputed_count=counters.recomputed,
        store_failure_count=snapshot.store_failures,
        event_time_skew=write_span(counters.event_time_skew),
    )
