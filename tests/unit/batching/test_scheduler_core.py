"""The synchronous core, with time handed in."""

import math

import pytest

from batching import (
    Batch,
    Completion,
    EngineHungError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    PriorityClass,
    QueueFullError,
    Request,
    RequestCancelledError,
    Scheduler,
    SchedulerClosedError,
    SchedulerConfig,
    SchedulerError,
    Ticket,
    TicketState,
)

RT, STD, BG = PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND
Core = Scheduler[str, str]


def request(
    payload: str = "p",
    *,
    deadline: float = 100.0,
    priority: PriorityClass = STD,
    key: str = "model",
    caller: str = "caller",
) -> Request[str]:
    """Build a request with what the test does not care about filled in."""
    return Request(priority=priority, deadline=deadline, batch_key=key, caller=caller, payload=payload)


def core(
    *, max_batch_size: int = 64, max_queue_delay: float = 0.0, fairness_quantum: int = 64, total: int = 8192
) -> Core:
    """Build a core."""
    return Scheduler(
        SchedulerConfig(
            max_batch_size=max_batch_size,
            max_queue_delay=max_queue_delay,
            fairness_quantum=fairness_quantum,
            max_total_queue_size=total,
        )
    )


def chosen(scheduler: Core, now: float = 0.0) -> Batch[str, str]:
    """Choose a batch that must be there."""
    batch = scheduler.choose(now)
    assert batch is not None
    return batch


def outcomes(scheduler: Core) -> list[Completion[str] | SchedulerError | None]:
    """Take the outcomes there are."""
    return [ticket.outcome for ticket in scheduler.take_ended()]


def test_result_is_delivered_once_with_its_timings() -> None:
    """Law 1: a request ends once, and its completion says how it came about."""
    scheduler = core()
    scheduler.submit(request("a", priority=RT), 1.0)
    scheduler.submit(request("b", priority=BG), 2.0)
    batch = chosen(scheduler, 3.0)
    assert batch.payloads == ("a", "b")
    scheduler.complete(batch, ["A", "B"], 7.0, inference_duration=3.5)
    first, second = outcomes(scheduler)
    assert first == Completion(
        result="A",
        queue_duration=2.0,
        inference_duration=3.5,
        batch_size=2,
        effective_priority=RT,
        enqueued_at=1.0,
        chosen_at=3.0,
        completed_at=7.0,
    )
    assert isinstance(second, Completion)
    assert (second.result, second.queue_duration, second.effective_priority) == ("B", 1.0, BG)
    scheduler.complete(batch, ["A", "B"], 8.0)
    assert outcomes(scheduler) == []


def test_inference_duration_defaults_to_the_time_since_choosing() -> None:
    """A driver without a stopwatch, such as the simulator, gets the duration from the core's times."""
    scheduler = core()
    scheduler.submit(request(), 0.0)
    scheduler.complete(chosen(scheduler, 1.0), ["r"], 3.5)
    (outcome,) = outcomes(scheduler)
    assert isinstance(outcome, Completion)
    assert outcome.inference_duration == 2.5


def test_batch_is_bound_late() -> None:
    """Law 2: an urgent request that arrives while the engine is busy is in the next batch, ahead of earlier ones."""
    scheduler = core(max_batch_size=2)
    for name in "abc":
        scheduler.submit(request(name, priority=BG), 0.0)
    assert chosen(scheduler).payloads == ("a", "b")
    scheduler.submit(request("urgent", priority=RT), 1.0)
    assert chosen(scheduler, 2.0).payloads == ("urgent", "c")


def test_batch_holds_the_key_of_the_first_request() -> None:
    """Law 2: a batch holds one key, and requests of another keep their places."""
    scheduler = core()
    scheduler.submit(request("x1", key="x", deadline=10.0), 0.0)
    scheduler.submit(request("y1", key="y", deadline=5.0), 0.0)
    scheduler.submit(request("x2", key="x", deadline=1.0, priority=BG), 0.0)
    scheduler.submit(request("y2", key="y", deadline=20.0), 0.0)
    first, second = chosen(scheduler), chosen(scheduler)
    assert (first.batch_key, first.payloads) == ("y", ("y1", "y2"))
    assert (second.batch_key, second.payloads) == ("x", ("x1", "x2"))
    assert scheduler.choose(0.0) is None


def test_order_is_class_then_deadline_then_arrival() -> None:
    """Law 4: by class, then earliest deadline, then arrival."""
    scheduler = core()
    scheduler.submit(request("late background", priority=BG, deadline=9.0), 0.0)
    scheduler.submit(request("early background", priority=BG, deadline=1.0), 0.0)
    scheduler.submit(request("standard, first", deadline=5.0), 0.0)
    scheduler.submit(request("standard, second", deadline=5.0), 0.0)
    scheduler.submit(request("real-time", priority=RT, deadline=50.0), 0.0)
    assert chosen(scheduler).payloads == (
        "real-time",
        "standard, first",
        "standard, second",
        "early background",
        "late background",
    )


