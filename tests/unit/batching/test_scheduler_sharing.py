"""Laws 10 and 12 in the core: displacement and shared executions; and faults, and endurance."""

import math

import pytest

from batching import (
    Batch,
    Completion,
    DisplacedError,
    EngineHungError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    PredictedDeadlineMissError,
    PriorityClass,
    QueueFullError,
    Request,
    RequestCancelledError,
    Scheduler,
    SchedulerConfig,
    Ticket,
)
from batching.shared_executions import MAX_MEMBERS
from benchmarks.core import endurance

RT, STD, BG = PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND
Core = Scheduler[str, str]


def request(
    payload: str = "p",
    *,
    priority: PriorityClass = STD,
    deadline: float = math.inf,
    share: str | None = None,
    caller: str = "c",
) -> Request[str]:
    """Build a request."""
    return Request(priority=priority, deadline=deadline, batch_key="m", caller=caller, payload=payload, share_key=share)


def chosen(core: Core, now: float = 0.0) -> Batch[str, str]:
    """Choose a batch that must be there."""
    batch = core.choose(now)
    assert batch is not None
    return batch


def kinds(tickets: list[Ticket[str, str]]) -> list[type]:
    """Return how tickets ended."""
    return [type(ticket.outcome) for ticket in tickets]


def test_urgent_arrival_displaces_the_newest_of_the_lowest_class() -> None:
    """Law 10: when full, the newest of the lowest class below makes room, typed, with a delay to try again after."""
    core: Core = Scheduler(SchedulerConfig(max_total_queue_size=4))
    old, new = (core.submit(request(priority=BG), 0.0) for _ in range(2))
    standard = core.submit(request(), 0.0)
    core.submit(request(priority=RT), 0.0)
    core.submit(request(priority=RT), 0.0)
    assert isinstance(new.outcome, DisplacedError)
    assert new.outcome.retry_after > 0
    core.submit(request(), 0.0)
    assert isinstance(old.outcome, DisplacedError)
    with pytest.raises(QueueFullError):
        core.submit(request(), 0.0)  # nothing below it is left
    core.submit(request(priority=RT), 0.0)
    assert core.take_ended()[-1].priority is STD
    assert standard.outcome is None
    assert core.statistics(0.0).displaced == 3


def test_own_limit_displaces_nobody() -> None:
    """Law 10: a class that is full itself is not helped by another's place."""
    core: Core = Scheduler(SchedulerConfig(max_queue_size={RT: 1, STD: 9, BG: 9}))
    core.submit(request(priority=BG), 0.0)
    core.submit(request(priority=RT), 0.0)
    with pytest.raises(QueueFullError):
        core.submit(request(priority=RT), 0.0)


def test_promoted_is_not_displaced() -> None:
    """Laws 5 and 10: whoever waited past its limit keeps its place."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=1, max_total_queue_size=3))
    patient = core.submit(request(priority=BG), 0.0)
    core.submit(request(priority=RT), 0.0)
    core.complete(chosen(core, 10.0), ["r"], 10.0)
    assert patient.promoted
    assert core.statistics(10.0).oldest_age[BG] == 10.0
    core.submit(request(priority=RT), 10.0)
    younger = core.submit(request(priority=BG), 10.0)
    core.submit(request(priority=RT), 10.0)
    assert isinstance(younger.outcome, DisplacedError)
    with pytest.raises(QueueFullError):
        core.submit(request(priority=RT), 10.0)


def test_promoted_that_leave_do_not_disturb_the_order_of_arrival() -> None:
    """Law 5: the promoted are out of the order of arrival, and their leaving counts against nobody in it."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=1, promotion_share=0.5, max_promoted=2))
    for _ in range(5):
        core.submit(request(priority=BG), 0.0)
    for step in range(3):
        core.complete(chosen(core, 10.0 + step), ["r"], 10.5 + step)
        queue = core._queue.of_class(BG)
        assert queue.arrivals.live == queue.size - core.statistics(11.0).promoted_waiting
    assert core.statistics(13.0).promoted == 4


def test_refused_request_displaces_nobody() -> None:
    """Laws 8 and 10: room is made only for one that is admitted."""
    core: Core = Scheduler(SchedulerConfig(max_total_queue_size=1))
    core.observe_warm_up("m", 1, 1.0)
    core.submit(request(), 0.0)
    running = chosen(core)
    waiting = core.submit(request(priority=BG), 0.0)
    with pytest.raises(PredictedDeadlineMissError):
        core.submit(request(priority=RT, deadline=0.5), 0.0)
    assert waiting.outcome is None
    core.complete(running, ["r"], 1.0)


