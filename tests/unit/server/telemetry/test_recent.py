"""Laws of what the console remembers: it counts what ended while somebody looked, no longer than half a minute."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from grpc import StatusCode

from batching import PriorityClass
from server.inference.batch_run import BatchRun
from server.observation.request_record import Outcome
from server.refusal import Reason
from server.routes.latency_histogram import LatencyHistogram
from server.rpc.errors import CODES
from server.telemetry.recent import RecentActivity
from server.telemetry.recent_figures import Fate, RecentFigures, Tally, fate_of, read_figures, write_figures
from tests.support.ended_requests import answered, refused, rpc
from tests.support.fakes import served_model

_SPAN = 30.0
_RINGS = 64
WALL = 1_700_000_000.0
MODEL = served_model()


class Clock:
    """Seconds that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The test's time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Monotonic."""
    return Clock()


@pytest.fixture
def recent(clock: Clock) -> RecentActivity:
    """An observer that is watched for a long time."""
    activity = RecentActivity(clock=clock, wall_clock=lambda: clock.now - 1000.0 + WALL)
    activity.watch(10_000.0)
    return activity


def run(clock: Clock, number: int, *, is_probe: bool = False, failed: bool = False) -> BatchRun:
    """An engine call of 2 ms that ends now."""
    return BatchRun(
        batch_id=number,
        model=MODEL,
        size=number % 8 + 1,
        started_at=clock.now - 0.004,
        engine_started_at=clock.now - 0.003,
        engine_ended_at=clock.now - 0.001,
        ended_at=clock.now,
        device_duration=0.002,
        failed=failed,
        is_probe=is_probe,
    )


def end(recent: RecentActivity, clock: Clock, *, reason: Reason | None = None, seconds: float = 0.01) -> None:
    """Ends a standard request now."""
    times: dict[str, Any] = {"received_at": clock.now - seconds, "ended_at": clock.now}
    if reason is None:
        recent.request_ended(answered(model=MODEL, **times))
    else:
        recent.request_ended(refused(reason, priority=PriorityClass.STANDARD, model=MODEL, **times))


def test_nothing_is_kept_while_nobody_looks(clock: Clock) -> None:
    """Neither before somebody looks nor after he has stopped, and another look begins anew."""
    recent = RecentActivity(clock=clock)
    end(recent, clock)
    recent.batch_ended(run(clock, 1))
    assert recent.details() == b""
    recent.watch(5.0)
    first = recent.figures()
    assert (first.window, first.totals, first.batches) == ({}, {}, ())
    end(recent, clock, reason=Reason.QUEUE_FULL)
    recent.batch_ended(run(clock, 2))
    clock.now += 5.5
    end(recent, clock, reason=Reason.QUEUE_FULL)
    assert recent.details() == b""
    recent.watch(5.0)
    again = recent.figures()
    assert (again.window, again.totals, again.reasons, again.batches, again.refusals) == ({}, {}, {}, (), ())
    assert again.count_id != first.count_id


def test_a_look_that_goes_on_goes_on_counting(recent: RecentActivity, clock: Clock) -> None:
    """Watching again while it is watched forgets nothing."""
    end(recent, clock)
    before = recent.figures().count_id
    recent.watch(5.0)
    assert recent.figures().count_id == before
    assert recent.figures().totals == {"STANDARD": Tally(answered=1)}


def test_what_is_older_than_half_a_minute_is_forgotten_but_for_the_totals(recent: RecentActivity, clock: Clock) -> None:
    """The window slides; totals only grow."""
    end(recent, clock)
    end(recent, clock, reason=Reason.EXPIRED_IN_QUEUE)
    clock.now += 20.0
    end(recent, clock)
    figures = recent.figures()
    assert figures.window == {"STANDARD": Tally(answered=2, late=1)}
    assert figures.models == {f"{MODEL.name}:1": 2}
    assert figures.span == pytest.approx(20.0)
    clock.now += 15.0
    figures = recent.figures()
    assert figures.window == {"STANDARD": Tally(answered=1)}
    assert (figures.reasons, figures.models) == ({}, {f"{MODEL.name}:1": 1})
    assert figures.totals == {"STANDARD": Tally(answered=2, late=1)}
    assert _SPAN - 3.0 <= figures.span <= _SPAN
    clock.now += 1000.0
    assert recent.figures().window == {}


def test_latencies_are_of_the_answered_only(recent: RecentActivity, clock: Clock) -> None:
    """A refusal at once must not make the service look fast."""
    end(recent, clock, seconds=0.05)
    for _ in range(9):
        end(recent, clock, reason=Reason.QUEUE_FULL, seconds=0.0001)
    histogram = LatencyHistogram()
    histogram.add_buckets(recent.figures().latencies["STANDARD"])
    assert histogram.count == 1
    assert 0.05 <= histogram.quantile(0.5) <= 0.0551


