"""Laws of what a replica reports: unary requests by Little's law, misses, waits, the engine's busy share."""

import asyncio
import dataclasses
import logging

import pytest

from batching import CostEstimate, PriorityClass, Statistics
from server.autoscaling.demand import CLASSES, ReplicaFigures
from server.autoscaling.replica_load import ReplicaLoad, predicted_wait
from server.autoscaling.replica_reports import BUSY, ENDED, MISSED, ONGOING, QUEUE_TIME, metric, read_figures
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.refusal import Reason
from tests.support.ended_records import batch_run, call
from tests.unit.server.autoscaling.test_scaler import Taken

REAL_TIME, STANDARD, BACKGROUND = CLASSES


class Clock:
    """Time that a test lets pass."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        """Returns it."""
        return self.now


def ended(
    *,
    seconds: float = 0.5,
    priority: PriorityClass | None = STANDARD,
    kind: RequestKind = RequestKind.UNARY,
    reason: Reason | None = None,
    outcome: Outcome | None = None,
) -> RequestRecord:
    """Returns a request that took some time."""
    return RequestRecord(
        call=call(None),
        kind=kind,
        outcome=outcome or (Outcome.ANSWERED if reason is None else Outcome.REFUSED),
        received_at=100.0,
        ended_at=100.0 + seconds,
        priority=priority,
        reason=reason,
    )


def statistics(waiting: dict[PriorityClass, int], **more: object) -> Statistics:
    """Returns a scheduler's figures: batches of four take 20 ms, of one 8."""
    values: dict[str, object] = {
        "queue_size": {priority: waiting.get(priority, 0) for priority in PriorityClass},
        "oldest_age": {},
        "costs": {
            "model": {
                1: CostEstimate(median=0.008, quantile=0.01),
                4: CostEstimate(median=0.02, quantile=0.03),
                64: CostEstimate(median=0.2, quantile=0.3),
            }
        },
        "batch_limit": {"model": 4},
        "running_batches": 1,
    }
    counters = {
        field.name: 0
        for field in dataclasses.fields(Statistics)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return Statistics(**{**counters, **values, **more})  # type: ignore[arg-type]


def test_requests_in_hand_follow_from_their_time() -> None:
    """Forty requests of half a second in ten seconds are two in hand on average, by class."""
    clock = Clock()
    load = ReplicaLoad(clock)
    for _ in range(40):
        load.request_ended(ended())
    load.request_ended(ended(seconds=5.0, priority=REAL_TIME, kind=RequestKind.BATCH_ITEM))
    clock.now += 10
    report = load.report()
    assert report[metric(ONGOING, STANDARD)] == pytest.approx(2)
    assert report[metric(ONGOING, REAL_TIME)] == pytest.approx(0.5)
    assert report[metric(ONGOING, BACKGROUND)] == 0


def test_what_streams_carry_is_not_in_hand_but_may_be_missed() -> None:
    """An open stream is no load; a tick whose answer is late is a sign of too few engines all the same."""
    clock = Clock()
    load = ReplicaLoad(clock)
    for kind in (RequestKind.STREAM_ITEM, RequestKind.TICK):
        load.request_ended(ended(kind=kind))
        load.request_ended(ended(kind=kind, reason=Reason.EXPIRED_IN_QUEUE))
    clock.now += 10
    report = load.report()
    assert report[metric(ONGOING, STANDARD)] == 0
    assert (report[metric(ENDED, STANDARD)], report[metric(MISSED, STANDARD)]) == (4, 2)


@pytest.mark.parametrize("reason", list(Reason))
def test_a_miss_is_what_another_replica_would_have_spared(reason: Reason) -> None:
    """Late, shed or displaced; neither the caller's own faults nor his limits, nor what is not there."""
    load = ReplicaLoad(Clock())
    load.request_ended(ended(reason=reason))
    of_capacity = {"QUEUE_FULL", "PREDICTED_DEADLINE_MISS", "DISPLACED", "EXPIRED_IN_QUEUE", "EXPIRED_IN_EXECUTION"}
    expected = float(reason.name in of_capacity)
    report = load.report()
    assert report[metric(MISSED, STANDARD)] == report[metric(ENDED, STANDARD)] == expected


def test_requests_of_no_class_and_given_up_ones_count_as_nothing_missed() -> None:
    """A message that could not be read, a shadow, a caller who went away."""
    load = ReplicaLoad(Clock())
    for record in (
        ended(priority=None, reason=Reason.MALFORMED_MESSAGE),
        ended(priority=PriorityClass.SHADOW, reason=Reason.QUEUE_FULL),
        ended(outcome=Outcome.CANCELLED),
    ):
        load.request_ended(record)
    report = load.report()
    assert sum(report[metric(kind, each)] for kind in (ENDED, MISSED) for each in CLASSES) == 0


def test_the_engine_is_busy_for_its_share_of_the_interval() -> None:
    """Its own calls, not the health check's; never more than all of it."""
    clock = Clock()
    load = ReplicaLoad(clock)
    stages = (0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0)
    for _ in range(4):
        load.batch_ended(batch_run(stages=stages))
    load.batch_ended(dataclasses.replace(batch_run(stages=stages), is_probe=True))
    clock.now += 10
    assert load.report()[BUSY] == pytest.approx(0.2)
    clock.now += 10
    assert load.report()[BUSY] == 0
    load.batch_ended(batch_run(stages=stages))
    clock.now += 0.1
    assert load.report()[BUSY] == 1


def test_a_report_begins_anew() -> None:
    """Nothing is told twice."""
    clock = Clock()
    load = ReplicaLoad(clock)
    load.request_ended(ended(reason=Reason.QUEUE_FULL))
    load.look(statistics({STANDARD: 40}))
    clock.now += 1
    assert load.report()[metric(QUEUE_TIME, STANDARD)] > 0
    clock.now += 1
    assert set(load.report().values()) == {0.0}


def test_each_class_waits_for_what_goes_before_it() -> None:
    """Forty background requests in batches of four are ten batches of 20 ms, for their own class alone."""
    seen = statistics({BACKGROUND: 40, REAL_TIME: 4, PriorityClass.SHADOW: 1000})
    waits = [predicted_wait(seen, priority) for priority in CLASSES]
    assert waits == pytest.approx([0.02, 0.02, 0.22])


def test_the_dearest_model_is_what_waits() -> None:
    """Which one it is is not told; where nothing was measured nothing is predicted."""
    costs = {
        "cheap": {1: CostEstimate(median=0.001, quantile=0.002)},
        "dear": {8: CostEstimate(median=0.8, quantile=0.9)},
        "unknown": {},
    }
    assert predicted_wait(statistics({STANDARD: 2}, costs=costs, batch_limit={}), STANDARD) == pytest.approx(0.2)
    assert predicted_wait(statistics({STANDARD: 2}, costs={}), STANDARD) == 0


def test_what_is_reported_is_read_back() -> None:
    """Names and numbers arrive; ongoing requests as their mean over the look-back, all else as last reported."""
    clock = Clock()
    load = ReplicaLoad(clock)
    series: dict[str, list[Taken]] = {}
    for moment, count in ((0.0, 80), (10.0, 40), (20.0, 20)):
        for _ in range(count):
            load.request_ended(ended())
        load.request_ended(ended(seconds=0.0, reason=Reason.QUEUE_FULL, priority=REAL_TIME))
        load.look(statistics({BACKGROUND: count}))
        clock.now += 10
        for name, value in load.report().items():
            series.setdefault(name, []).append(Taken(moment, value))
    read = read_figures(series, now=20.0, look_back=15.0, recent=30.0, changed=19.0, grown=0.0)
    assert read is not None
    assert read.ongoing == pytest.approx(1.5)
    assert read.queue_time == pytest.approx({REAL_TIME: 0, STANDARD: 0, BACKGROUND: 0.1})
    assert dataclasses.replace(read, ongoing=0.0, queue_time={}) == ReplicaFigures(
        ended={REAL_TIME: 1, STANDARD: 20, BACKGROUND: 0},
        missed={REAL_TIME: 1, STANDARD: 0, BACKGROUND: 0},
        busy=0.0,
        is_fresh=True,
        is_current=True,
    )
    alien = {"running_requests": [Taken(0, 7)]}
    assert read_figures(alien, now=1, look_back=9, recent=30, changed=0, grown=0) is None


@pytest.mark.parametrize(
    ("now", "changed", "grown", "expected"),
    [
        (25.0, 19.0, 0.0, (True, True)),
        (99.0, 19.0, 0.0, (True, True)),  # nothing has changed since, however old it is
        (25.0, 21.0, 0.0, (False, True)),  # one went away, or came back: the pressure was there
        (25.0, 21.0, 20.0, (False, False)),  # the pool has grown since: that was the answer
        (51.0, 21.0, 0.0, (False, False)),  # too old
    ],
)
def test_a_report_counts_for_growth_longer_than_for_shrinking(
    now: float, changed: float, grown: float, expected: tuple[bool, bool]
) -> None:
    """Fewer need reports of the present number of replicas; more need such of a pressure not yet answered."""
    read = read_figures({BUSY: [Taken(20.0, 1.0)]}, now=now, look_back=15.0, recent=30.0, changed=changed, grown=grown)
    assert read is not None
    assert (read.is_fresh, read.is_current) == expected


class BrokenError(Exception):
    """What a look at the queue may raise."""


async def test_a_look_that_fails_does_not_end_the_watch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next one counts, alone; the failures are logged once a minute. Without that the queue would read as empty."""
    clock, looks = Clock(), 0
    load = ReplicaLoad(clock)

    async def passed(seconds: float) -> None:
        clock.now += seconds
        if looks == 1000:
            raise asyncio.CancelledError

    def broken_but_for_the_last() -> Statistics:
        nonlocal looks
        looks += 1
        if looks < 1000:
            raise BrokenError
        return statistics({STANDARD: 8})

    monkeypatch.setattr("server.autoscaling.replica_load.asyncio.sleep", passed)
    with caplog.at_level(logging.ERROR, logger="ray.serve"), pytest.raises(asyncio.CancelledError):
        await load.run(broken_but_for_the_last)
    assert load.report()[metric(QUEUE_TIME, STANDARD)] == pytest.approx(0.04)
    # A thousand quarters of a second are four minutes and a bit.
    assert len(caplog.records) == 5
    assert all(record.exc_info and record.exc_info[0] is BrokenError for record in caplog.records)
