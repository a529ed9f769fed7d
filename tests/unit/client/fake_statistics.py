"""The figures that the stand-in for the service tells of a replica."""

from google.protobuf import duration_pb2, timestamp_pb2

from tickserve.v1 import model_service_pb2, prediction_pb2, priority_pb2


def milliseconds(count: float) -> duration_pb2.Duration:
    """Returns a span on the wire."""
    nanos = round(count * 1e6)
    return duration_pb2.Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)


def replica(name: str = "replica-1", *, sample_age: float = 0.0) -> model_service_pb2.ReplicaStatistics:
    """Returns the figures of a replica, as the service tells them."""
    served = prediction_pb2.ModelVersion(name="eurusd", version=3)
    of_class = model_service_pb2.ClassStatistics
    return model_service_pb2.ReplicaStatistics(
        replica_id=name,
        sample_age=milliseconds(sample_age * 1e3),
        uptime_duration=duration_pb2.Duration(seconds=90),
        classes=[
            of_class(
                priority=priority_pb2.PRIORITY_REAL_TIME,
                queued_count=2,
                oldest_duration=milliseconds(5),
                in_time_count=3990,
                late_count=10,
            ),
            of_class(priority=priority_pb2.PRIORITY_STANDARD, in_time_count=99_999, late_count=1),
            of_class(priority=priority_pb2.PRIORITY_BACKGROUND),
            of_class(priority=priority_pb2.PRIORITY_SHADOW, queued_count=8),
        ],
        in_flight_count=4,
        batch_count=1234,
        outcome_counts={"ok": 5678, "QUEUE_FULL": 2},
        heartbeat_age=milliseconds(1),
        open_stream_count=5,
        symbol_count=6,
        models=[served],
        costs=[
            model_service_pb2.ModelCost(
                model=served,
                batch_limit=24,
                batches=[
                    model_service_pb2.BatchCost(
                        batch_size=size, median_duration=milliseconds(median), quantile_duration=milliseconds(upper)
                    )
                    for size, median, upper in ((1, 1.25, 1.5), (8, 3.75, 4.5), (32, 11.0, 13.25))
                ],
            )
        ],
        health=model_service_pb2.ReplicaHealth(
            ready=True,
            deep_check=model_service_pb2.DeepCheck(
                state=model_service_pb2.DEEP_STATE_HEALTHY,
                check_time=timestamp_pb2.Timestamp(seconds=1_800_000_000),
                engine_duration=milliseconds(4.25),
                queue_duration=milliseconds(31.5),
            ),
        ),
        promoted_count=77,
        profile="low_latency",
        ticks=model_service_pb2.TickStatistics(
            applied_count=71_000,
            duplicate_count=72,
            missing_count=73,
            conflated_count=7_400,
            resumed_count=75,
            recomputed_count=76,
            store_failure_count=79,
            event_time_skew=milliseconds(250),
        ),
        cache=model_service_pb2.CacheStatistics(
            entry_count=3210,
            size_bytes=5_150_000,
            hit_count=2500,
            miss_count=7500,
            expiration_count=11,
            eviction_count=12,
            shared=model_service_pb2.SharedCacheStatistics(
                hit_count=314,
                miss_count=21,
                timeout_count=3,
                skip_count=4,
                failure_count=5,
                write_count=6,
                drop_count=7,
            ),
            request_ids=model_service_pb2.RequestIdStatistics(
                entry_count=13, size_bytes=8000, replay_count=1414, reuse_count=15
            ),
        ),
    )