def test_requests_end_in_one_way_each(recent: RecentActivity, clock: Clock) -> None:
    """Answered, from memory or not, given up, refused before the class was known."""
    end(recent, clock)
    recent.request_ended(answered(model=MODEL, ended_at=clock.now, answer=None))
    recent.request_ended(refused(None, outcome=Outcome.CANCELLED, ended_at=clock.now))
    recent.request_ended(refused(Reason.MALFORMED_MESSAGE, priority=None, ended_at=clock.now))
    assert recent.figures().window == {
        "STANDARD": Tally(answered=2, cached=1),
        "BACKGROUND": Tally(cancelled=1),
        "": Tally(invalid=1),
    }


@pytest.mark.parametrize("reason", Reason)
def test_what_a_refusal_counts_as_follows_its_code(reason: Reason) -> None:
    """Callers' mistakes are no misses of the service; a reason that is added must be judged."""
    fates = {
        StatusCode.DEADLINE_EXCEEDED: Fate.LATE,
        StatusCode.RESOURCE_EXHAUSTED: Fate.SHED,
        StatusCode.UNAVAILABLE: Fate.SHED,
        StatusCode.INTERNAL: Fate.FAILED,
    }
    assert fate_of(reason) is fates.get(CODES[reason], Fate.INVALID)


def test_the_newest_refusals_are_kept_newest_first(recent: RecentActivity, clock: Clock) -> None:
    """A bounded number of them, with what finds the request again and nothing of what was in it."""
    for number in range(1000):
        clock.now += 0.01
        recent.request_ended(
            refused(
                Reason.QUEUE_FULL,
                model=MODEL,
                received_at=clock.now - 0.004,
                ended_at=clock.now,
                request_id=f"{number:03}" + "x" * 500,
                symbol="SECRETPAIR",
            )
        )
    figures = recent.figures()
    newest = figures.refusals[0]
    assert len(figures.refusals) == 24
    assert [refusal.request_id[:3] for refusal in figures.refusals[:3]] == ["999", "998", "997"]
    assert (newest.reason, newest.priority, newest.method, newest.model) == (
        "QUEUE_FULL",
        "BACKGROUND",
        "Predict",
        f"{MODEL.name}:1",
    )
    assert newest.at == pytest.approx(WALL + 10.0)
    assert newest.waited == pytest.approx(0.004)
    assert len(newest.request_id) == 64
    assert figures.reasons == {"QUEUE_FULL": 1000}
    assert b"SECRETPAIR" not in write_figures(figures)


def test_rpcs_refused_as_a_whole_are_refusals_and_no_requests(recent: RecentActivity, clock: Clock) -> None:
    """One `Predict` is told as a request already; what ended well is none."""
    clock.now = 100.1
    recent = RecentActivity(clock=clock)
    recent.watch(60.0)
    recent.rpc_ended(rpc("StreamTicks", Reason.STREAM_NOT_OPEN))
    recent.rpc_ended(rpc("Predict", Reason.QUEUE_FULL))
    recent.rpc_ended(rpc("GetModel"))
    figures = recent.figures()
    assert figures.reasons == {"STREAM_NOT_OPEN": 1}
    assert [refusal.method for refusal in figures.refusals] == ["StreamTicks"]
    assert figures.window == {}


def test_the_newest_batches_are_kept_from_any_thread(recent: RecentActivity, clock: Clock) -> None:
    """Oldest first, a bounded number, with their time in the engine; the health check's own are none."""

    def work() -> None:
        for number in range(1, 201):
            recent.batch_ended(run(clock, number, failed=number == 200))
        recent.batch_ended(run(clock, 201, is_probe=True))

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        ids = [batch.id for batch in recent.figures().batches]
        assert ids == sorted(ids)
        assert len(ids) <= _RINGS
    thread.join()
    batches = recent.figures().batches
    assert [batch.id for batch in batches] == list(range(137, 201))
    assert batches[-1].failed
    assert not batches[-2].failed
    assert batches[-1].seconds == pytest.approx(0.002)
    assert batches[-1].at == pytest.approx(WALL)


def test_figures_survive_the_way_to_another_replica(recent: RecentActivity, clock: Clock) -> None:
    """What is read is what was written; what cannot be read is no figures."""
    end(recent, clock)
    end(recent, clock, reason=Reason.QUEUE_FULL)
    recent.batch_ended(run(clock, 1))
    figures = recent.figures()
    assert read_figures(recent.details()) == figures
    assert isinstance(figures, RecentFigures)
    assert read_figures(b"") is None
    assert read_figures(b'{"at": 1}') is None
    assert read_figures(b"\xff") is None
