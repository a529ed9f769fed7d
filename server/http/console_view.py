"""What replicas told of themselves, put together for the console's page: a pure function of what they told.

One of the edges where generated messages are read, for replicas tell each other in them.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from google.protobuf.duration_pb2 import Duration

from server.http.console_frame import (
    BatchBar,
    ClassRow,
    ConsoleFrame,
    Cost,
    Headline,
    ModelRow,
    ReasonRow,
    RefusalRow,
    ReplicaRow,
    Totals,
)
from server.http.console_rates import Counts, ReplicaRates, rates
from server.http.console_traffic import enum_name, route_rows
from server.routes.latency_histogram import LatencyHistogram
from server.telemetry.recent_figures import RecentFigures, Tally
from tickserve.v1.model_service_pb2 import ArmRole, DeepState, ModelCost, ReadinessBlocker, ReplicaStatistics
from tickserve.v1.priority_pb2 import Priority

_SILENT_AFTER = 4.0
_MAX_BATCHES = 64
_MAX_REFUSALS = 24
_CLASSES = ("REAL_TIME", "STANDARD", "BACKGROUND")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at the service.

    Attributes:
        frame: For the page.
        rates: By replica; what the next look needs.
    """

    frame: ConsoleFrame
    rates: Mapping[str, ReplicaRates]


def view(
    statistics: Sequence[ReplicaStatistics],
    recent: Mapping[str, RecentFigures],
    *,
    at: float,
    alone: bool = False,
    before: Mapping[str, ReplicaRates] | None = None,
) -> View:
    """Returns what the page is told.

    Args:
        statistics: Of every replica, the one that tells first; at least one.
        recent: The last half minutes of those replicas that told them, by replica id.
        at: Seconds since the epoch.
        alone: Whether the others could not be asked.
        before: What the last look gave.
    """
    known = {item.replica_id for item in statistics}
    recent = {name: figures for name, figures in recent.items() if name in known}
    found = {
        item.replica_id: rates(
            (before or {}).get(item.replica_id),
            Counts(uptime=_seconds(item.uptime_duration), batches=item.batch_count, ticks=item.ticks.applied_count),
            recent.get(item.replica_id),
        )
        for item in statistics
    }
    batches = _batches(recent)
    window = sum((tally for figures in recent.values() for tally in figures.window.values()), Tally())
    frame = ConsoleFrame(
        at=at,
        replica=statistics[0].replica_id,
        alone=alone,
        span=max((figures.span for figures in recent.values()), default=0.0),
        headline=Headline(
            answered_rate=_sum(sum(answered.values()) for answered in _known_answers(found)),
            missed=window.missed,
            goodput=window.goodput,
            queued=sum(_queued(item) for item in statistics),
            in_flight=sum(item.in_flight_count for item in statistics),
            batch_rate=_sum(each.batches for each in found.values()),
            batch_size=sum(bar.batch.size for bar in batches) / len(batches) if batches else None,
            streams=sum(item.open_stream_count for item in statistics),
            symbols=sum(item.symbol_count for item in statistics),
            tick_rate=_sum(each.ticks for each in found.values()),
            cached=window.cached / window.answered if window.answered else None,
        ),
        classes=_class_rows(statistics, recent, found),
        batches=batches,
        models=_model_rows(statistics, recent),
        routes=route_rows(statistics),
        reasons=_reasons(recent),
        refusals=_refusals(recent),
        replicas=tuple(_replica_row(item, found[item.replica_id]) for item in statistics),
        totals=_totals(statistics),
    )
    return View(frame=frame, rates=found)


def _class_rows(
    statistics: Sequence[ReplicaStatistics],
    recent: Mapping[str, RecentFigures],
    found: Mapping[str, ReplicaRates],
) -> tuple[ClassRow, ...]:
    told = {
        enum_name(Priority, "PRIORITY_", queue.priority)
        for item in statistics
        for queue in item.classes
        if queue.priority != Priority.PRIORITY_SHADOW or _has_shadow(item)
    }
    return tuple(
        _class_row(name, statistics, recent, found) for name in (*_CLASSES, *sorted(told.difference(_CLASSES)))
    )


def _class_row(
    name: str,
    statistics: Sequence[ReplicaStatistics],
    recent: Mapping[str, RecentFigures],
    found: Mapping[str, ReplicaRates],
) -> ClassRow:
    queues = [
        queue
        for item in statistics
        for queue in item.classes
        if enum_name(Priority, "PRIORITY_", queue.priority) == name
    ]
    histogram = LatencyHistogram()
    for figures in recent.values():
        histogram.add_buckets(figures.latencies.get(name, {}))
    window = sum((figures.window.get(name, Tally()) for figures in recent.values()), Tally())
    p50, p95, p99 = (histogram.quantile(share) if histogram.count else None for share in (0.5, 0.95, 0.99))
    return ClassRow(
        name=name,
        queued=sum(queue.queued_count for queue in queues),
        oldest=max((_seconds(queue.oldest_duration) for queue in queues), default=0.0),
        answered_rate=_sum(answered.get(name, 0.0) for answered in _known_answers(found)),
        missed=window.missed,
        goodput=window.goodput,
        p50=p50,
        p95=p95,
        p99=p99,
    )


