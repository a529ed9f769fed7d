"""Laws of the console's frame: what replicas told adds up, and what nobody told is unknown, not zero."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from server.http.console_frame import ConsoleFrame, write_frame
from server.http.console_view import view
from server.routes.latency_histogram import LatencyHistogram
from server.telemetry.recent_figures import RecentBatch, RecentFigures, RecentRefusal, Tally
from tickserve.v1 import model_service_pb2 as pb
from tickserve.v1 import prediction_pb2, priority_pb2

AT = 1_700_000_000.0
STANDARD = priority_pb2.PRIORITY_STANDARD
VERSIONS = [
    prediction_pb2.ModelVersion(name="m", version=1, sha256="a" * 64),
    prediction_pb2.ModelVersion(name="m", version=2, sha256="b" * 64),
]


def seconds(value: float) -> Duration:
    """A span."""
    whole = int(value)
    return Duration(seconds=whole, nanos=round((value - whole) * 1e9))


def replica(name: str = "a", **fields: Any) -> pb.ReplicaStatistics:
    """What a replica tells, in which the given fields are replaced."""
    values: dict[str, Any] = {
        "replica_id": name,
        "uptime_duration": seconds(100.0),
        "classes": [
            pb.ClassStatistics(priority=STANDARD, queued_count=3, oldest_duration=seconds(0.25)),
            pb.ClassStatistics(priority=priority_pb2.PRIORITY_SHADOW, queued_count=9),
        ],
        "in_flight_count": 2,
        "batch_count": 1000,
        "open_stream_count": 4,
        "symbol_count": 5,
        "models": VERSIONS[:1],
        "health": pb.ReplicaHealth(ready=True, deep_check=pb.DeepCheck(state=pb.DEEP_STATE_HEALTHY)),
        "ticks": pb.TickStatistics(applied_count=50, conflated_count=1),
        "cache": pb.CacheStatistics(hit_count=30, miss_count=10, entry_count=7),
        "outcome_counts": {"displaced": 2},
    }
    return pb.ReplicaStatistics(**values | fields)


def activity(*latencies: float, answered: int = 8, late: int = 2, reason: str = "QUEUE_FULL") -> RecentFigures:
    """What a replica did in the last ten seconds."""
    histogram = LatencyHistogram()
    for latency in latencies:
        histogram.add(latency)
    tally = Tally(answered=answered, late=late, cached=answered // 2)
    return RecentFigures(
        at=AT,
        count_id=1,
        span=10.0,
        totals={"STANDARD": tally},
        window={"STANDARD": tally},
        latencies={"STANDARD": histogram.buckets()},
        models={"m:1": answered},
        reasons={reason: late},
        refusals=tuple(
            RecentRefusal(
                at=AT - age,
                reason=reason,
                priority="STANDARD",
                method="Predict",
                model="m:1",
                waited=0.1,
                request_id="r",
                trace_id="",
            )
            for age in range(20)
        ),
        batches=tuple(
            RecentBatch(id=number, at=AT - 60 + number, model="m:1", size=4, seconds=0.01, failed=False)
            for number in range(40)
        ),
    )


def frame(statistics: list[pb.ReplicaStatistics], recent: dict[str, RecentFigures] | None = None) -> ConsoleFrame:
    """One look without another before it."""
    return view(statistics, recent or {}, at=AT).frame


def test_what_replicas_told_adds_up() -> None:
    """Queues, engines, streams and counters of all replicas; the oldest of all waits."""
    other = replica("b", classes=[pb.ClassStatistics(priority=STANDARD, queued_count=4, oldest_duration=seconds(1.5))])
    shown = frame([replica(), other])
    standard = next(row for row in shown.classes if row.name == "STANDARD")
    assert (standard.queued, standard.oldest) == (7, 1.5)
    assert (shown.headline.queued, shown.headline.in_flight) == (16, 4)
    assert (shown.headline.streams, shown.headline.symbols) == (8, 10)
    assert (shown.totals.ticks_applied, shown.totals.conflated, shown.totals.displaced) == (100, 2, 4)
    assert (shown.totals.cache_hits, shown.totals.cache_misses, shown.totals.cache_entries) == (60, 20, 14)
    assert shown.replica == "a"


def test_what_nobody_told_is_unknown() -> None:
    """A replica without details has queues, but neither rates nor shares nor quantiles."""
    shown = frame([replica()])
    assert (shown.headline.answered_rate, shown.headline.goodput, shown.headline.cached) == (None, None, None)
    assert (shown.headline.batch_rate, shown.headline.batch_size) == (None, None)
    assert {row.p99 for row in shown.classes} == {None}
    assert not shown.replicas[0].detailed
    assert shown.models[0].share is None


def test_quantiles_and_shares_are_of_all_replicas_together() -> None:
    """Not a mean of each one's."""
    recent = {"a": activity(*[0.001] * 99, answered=99, late=0), "b": activity(0.5, answered=1, late=100)}
    shown = frame([replica(), replica("b")], recent)
    standard = next(row for row in shown.classes if row.name == "STANDARD")
    assert standard.p50 == pytest.approx(0.001, rel=0.11)
    assert standard.p99 == pytest.approx(0.001, rel=0.11)
    assert standard.goodput == shown.headline.goodput == 0.5
    assert standard.missed == shown.headline.missed == 100
    assert shown.headline.cached == pytest.approx(49 / 100)


