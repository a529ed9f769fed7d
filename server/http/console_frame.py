"""What the console's page is told once a second, as values that become JSON. Knows neither replicas nor the page.

Durations are seconds, times seconds since the epoch, rates per second, shares 0 to 1; None where nothing is known.
"""

from __future__ import annotations

import dataclasses

from pydantic import TypeAdapter

from server.telemetry.recent_figures import RecentBatch, RecentRefusal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The whole service at a glance.

    Attributes:
        answered_rate: Predictions given in time.
        missed: Requests of the frame's span that could have been answered and were not: late, shed or failed.
        goodput: The part answered of those that could have been, over the span.
        queued: Requests that wait.
        in_flight: Requests in the engines.
        batch_rate: Engine calls.
        batch_size: Mean windows of the newest batches.
        streams: Open tick streams.
        symbols: Symbols whose windows are kept.
        tick_rate: Ticks applied.
        cached: The part of the answers that no engine computed, over the span.
    """

    answered_rate: float | None
    missed: int
    goodput: float | None
    queued: int
    in_flight: int
    batch_rate: float | None
    batch_size: float | None
    streams: int
    symbols: int
    tick_rate: float | None
    cached: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class on all replicas; what is missed, goodput and quantiles are over the frame's span.

    Attributes:
        name: As in `REAL_TIME`.
        queued: Requests that wait.
        oldest: How long the oldest of them has waited.
        answered_rate: Predictions given in time.
        missed: Requests that could have been answered and were not: late, shed or failed.
        goodput: The part answered of those that could have been.
        p50: Time from receipt to answer that half of them did not exceed.
        p95: That 95 in 100 did not.
        p99: That 99 in 100 did not.
    """

    name: str
    queued: int
    oldest: float
    answered_rate: float | None
    missed: int
    goodput: float | None
    p50: float | None
    p95: float | None
    p99: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BatchBar:
    """One engine call, and whose."""

    replica: str
    batch: RecentBatch


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What batches of one size are predicted to take: the median, and what nearly all do not exceed."""

    size: int
    median: float
    quantile: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """A version that is loaded somewhere.

    Attributes:
        name: Of the model.
        version: Of it.
        sha256: The first 12 digits.
        replicas: How many have it.
        share: Its part of the answers over the frame's span.
        batch_limit: The most windows of a batch now, on the replica that allows least.
        costs: On the replica that is slowest with it.
    """

    name: str
    version: int
    sha256: str
    replicas: int
    share: float | None
    batch_limit: int
    costs: tuple[Cost, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ArmRow:
    """One arm of a route on all replicas, over the route's own window.

    Attributes:
        role: STABLE, CANDIDATE or SHADOW.
        version: Its version; 0 while that is not known.
        states: On how many replicas it is LIVE, ROLLED_BACK and so on.
        requests: That it was asked.
        errors: Of them failed.
        late: Of them late.
        fallbacks: Answered by stable in its place.
        disagreement: The part of the compared answers with another likeliest class.
        median: Time of an answer, on the slowest replica.
        p99: Likewise.
    """

    role: str
    version: int
    states: dict[str, int]
    requests: int
    errors: int
    late: int
    fallbacks: int
    disagreement: float | None
    median: float | None
    p99: float | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RouteRow:
    """How one model's traffic is split.

    Attributes:
        model: Its name.
        percent: Of the routing keys that the settings want the candidate to answer, 0 to 100.
        effective_percent: That it is to answer now, mean over the replicas, 0 to 100.
        arms: Stable, then the others.
        rollbacks: Causes of roll-backs, and on how many replicas.
    """

    model: str
    percent: float
    effective_percent: float
    arms: tuple[ArmRow, ...]
    rollbacks: dict[str, int]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReasonRow:
    """How often requests were refused for one reason over the frame's span."""

    reason: str
    count: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRow:
    """One refusal, and whose."""

    replica: str
    refusal: RecentRefusal


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRow:
    """One replica.

    Attributes:
        replica: Its id.
        state: LIVE; SILENT when it has not been heard of for a while; else the first of what keeps it from taking
            requests, as in DRAINING.
        engine: What the last check of its engine found: HEALTHY, DEGRADED, UNHEALTHY or UNKNOWN.
        age: Of its figures.
        uptime: Since it started.
        queued: Requests that wait there.
        in_flight: Requests in its engine.
        batch_rate: Engine calls.
        streams: Open tick streams.
        models: Loaded versions, as in `cnn_lstm:2`.
        profile: Scheduling profile; empty if none.
        detailed: Whether classes, batches and refusals have its part in them.
    """

    replica: str
    state: str
    engine: str
    age: float
    uptime: float
    queued: int
    in_flight: int
    batch_rate: float | None
    streams: int
    models: tuple[str, ...]
    profile: str
    detailed: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counters since the replicas started, summed over those there are."""

    ticks_applied: int
    ticks_missing: int
    conflated: int
    resumed: int
    cache_hits: int
    cache_misses: int
    cache_entries: int
    promoted: int
    displaced: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleFrame:
    """The service at one moment.

    Attributes:
        at: When.
        replica: Who tells.
        alone: Whether the other replicas could not be asked, so that only this one is shown.
        span: Seconds that quantiles, shares and counts of refusals are over.
        headline: At a glance.
        classes: Most urgent first.
        batches: Newest last.
        models: Loaded versions.
        routes: Of the models that have one.
        reasons: Most frequent first.
        refusals: Newest first.
        replicas: The one that tells first.
        totals: Since the start.
    """

    at: float
    replica: str
    alone: bool
    span: float
    headline: Headline
    classes: tuple[ClassRow, ...]
    batches: tuple[BatchBar, ...]
    models: tuple[ModelRow, ...]
    routes: tuple[RouteRow, ...]
    reasons: tuple[ReasonRow, ...]
    refusals: tuple[RefusalRow, ...]
    replicas: tuple[ReplicaRow, ...]
    totals: Totals


_FORM = TypeAdapter(ConsoleFrame)


def write_frame(frame: ConsoleFrame) -> bytes:
    """Returns the frame as JSON, on one line."""
    return _FORM.dump_json(frame)
