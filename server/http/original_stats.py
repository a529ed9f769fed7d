"""What the original design's deployments told of themselves, of this replica; docs/http.md says what each figure is."""

from __future__ import annotations

from typing import Any

from server.config.settings import Settings
from server.inference.batch_run import BatchRun
from server.observation.request_record import RequestRecord
from server.observation.rpc_record import RpcRecord
from tickserve.v1.model_service_pb2 import Engine, ReplicaStatistics
from tickserve.v1.priority_pb2 import Priority

_NAMES = {"PRIORITY_REAL_TIME": "high", "PRIORITY_STANDARD": "normal", "PRIORITY_BACKGROUND": "low"}
_COUNTS = ("submitted", "completed", "failed", "expired_in_queue", "expired_in_execution", "cancelled")


class EngineTally:
    """An observer that counts windows and the engine's time for them, as the original counted its batches.

    Attributes:
        figures: Windows computed, and the seconds of the engine calls that computed them; replaced as one.
    """

    def __init__(self) -> None:
        self.figures: tuple[int, float] = (0, 0.0)

    def request_ended(self, record: RequestRecord) -> None:
        """Is not concerned with it."""

    def batch_ended(self, run: BatchRun) -> None:
        """Counts one engine call; of two that end at the very same moment one may be lost."""
        if not run.is_probe and not run.failed:
            count, seconds = self.figures
            self.figures = (count + run.size, seconds + run.engine_ended_at - run.engine_started_at)

    def rpc_ended(self, record: RpcRecord) -> None:
        """Is not concerned with it."""


def deployment_stats(tally: EngineTally, engine: Engine) -> dict[str, Any]:
    """Returns the body of `/ray-serve/stats`."""
    count, seconds = tally.figures
    return {
        "request_count": count,
        "avg_processing_time_ms": seconds * 1e3 / count if count else 0,
        "device": engine.device,
    }


def optimized_stats(replica: ReplicaStatistics, engine: Engine, settings: Settings) -> dict[str, Any]:
    """Returns the body of `/batch-optimized/stats`.

    Args:
        replica: This replica's figures.
        engine: Of the default model.
        settings: In force.
    """
    scheduler = settings.scheduler
    queued = {Priority.Name(each.priority): each.queued_count for each in replica.classes}
    return {
        "device": engine.device,
        "model_loaded": bool(replica.models),
        "batch_scheduler_stats": {
            "queue_size": {ours: queued.get(name, 0) for name, ours in _NAMES.items()},
            "in_flight": replica.in_flight_count,
            "batches": replica.batch_count,
            **{name: replica.outcome_counts[name] for name in _COUNTS},
        },
        "config": {
            "max_batch_size": scheduler.max_batch_size,
            "max_wait_time_seconds": scheduler.max_queue_delay,
            "enable_adaptive_batching": scheduler.adaptive,
            "enable_model_compilation": engine.name != "eager",
        },
    }