def _known_answers(found: Mapping[str, ReplicaRates]) -> list[Mapping[str, float]]:
    """Returns the rates of answers by class, of those replicas that told."""
    return [each.answered for each in found.values() if each.answered is not None]


def _has_shadow(item: ReplicaStatistics) -> bool:
    """Tells whether a version is tried out; nobody awaits the answers of that class, and who tries nothing has none."""
    return any(arm.role == ArmRole.ARM_ROLE_SHADOW for route in item.routes for arm in route.arms)


def _batches(recent: Mapping[str, RecentFigures]) -> tuple[BatchBar, ...]:
    bars = [BatchBar(replica=name, batch=batch) for name, figures in recent.items() for batch in figures.batches]
    return tuple(sorted(bars, key=lambda bar: (bar.batch.at, bar.replica, bar.batch.id))[-_MAX_BATCHES:])


def _refusals(recent: Mapping[str, RecentFigures]) -> tuple[RefusalRow, ...]:
    rows = [RefusalRow(replica=name, refusal=it) for name, figures in recent.items() for it in figures.refusals]
    return tuple(sorted(rows, key=lambda row: -row.refusal.at)[:_MAX_REFUSALS])


def _reasons(recent: Mapping[str, RecentFigures]) -> tuple[ReasonRow, ...]:
    counts: Counter[str] = Counter()
    for figures in recent.values():
        counts.update(figures.reasons)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(ReasonRow(reason=reason, count=count) for reason, count in ordered if count)


def _model_rows(statistics: Sequence[ReplicaStatistics], recent: Mapping[str, RecentFigures]) -> tuple[ModelRow, ...]:
    answers: Counter[str] = Counter()
    for figures in recent.values():
        answers.update(figures.models)
    versions = {(it.name, it.version, it.sha256) for item in statistics for it in item.models}
    rows = []
    for name, version, sha256 in sorted(versions, key=lambda key: (key[0], -key[1], key[2])):
        holders = [item for item in statistics if any(it.sha256 == sha256 for it in item.models)]
        costs = [cost for item in holders for cost in item.costs if cost.model.sha256 == sha256 and cost.batches]
        rows.append(
            ModelRow(
                name=name,
                version=version,
                sha256=sha256[:12],
                replicas=len(holders),
                share=answers[f"{name}:{version}"] / answers.total() if answers else None,
                batch_limit=min((cost.batch_limit for cost in costs), default=0),
                costs=_curve(max(costs, key=lambda cost: _seconds(cost.batches[-1].median_duration), default=None)),
            )
        )
    return tuple(rows)


def _curve(cost: ModelCost | None) -> tuple[Cost, ...]:
    return tuple(
        Cost(
            size=batch.batch_size,
            median=_seconds(batch.median_duration),
            quantile=_seconds(batch.quantile_duration),
        )
        for batch in (cost.batches if cost is not None else ())
    )


def _replica_row(item: ReplicaStatistics, found: ReplicaRates) -> ReplicaRow:
    age = _seconds(item.sample_age)
    return ReplicaRow(
        replica=item.replica_id,
        state=_state(item, age),
        engine=enum_name(DeepState, "DEEP_STATE_", item.health.deep_check.state),
        age=age,
        uptime=_seconds(item.uptime_duration),
        queued=_queued(item),
        in_flight=item.in_flight_count,
        batch_rate=found.batches,
        streams=item.open_stream_count,
        models=tuple(f"{it.name}:{it.version}" for it in sorted(item.models, key=lambda it: (it.name, -it.version))),
        profile=item.profile,
        detailed=found.recent is not None,
    )


def _state(item: ReplicaStatistics, age: float) -> str:
    if age > _SILENT_AFTER:
        return "SILENT"
    if not item.health.ready and item.health.blockers:
        return enum_name(ReadinessBlocker, "READINESS_BLOCKER_", item.health.blockers[0])
    return "LIVE"


def _totals(statistics: Sequence[ReplicaStatistics]) -> Totals:
    return Totals(
        ticks_applied=sum(item.ticks.applied_count for item in statistics),
        ticks_missing=sum(item.ticks.missing_count for item in statistics),
        conflated=sum(item.ticks.conflated_count for item in statistics),
        resumed=sum(item.ticks.resumed_count for item in statistics),
        cache_hits=sum(item.cache.hit_count + item.cache.shared.hit_count for item in statistics),
        cache_misses=sum(item.cache.miss_count - item.cache.shared.hit_count for item in statistics),
        cache_entries=sum(item.cache.entry_count for item in statistics),
        promoted=sum(item.promoted_count for item in statistics),
        displaced=sum(item.outcome_counts.get("displaced", 0) for item in statistics),
    )


def _queued(item: ReplicaStatistics) -> int:
    return sum(queue.queued_count for queue in item.classes)


def _seconds(span: Duration) -> float:
    return span.seconds + span.nanos / 1e9


def _sum(values: Iterable[float | None]) -> float | None:
    """Returns the sum of what is known, None if nothing is."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None