def test_identical_requests_are_executed_once() -> None:
    """Law 12: those that join one that waits or runs get the one result, each its own completion."""
    core: Core = Scheduler(SchedulerConfig())
    first = core.submit(request(share="s"), 0.0)
    second = core.submit(request(share="s"), 1.0)
    other = core.submit(request("q", share="t"), 1.0)
    batch = chosen(core, 2.0)
    assert batch.payloads == ("p", "q")
    third = core.submit(request(share="s"), 3.0)
    assert (core.in_flight, core.queued) == (4, 0)
    core.complete(batch, ["P", "Q"], 4.0)
    found = [ticket.outcome for ticket in (first, second, third, other)]
    assert all(isinstance(outcome, Completion) for outcome in found)
    assert [o.result for o in found if isinstance(o, Completion)] == ["P", "P", "P", "Q"]
    assert [o.queue_duration for o in found if isinstance(o, Completion)] == [2.0, 1.0, 0.0, 1.0]
    assert core.statistics(4.0).shared == 2
    core.submit(request(share="s"), 5.0)
    assert chosen(core, 5.0).payloads == ("p",)  # the old execution is over


def test_shared_execution_has_the_highest_class_and_earliest_deadline() -> None:
    """Law 12: an urgent member lifts the execution; when it goes, the others fall back."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=1))
    core.submit(request("other"), 0.0)
    slow = core.submit(request("shared", priority=BG, share="s"), 0.0)
    urgent = core.submit(request("shared", priority=RT, share="s", deadline=5.0), 0.0)
    hasty = core.submit(request("shared", priority=BG, share="s", deadline=2.0), 0.0)
    core.expire(2.0)
    assert isinstance(hasty.outcome, ExpiredInQueueError)
    assert core.cancel(urgent, 3.0)
    assert chosen(core, 3.0).payloads == ("other",)
    core.submit(request("shared", priority=RT, share="s"), 3.0)
    core.submit(request("another", priority=STD), 3.0)
    batch = chosen(core, 3.0)
    assert batch.payloads == ("shared",)
    core.complete(batch, ["R"], 4.0)
    assert isinstance(slow.outcome, Completion)
    assert slow.outcome.effective_priority is RT


def test_shared_execution_is_given_up_when_no_member_is_left() -> None:
    """Law 12: cancelled only when none is left, and then it never reaches the engine."""
    core: Core = Scheduler(SchedulerConfig())
    tickets = [core.submit(request(share="s"), 0.0) for _ in range(3)]
    for ticket in tickets[:2]:
        core.cancel(ticket, 0.0)
    assert core.queued == 1
    core.cancel(tickets[2], 0.0)
    assert kinds(tickets) == [RequestCancelledError] * 3
    assert core.choose(0.0) is None
    assert len(core._shared) == 0


def test_member_without_time_is_lost_alone() -> None:
    """Laws 6 and 12: what one member cannot wait for, the others still can."""
    core: Core = Scheduler(SchedulerConfig(admission=False))
    core.observe_warm_up("m", 1, 1.0)
    running = core.submit(request("first"), 0.0)
    batch = chosen(core)
    hasty = core.submit(request(share="s", deadline=2.5), 0.0)
    patient = core.submit(request(share="s"), 0.0)
    core.complete(batch, ["r"], 2.0)
    again = chosen(core, 2.0)
    assert kinds([running, hasty]) == [Completion, ExpiredInQueueError]
    core.complete(again, ["r"], 3.0)
    assert isinstance(patient.outcome, Completion)


def test_each_member_is_tested_at_its_own_arrival() -> None:
    """Laws 8 and 12: joining what waits or runs helps nobody whose time is shorter than that takes."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=1))
    core.observe_warm_up("m", 1, 1.0)
    core.submit(request(share="s"), 0.0)
    running = chosen(core)
    with pytest.raises(PredictedDeadlineMissError):
        core.submit(request(share="s", deadline=0.9), 0.0)
    core.submit(request(share="s", deadline=1.5), 0.0)
    core.submit(request(share="t", deadline=2.8), 0.0)
    with pytest.raises(PredictedDeadlineMissError):
        core.submit(request(share="t", deadline=1.9), 0.0)
    core.submit(request(share="t", deadline=2.9), 0.0)
    core.complete(running, ["r"], 1.0)
    core.complete(chosen(core, 1.0), ["r"], 2.0)
    assert core.statistics(2.0).completed == 4