def test_expired_in_queue_never_reaches_the_engine() -> None:
    """Law 9: a request whose deadline has come while it waited ends typed and is in no batch."""
    scheduler = core()
    ticket = scheduler.submit(request(deadline=2.0), 0.5)
    assert scheduler.next_deadline() == 2.0
    assert scheduler.choose(2.0) is None
    assert isinstance(ticket.outcome, ExpiredInQueueError)
    assert ticket.outcome.waited == 1.5
    assert scheduler.next_deadline() is None


def test_request_submitted_too_late_expires_at_once() -> None:
    """Law 9: a deadline that has come at arrival is an expiry, not an error of its own kind."""
    scheduler = core()
    ticket = scheduler.submit(request(deadline=1.0), 1.0)
    assert ticket.state is TicketState.ENDED
    assert [ExpiredInQueueError] == [type(outcome) for outcome in outcomes(scheduler)]


def test_expiry_while_executing_ends_at_once_and_discards_the_result() -> None:
    """Law 9: a running request ends at its deadline; its batch's result reaches only the others."""
    scheduler = core()
    late = scheduler.submit(request("late", deadline=2.0), 0.0)
    scheduler.submit(request("fine", deadline=9.0), 0.0)
    batch = chosen(scheduler)
    scheduler.expire(2.0)
    assert [late] == scheduler.take_ended()
    assert isinstance(late.outcome, ExpiredInExecutionError)
    scheduler.complete(batch, ["L", "F"], 3.0)
    (outcome,) = outcomes(scheduler)
    assert isinstance(outcome, Completion)
    assert outcome.result == "F"


@pytest.mark.parametrize("ending", ["complete", "fail", "cancel"])
def test_deadline_wins_over_whatever_comes_with_it(ending: str) -> None:
    """Law 9: a result, failure or cancellation at the deadline itself counts as expired."""
    scheduler = core()
    ticket = scheduler.submit(request(deadline=2.0), 0.0)
    batch = chosen(scheduler)
    if ending == "complete":
        scheduler.complete(batch, ["r"], 2.0)
    elif ending == "fail":
        scheduler.fail(batch, RuntimeError("boom"), 2.0)
    else:
        assert scheduler.cancel(ticket, 2.0)
    assert [ExpiredInExecutionError] == [type(outcome) for outcome in outcomes(scheduler)]
    assert scheduler.statistics(2.0).expired_in_execution == 1


def test_no_deadline_never_expires() -> None:
    """A request without a deadline needs no timer."""
    scheduler = core()
    scheduler.submit(request(deadline=math.inf), 0.0)
    assert scheduler.next_deadline() is None
    scheduler.complete(chosen(scheduler, 1e12), ["r"], 2e12)
    assert isinstance(outcomes(scheduler)[0], Completion)


def test_cancelling_one_leaves_its_neighbours() -> None:
    """Law 11: a cancelled member, waiting or running, never touches the others of its batch."""
    scheduler = core()
    tickets: list[Ticket[str, str]] = [scheduler.submit(request(name), 0.0) for name in "abcd"]
    assert scheduler.cancel(tickets[1], 0.0)
    batch = chosen(scheduler)
    assert batch.payloads == ("a", "c", "d")
    assert scheduler.cancel(tickets[2], 0.0)
    assert not scheduler.cancel(tickets[2], 0.0)
    scheduler.complete(batch, ["A", "C", "D"], 1.0)
    results = [t.outcome.result if isinstance(t.outcome, Completion) else type(t.outcome) for t in tickets]
    assert results == ["A", RequestCancelledError, RequestCancelledError, "D"]
    assert len(scheduler.take_ended()) == 4


@pytest.mark.parametrize("results", [[], ["A"], ["A", "B", "C"]])
def test_wrong_number_of_results_fails_that_batch_only(results: list[str]) -> None:
    """Law 11: results that cannot be matched to requests fail the batch loudly, and no other."""
    scheduler = core(max_batch_size=2)
    for name in "abc":
        scheduler.submit(request(name), 0.0)
    bad, good = chosen(scheduler), chosen(scheduler)
    scheduler.complete(bad, results, 1.0)
    errors = outcomes(scheduler)
    assert [str(error) for error in errors] == [f"the engine returned {len(results)} results for 2 requests"] * 2
    scheduler.complete(good, ["C"], 1.0)
    assert [Completion] == [type(outcome) for outcome in outcomes(scheduler)]