def test_a_second_look_gives_rates() -> None:
    """What the first look found goes into the second."""
    first = view([replica()], {"a": activity()}, at=AT)
    later = replica(uptime_duration=seconds(102.0), batch_count=1100, ticks=pb.TickStatistics(applied_count=60))
    shown = view([later], {"a": activity()}, at=AT + 2, before=first.rates).frame
    assert {row.name: row.answered_rate for row in shown.classes} == {"REAL_TIME": 0, "STANDARD": 0.8, "BACKGROUND": 0}
    assert (shown.headline.batch_rate, shown.headline.tick_rate) == (50.0, 5.0)
    assert shown.replicas[0].batch_rate == 50.0


def test_only_the_newest_events_are_shown() -> None:
    """Batches oldest first, refusals newest first, of all replicas, and no more than the page has room for."""
    shown = frame([replica(), replica("b")], {"a": activity(), "b": activity()})
    times = [bar.batch.at for bar in shown.batches]
    assert (len(times), times) == (64, sorted(times))
    ages = [row.refusal.at for row in shown.refusals]
    assert (len(ages), ages) == (24, sorted(ages, reverse=True))
    assert {bar.replica for bar in shown.batches} == {"a", "b"}


def test_reasons_are_most_frequent_first() -> None:
    """Over all replicas; one that did not happen is not there."""
    recent = {
        "a": activity(late=1),
        "b": activity(late=5, reason="DISPLACED"),
        "c": activity(late=0, reason="DRAINING"),
    }
    shown = frame([replica(name) for name in "abc"], recent)
    assert [(row.reason, row.count) for row in shown.reasons] == [("DISPLACED", 5), ("QUEUE_FULL", 1)]


def test_a_replica_that_is_gone_takes_its_details_along() -> None:
    """Details without figures are old ones."""
    shown = frame([replica()], {"gone": activity()})
    assert (shown.batches, shown.reasons, shown.headline.goodput) == ((), (), None)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "LIVE"),
        ({"sample_age": seconds(9.0)}, "SILENT"),
        ({"health": pb.ReplicaHealth(blockers=[pb.READINESS_BLOCKER_DRAINING])}, "DRAINING"),
        ({"health": pb.ReplicaHealth.FromString(b"\x10\x63")}, "99"),
        ({"health": pb.ReplicaHealth()}, "LIVE"),
    ],
)
def test_a_replicas_state_is_the_worst_that_is_known(fields: dict[str, Any], state: str) -> None:
    """Silence, what keeps it from taking requests, or none of it; a release that tells no health is not ill."""
    assert frame([replica(**fields)]).replicas[0].state == state