def test_members_of_one_execution_are_bounded() -> None:
    """Law 10: sharing does not open a way around the limits."""
    core: Core = Scheduler(SchedulerConfig())
    core.submit(request(share="s"), 0.0)
    batch = chosen(core)
    for _ in range(MAX_MEMBERS - 1):
        core.submit(request(share="s"), 0.0)
    with pytest.raises(QueueFullError):
        core.submit(request(share="s"), 0.0)
    core.fail(batch, RuntimeError("boom"), 0.0)
    assert kinds(core.take_ended()) == [InferenceFailedError] * MAX_MEMBERS


def test_displacing_a_shared_execution_ends_all_its_members() -> None:
    """Laws 10 and 12: each member is told."""
    core: Core = Scheduler(SchedulerConfig(max_total_queue_size=2))
    tickets = [core.submit(request(share="s", priority=BG), 0.0) for _ in range(2)]
    core.submit(request(priority=RT), 0.0)
    assert kinds(tickets) == [DisplacedError] * 2
    assert (core.queued, len(core._shared)) == (1, 0)


@pytest.mark.parametrize("fault", ["raises", "hangs", "too few", "members gone", "standing clock"])
def test_fault_ends_its_batch_and_service_goes_on(fault: str) -> None:
    """Law 11: whatever an engine or a clock does wrong, its batch ends, and the next one is served."""
    core: Core = Scheduler(SchedulerConfig(max_batch_duration=math.inf))
    core.observe_warm_up("m", 1, 1.0)
    tickets = [core.submit(request(str(n), deadline=9.0, share="s" if n else None), 0.0) for n in range(3)]
    batch = chosen(core)
    if fault == "raises":
        core.fail(batch, RuntimeError("boom"), 1.0)
        assert kinds(tickets) == [InferenceFailedError] * 3
    elif fault == "hangs":
        core.fail(batch, EngineHungError(5.0), 5.0)
        core.complete(batch, batch.payloads, 6.0)
        assert kinds(tickets) == [EngineHungError] * 3
    elif fault == "too few":
        core.complete(batch, ["r"], 1.0)
        assert kinds(tickets) == [InferenceFailedError] * 3
    elif fault == "members gone":
        core.cancel(tickets[0], 1.0)
        core.expire(9.0)
        core.complete(batch, batch.payloads, 1000.0)
        assert kinds(tickets) == [RequestCancelledError, ExpiredInExecutionError, ExpiredInExecutionError]
    else:
        for _ in range(50):
            core.complete(batch, batch.payloads, 0.0)
            core.submit(request(deadline=9.0), 0.0)
            batch = chosen(core)
        core.complete(batch, batch.payloads, 0.0)
        assert kinds(tickets) == [Completion] * 3
    if fault != "members gone":
        assert core.statistics(0.0).costs["m"][1].median == 1.0  # nothing was learned
    assert core.in_flight == 0
    last = core.submit(request(deadline=2000.0), 1000.0)
    core.complete(chosen(core, 1000.0), ["r"], 1001.0)
    assert isinstance(last.outcome, Completion)


def test_snapshot_shows_costs_limits_and_goodput() -> None:
    """The snapshot tells what is predicted, what a batch may hold, and how promises were kept by class."""
    core: Core = Scheduler(SchedulerConfig(max_batch_duration=4.0, admission=False))
    for size in (1, 8):
        core.observe_warm_up("m", size, float(size))
    core.submit(request(), 0.0)
    core.submit(request(priority=RT, deadline=5.0), 0.0)
    core.submit(request(priority=RT, deadline=0.0), 0.0)
    core.complete(chosen(core), ["r", "r"], 2.0)
    core.submit(request(priority=BG, deadline=3.0), 2.0)
    core.expire(3.0)
    found = core.statistics(3.0)
    assert found.batch_limit == {"m": 4}
    assert {size: cost.median for size, cost in found.costs["m"].items()} == {1: 1.0, 2: 2.0, 8: 8.0}
    assert found.in_time == {RT: 1, STD: 1, BG: 0, PriorityClass.SHADOW: 0}
    assert found.late == {RT: 0, STD: 0, BG: 1, PriorityClass.SHADOW: 0}


def test_long_traffic_neither_leaks_nor_slows_down() -> None:
    """Law 10: over very many submissions with timeouts and cancellations memory and structures stay small."""
    found = endurance.run(25_000, trace=True)
    assert sum(found.outcomes.values()) == found.submitted
    assert found.kept <= 64
    assert found.grown < 200_000
    assert min(found.outcomes.get(name, 0) for name in ("result", "PredictedDeadlineMissError")) > 1000
    fast = endurance.run(30_000)
    assert fast.last < 2.0 * fast.first