def test_each_member_fails_with_an_exception_of_its_own() -> None:
    """Law 11: members share no exception object, yet all know the cause."""
    scheduler = core()
    scheduler.submit(request("a"), 0.0)
    scheduler.submit(request("b"), 0.0)
    cause = RuntimeError("boom")
    scheduler.fail(chosen(scheduler), cause, 1.0)
    first, second = outcomes(scheduler)
    assert isinstance(first, InferenceFailedError)
    assert isinstance(second, InferenceFailedError)
    assert first is not second
    assert first.__cause__ is second.__cause__ is cause


def test_answer_after_the_batch_was_failed_is_ignored() -> None:
    """Law 1: a hung engine that answers after all changes nothing."""
    scheduler = core()
    scheduler.submit(request(), 0.0)
    batch = chosen(scheduler)
    scheduler.fail(batch, EngineHungError(30.0), 30.0)
    scheduler.complete(batch, ["r"], 31.0)
    (outcome,) = outcomes(scheduler)
    assert isinstance(outcome, EngineHungError)
    assert outcome.timeout == 30.0


def test_failing_policy_fails_what_it_drew_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 11: a fault in policy code ends the requests it had in hand; the next call starts clean."""
    scheduler = core(max_batch_size=2)
    for name in "abc":
        scheduler.submit(request(name), 0.0)
    with monkeypatch.context() as patch:
        patch.setattr("batching.batch_policy.islice", lambda candidates, _: [next(candidates), 1 / 0])
        with pytest.raises(ZeroDivisionError):
            scheduler.choose(0.0)
    assert [InferenceFailedError] == [type(outcome) for outcome in outcomes(scheduler)]
    assert chosen(scheduler).payloads == ("b", "c")
    statistics = scheduler.statistics(0.0)
    assert (statistics.failed, statistics.in_flight, statistics.submitted) == (1, 2, 3)


def test_total_limit_refuses_with_a_retry_delay() -> None:
    """Law 10: a request beyond the total limit is refused, typed, with a delay after which to try again."""
    scheduler = core(total=2)
    scheduler.submit(request(), 0.0)
    scheduler.submit(request(), 0.0)
    with pytest.raises(QueueFullError) as refused:
        scheduler.submit(request(priority=STD), 0.0)
    assert refused.value.retry_after > 0
    assert scheduler.statistics(0.0).refused_queue_full == 1


def test_class_limit_refuses_that_class_only() -> None:
    """Law 10: a full class does not close the others."""
    scheduler: Core = Scheduler(SchedulerConfig(max_queue_size={RT: 5, STD: 5, BG: 1}))
    scheduler.submit(request(priority=BG), 0.0)
    with pytest.raises(QueueFullError):
        scheduler.submit(request(priority=BG), 0.0)
    scheduler.submit(request(priority=STD), 0.0)


def test_the_dead_do_not_keep_the_living_out() -> None:
    """Law 10: expired requests do not count against a limit."""
    scheduler = core(total=1)
    scheduler.submit(request(deadline=1.0), 0.0)
    scheduler.submit(request("alive"), 1.0)
    assert chosen(scheduler, 1.0).payloads == ("alive",)


def test_retry_delay_follows_the_engine() -> None:
    """Law 10: the slower the engine and the longer the queue, the later a refused caller is asked back."""

    def refused_after(duration: float, waiting: int) -> float:
        scheduler = core(max_batch_size=1, total=waiting)
        for batch in range(30):
            scheduler.submit(request(deadline=math.inf), batch * duration)
            scheduler.complete(chosen(scheduler, batch * duration), ["r"], (batch + 1) * duration)
        for _ in range(waiting):
            scheduler.submit(request(deadline=math.inf), 0.0)
        with pytest.raises(QueueFullError) as refused:
            scheduler.submit(request(deadline=math.inf), 0.0)
        return refused.value.retry_after

    assert refused_after(1.0, 10) == pytest.approx(5.0, rel=0.05)
    assert refused_after(0.1, 10) == pytest.approx(0.5, rel=0.05)
    assert refused_after(0.1, 100) == pytest.approx(5.0, rel=0.05)


def test_queue_delay_waits_for_company_but_not_beyond() -> None:
    """Law 3: with a delay, a batch that is not full goes when its oldest request has waited that long."""
    scheduler = core(max_batch_size=3, max_queue_delay=1.0)
    scheduler.submit(request("a"), 0.0)
    scheduler.submit(request("b"), 0.5)
    assert scheduler.choose(0.5) is None
    assert scheduler.next_wakeup(0.5) == 1.0
    assert chosen(scheduler, 1.0).payloads == ("a", "b")
    assert scheduler.next_wakeup(1.0) is None


def test_full_batch_is_not_delayed() -> None:
    """Law 3: a full batch has nothing to wait for."""
    scheduler = core(max_batch_size=2, max_queue_delay=1.0)
    scheduler.submit(request("a"), 0.0)
    scheduler.submit(request("b"), 0.0)
    assert scheduler.next_wakeup(0.0) == 0.0
    assert chosen(scheduler, 0.0).payloads == ("a", "b")


def test_delay_leaves_half_of_the_time_for_running() -> None:
    """Law 3: no request is held back for more than half the time it has."""
    scheduler = core(max_queue_delay=1.0)
    scheduler.submit(request("a", deadline=50.0), 0.0)
    scheduler.submit(request("b", deadline=0.5), 0.1)
    assert scheduler.next_wakeup(0.1) == pytest.approx(0.3)
    assert chosen(scheduler, 0.31).payloads == ("b", "a")


def test_held_back_key_does_not_hold_back_another() -> None:
    """Law 3: while one key waits for company, another that is due goes."""
    scheduler = core(max_batch_size=2, max_queue_delay=1.0)
    scheduler.submit(request("first", key="x", priority=RT), 0.0)
    scheduler.submit(request("y1", key="y"), 0.0)
    scheduler.submit(request("y2", key="y"), 0.0)
    assert chosen(scheduler).batch_key == "y"
    assert scheduler.choose(0.0) is None


def test_settings_change_while_it_runs() -> None:
    """Every setting can be changed live; what waits is kept."""
    scheduler = core()
    for name in "abc":
        scheduler.submit(request(name), 0.0)
    scheduler.reconfigure(SchedulerConfig(max_batch_size=1, max_total_queue_size=1))
    with pytest.raises(QueueFullError):
        scheduler.submit(request(), 0.0)
    assert chosen(scheduler).payloads == ("a",)
    assert scheduler.config.max_batch_size == 1


def test_closing_the_queue_ends_what_waits_and_spares_what_runs() -> None:
    """Law 1: closing ends waiting requests typed; running ones may finish."""
    scheduler = core(max_batch_size=1)
    running, waiting = scheduler.submit(request(), 0.0), scheduler.submit(request(key="other"), 0.0)
    batch = chosen(scheduler)
    scheduler.close_queue(1.0)
    assert isinstance(waiting.outcome, SchedulerClosedError)
    assert running.outcome is None
    scheduler.complete(batch, ["r"], 2.0)
    assert isinstance(running.outcome, Completion)


def test_statistics_tell_depth_and_age_by_class() -> None:
    """The snapshot tells what waits, for how long, and what runs, and does not change afterwards."""
    scheduler = core(max_batch_size=1)
    gone = scheduler.submit(request(priority=BG), 0.0)
    scheduler.submit(request(priority=BG), 1.0)
    scheduler.submit(request(priority=BG), 2.0)
    scheduler.submit(request(priority=RT), 3.0)
    scheduler.cancel(gone, 3.0)
    chosen(scheduler, 3.0)
    before = scheduler.statistics(5.0)
    scheduler.close_queue(6.0)
    assert before.queue_size == {RT: 0, STD: 0, BG: 2, PriorityClass.SHADOW: 0}
    assert before.oldest_age == {RT: 0.0, STD: 0.0, BG: 4.0, PriorityClass.SHADOW: 0.0}
    assert (before.in_flight, before.running_batches, before.batches, before.cancelled) == (1, 1, 1, 1)


def test_nothing_is_kept_of_what_has_ended() -> None:
    """Law 10: long traffic with timeouts and cancellations leaves no entries behind."""
    scheduler = core(max_batch_size=8)
    for step in range(20_000):
        now = step * 0.001
        ticket = scheduler.submit(request(deadline=now + 5.0, caller=str(step), key=str(step % 7)), now)
        if step % 3 == 0:
            scheduler.cancel(ticket, now)
        if step % 8 == 0 and (batch := scheduler.choose(now)) is not None:
            scheduler.complete(batch, batch.payloads, now)
        scheduler.take_ended()
    scheduler.close_queue(20.0)
    scheduler.expire(1e9)
    assert len(scheduler._ledger.expiry) <= 16
    assert (scheduler.queued, scheduler.in_flight, len(scheduler._shared)) == (0, 0, 0)
    for priority in PriorityClass:
        queue = scheduler._queue.of_class(priority)
        assert (queue._lanes, len(queue.arrivals), len(queue._fair_share)) == ({}, 0, 0)
        assert queue.index is not None
        assert (queue.index.size, queue.index.blocks) == (0, 0)
