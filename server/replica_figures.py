"""Copies what a replica counts by itself into its metrics, from time to time.

Owns which figure of a snapshot is which metric; what happens to single requests is counted by `request_metrics`.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Mapping

from server.models.served_model import ServedModel
from server.observation.observer import Observers
from server.security.halt import ScopeKind
from server.statistics.replica_snapshot import CacheFigures, ReplicaSnapshot
from server.telemetry import metric_catalogue as metrics
from server.telemetry.decision_log import DecisionLog
from server.telemetry.device_figures import ProcessFigures
from server.telemetry.instruments import Instruments
from server.telemetry.series import Counter, Growth
from server.telemetry.trace_observer import TraceObserver

_RELEASE = importlib.metadata.version("tickserve-server")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """How telemetry itself fares.

    Attributes:
        observer_failures: Times that an observer raised.
        spans_exported: Spans that the collector took.
        spans_dropped: Spans that it did not.
        decisions_written: Records of the decision log.
        decisions_dropped: Records that were lost.
    """

    observer_failures: int = 0
    spans_exported: int = 0
    spans_dropped: int = 0
    decisions_written: int = 0
    decisions_dropped: int = 0


def telling_of(observers: Observers, tracing: TraceObserver, decisions: DecisionLog | None) -> Telling:
    """Returns how telemetry fares now."""
    return Telling(
        observer_failures=observers.failure_count,
        spans_exported=tracing.exported_span_count,
        spans_dropped=tracing.dropped_span_count,
        decisions_written=decisions.written_count if decisions is not None else 0,
        decisions_dropped=decisions.dropped_count if decisions is not None else 0,
    )


class ReplicaFigures:
    """Writes the figures; event loop only, for the counters there belong to it.

    Args:
        instruments: Where they are written.
        replica_id: Names the replica.
    """

    def __init__(self, instruments: Instruments, replica_id: str) -> None:
        self._instruments = instruments
        self._replica_id = replica_id
        # By the scheduler's key, and not with the series: a version may leave memory, and its series, and come again.
        self._growths: dict[str, Growth] = {}

    def write(self, snapshot: ReplicaSnapshot, loaded: Mapping[tuple[str, int], ServedModel], now: float) -> None:
        """Writes a snapshot and gives up what is about versions that have left memory.

        Args:
            snapshot: Of the replica.
            loaded: Versions in memory, by name and number.
            now: Monotonic seconds.
        """
        make = self._instruments
        make.gauge(metrics.REPLICA_INFO, self._replica_id, _RELEASE).set(1)
        make.gauge(metrics.REPLICA_UPTIME, self._replica_id).set(snapshot.uptime)
        make.gauge(metrics.DEEP_HEALTH, self._replica_id).set(snapshot.deep_health.state)
        make.gauge(metrics.LOOP_LAG, self._replica_id).set(snapshot.loop_lag)
        make.gauge(metrics.SYMBOLS).set(snapshot.symbols)
        self._write_models(snapshot, loaded, now)
        self._write_scheduler(snapshot)
        self._write_cache(snapshot.cache)
        self._write_routes(snapshot)
        ticks = snapshot.ticks
        for result, total in (("applied", ticks.applied), ("duplicate", ticks.duplicates), ("refused", ticks.refused)):
            make.counter(metrics.TICKS, result).follow(total)
        make.counter(metrics.CONFLATED).follow(ticks.conflated)
        make.counter(metrics.RESUMED).follow(ticks.resumed)
        make.counter(metrics.STORE_FAILURES).follow(snapshot.store_failures)
        for reason, total in snapshot.refused_calls.items():
            make.counter(metrics.UNAUTHENTICATED, reason.name).follow(total)
        if snapshot.keys is not None:
            make.gauge(metrics.API_KEYS).set(snapshot.keys.key_count)
            make.gauge(metrics.API_KEYS_STALE, self._replica_id).set(snapshot.keys.is_stale)
        for kind in ScopeKind:
            make.gauge(metrics.HALTS, kind.name.lower()).set(snapshot.halts.counts.get(kind, 0))
        make.gauge(metrics.HALTS_STALE, self._replica_id).set(snapshot.halts.is_stale)

    def note_lag(self, seconds: float) -> None:
        """Counts by how much the event loop was late."""
        self._instruments.histogram(metrics.LOOP_DELAY).observe(seconds)

    def write_process(self, process: ProcessFigures) -> None:
        """Writes what the operating system says of the process and of the machine."""
        make = self._instruments
        make.gauge(metrics.REPLICA_MEMORY, self._replica_id).set(process.memory_bytes)
        make.counter(metrics.REPLICA_CPU).follow(process.cpu_seconds)
        for device in process.devices:
            make.gauge(metrics.DEVICE_UTILISATION, device.name).set(device.utilisation)
            make.gauge(metrics.DEVICE_MEMORY, device.name).set(device.memory_bytes)

    def write_streams(self, open_streams: Mapping[str, int]) -> None:
        """Writes how many streams are open, by method."""
        for method, count in open_streams.items():
            self._instruments.gauge(metrics.STREAMS, method).set(count)

    def write_telling(self, telling: Telling) -> None:
        """Writes how telemetry fares."""
        make = self._instruments
        make.counter(metrics.OBSERVER_FAILURES).follow(telling.observer_failures)
        make.counter(metrics.SPANS_EXPORTED).follow(telling.spans_exported)
        make.counter(metrics.SPANS_DROPPED).follow(telling.spans_dropped)
        make.counter(metrics.DECISIONS, "written").follow(telling.decisions_written)
        make.counter(metrics.DECISIONS, "dropped").follow(telling.decisions_dropped)

    def _write_models(
        self, snapshot: ReplicaSnapshot, loaded: Mapping[tuple[str, int], ServedModel], now: float
    ) -> None:
        make, scheduler = self._instruments, snapshot.scheduler
        versions = {(name, str(number)): served.sha256 for (name, number), served in loaded.items()}
        for version, sha256 in versions.items():
            make.gauge(metrics.MODEL_LOADED, *version).set(1)
            if limit := scheduler.batch_limit.get(sha256):
                make.gauge(metrics.BATCH_LIMIT, *version).set(limit)
            if accuracy := scheduler.cost_accuracy.get(sha256):
                growth = self._growths.setdefault(sha256, Growth())
                make.histogram(metrics.COST_RATIO, *version).add(*growth.since_last(accuracy.counts, accuracy.total))
        self._growths = {sha256: g for sha256, g in self._growths.items() if sha256 in scheduler.cost_accuracy}
        for version in make.versions() - versions.keys():
            make.gauge(metrics.MODEL_LOADED, *version).set(0)
        make.retire_but(versions, now)

    def _write_scheduler(self, snapshot: ReplicaSnapshot) -> None:
        make, scheduler = self._instruments, snapshot.scheduler
        for priority, size in scheduler.queue_size.items():
            make.gauge(metrics.QUEUE_SIZE, priority.name.lower()).set(size)
        for priority, age in scheduler.oldest_age.items():
            make.gauge(metrics.QUEUE_AGE, priority.name.lower()).set(age)
        make.counter(metrics.IDLE_WITH_QUEUE).follow(scheduler.idle_with_queue)
        make.counter(metrics.PROMOTED).follow(scheduler.promoted)

    def _write_cache(self, cache: CacheFigures) -> None:
        self._look_up("memory", "hit").follow(cache.results.hits)
        self._look_up("memory", "miss").follow(cache.results.misses)
        self._instruments.gauge(metrics.CACHE_BYTES).set(cache.results.size_bytes)
        if cache.shared is not None:
            self._look_up("shared", "hit").follow(cache.shared.hits)
            self._look_up("shared", "miss").follow(cache.shared.misses)
            # What was not asked because the Redis is down or behind helps as little as what came too late.
            self._look_up("shared", "error").follow(cache.shared.timeouts + cache.shared.skipped)

    def _look_up(self, level: str, result: str) -> Counter:
        return self._instruments.counter(metrics.CACHE_REQUESTS, level, result)

    def _write_routes(self, snapshot: ReplicaSnapshot) -> None:
        make = self._instruments
        for route in snapshot.routes:
            for arm in route.arms:
                labels, total = (route.model, arm.arm.name.lower()), arm.statistics.total
                for outcome, count in total.outcomes.items():
                    make.counter(metrics.ROUTE_REQUESTS, *labels, outcome.name.lower()).follow(count)
                make.counter(metrics.ROUTE_COMPARISONS, *labels).follow(total.compared)
                make.counter(metrics.ROUTE_DISAGREEMENTS, *labels).follow(total.other_class)