def test_versions_are_shown_with_the_slowest_replicas_cost() -> None:
    """Newest first, how many have them, and the smallest batch limit."""

    def cost(limit: int, median: float) -> pb.ModelCost:
        batch = pb.BatchCost(batch_size=8, median_duration=seconds(median), quantile_duration=seconds(2 * median))
        return pb.ModelCost(model=VERSIONS[0], batch_limit=limit, batches=[batch])

    fast, slow = replica("a", costs=[cost(32, 0.01)]), replica("b", models=VERSIONS, costs=[cost(8, 0.04)])
    new, old = frame([fast, slow], {"a": activity()}).models
    assert (new.version, new.replicas, new.costs, new.batch_limit) == (2, 1, (), 0)
    assert (old.version, old.replicas, old.batch_limit) == (1, 2, 8)
    assert [(it.size, it.median, it.quantile) for it in old.costs] == [(8, 0.04, 0.08)]
    assert (old.share, new.share) == (1.0, 0.0)


def test_a_route_is_shown_with_all_replicas_verdicts() -> None:
    """Requests add up; of times and states the worst is told."""

    def route(state: pb.ArmState.ValueType, slowest: float, *, rolled_back: bool) -> pb.RouteStatistics:
        figures = pb.ArmFigures(
            request_count=10,
            answered_count=8,
            error_count=2,
            compared_count=4,
            other_class_count=1,
            median_duration=seconds(slowest / 2),
            quantile_duration=seconds(slowest),
        )
        return pb.RouteStatistics(
            model_name="m",
            percent=20.0,
            effective_percent=0.0 if rolled_back else 20.0,
            arms=[
                pb.ArmStatistics(role=pb.ARM_ROLE_STABLE, model=VERSIONS[0], state=pb.ARM_STATE_LIVE),
                pb.ArmStatistics(role=pb.ARM_ROLE_CANDIDATE, model=VERSIONS[1], state=state, recent=figures),
            ],
            rollback=pb.RollbackVerdict(cause=pb.ROLLBACK_CAUSE_ERRORS) if rolled_back else None,
        )

    there = replica("b", routes=[route(pb.ARM_STATE_ROLLED_BACK, 0.5, rolled_back=True)])
    shown = frame([replica(routes=[route(pb.ARM_STATE_LIVE, 0.1, rolled_back=False)]), there]).routes[0]
    stable, candidate = shown.arms
    assert (shown.percent, shown.effective_percent, shown.rollbacks) == (20.0, 10.0, {"ERRORS": 1})
    assert (stable.role, stable.requests, stable.p99, stable.disagreement) == ("STABLE", 0, None, None)
    assert candidate.states == {"LIVE": 1, "ROLLED_BACK": 1}
    assert (candidate.requests, candidate.errors, candidate.disagreement) == (20, 4, 0.25)
    assert (candidate.p99, candidate.median) == (0.5, 0.25)


def test_shadows_are_a_class_where_there_are_any() -> None:
    """Who tries nothing out need not wonder what they are."""
    plain = frame([replica()])
    assert [row.name for row in plain.classes] == ["REAL_TIME", "STANDARD", "BACKGROUND"]
    arms = [pb.ArmStatistics(role=pb.ARM_ROLE_SHADOW, model=VERSIONS[1])]
    tried = frame([replica(routes=[pb.RouteStatistics(model_name="m", arms=arms)])])
    assert [row.name for row in tried.classes] == ["REAL_TIME", "STANDARD", "BACKGROUND", "SHADOW"]


def test_a_frame_is_one_line_of_json() -> None:
    """As an event's data must be, and with nothing that JSON has no form for."""
    written = write_frame(frame([replica()], {"a": activity(0.01)}))
    assert b"\n" not in written
    assert json.loads(written)["replicas"][0]["replica"] == "a"
