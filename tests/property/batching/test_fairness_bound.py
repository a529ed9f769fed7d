"""The closed forms of the laws on fairness and on holding back."""

from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from batching import ExpiredInQueueError, PriorityClass, Request, Scheduler, SchedulerConfig, Ticket

Core = Scheduler[int, int]


CLASSES = st.sampled_from([PriorityClass.STANDARD, PriorityClass.SHADOW])  # awaited, or not


def submit(
    core: Core, caller: str, deadline: float, now: float = 0.0, priority: PriorityClass = PriorityClass.STANDARD
) -> Ticket[int, int]:
    """Submit a request of one class and key."""
    request = Request(priority=priority, deadline=deadline, batch_key="m", caller=caller, payload=0)
    return core.submit(request, now)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(["flood", "flood", "flood", "a", "b"]), st.integers(1, 1000)),
        st.tuples(st.just("serve"), st.just(""), st.integers(1, 6)),
        st.tuples(st.just("cancel"), st.just(""), st.integers(0, 10_000)),
    ),
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(quantum=st.integers(1, 5), steps=STEPS, priority=CLASSES)
def test_nobody_is_overtaken_by_more_than_the_bound(
    quantum: int, steps: list[tuple[str, str, int]], priority: PriorityClass
) -> None:
    """Law 4: while q waits, any other caller is served at most ``quantum * (1 + u // quantum)`` times."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=1, fairness_quantum=quantum))
    waiting: dict[Ticket[int, int], tuple[int, dict[str, int]]] = {}
    submitted: list[Ticket[int, int]] = []
    mine: dict[str, int] = {}  # u is at most what the caller has had waiting or served since the queue was last empty

    def serve() -> None:
        batch = core.choose(0.0)
        if batch is None:
            return
        (ticket,) = batch.tickets
        core.complete(batch, [0], 0.0)
        waiting.pop(ticket)
        for other, (bound, overtaken) in waiting.items():
            caller = ticket.request.caller
            if caller != other.request.caller:
                overtaken[caller] = overtaken.get(caller, 0) + 1
                assert overtaken[caller] <= bound
        if not waiting:
            mine.clear()

    def cancel(index: int) -> None:
        if submitted and core.cancel(ticket := submitted[index % len(submitted)], 0.0):
            waiting.pop(ticket)
            mine[ticket.request.caller] -= 1
            if not waiting:
                mine.clear()

    for step, caller, number in steps:
        if step == "submit":
            ticket = submit(core, caller, float(number), priority=priority)
            submitted.append(ticket)
            waiting[ticket] = (quantum * (1 + mine.get(caller, 0) // quantum), {})
            mine[caller] = mine.get(caller, 0) + 1
        elif step == "serve":
            for _ in range(number):
                serve()
        else:
            cancel(number)
    while core.queued:
        serve()


@settings(max_examples=200, deadline=None)
@given(
    requests=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 50)), max_size=40),
    flood=st.integers(0, 60),
    size=st.integers(1, 7),
    priority=CLASSES,
)
def test_callers_within_their_share_are_in_pure_deadline_order(
    requests: list[tuple[str, int]], flood: int, size: int, priority: PriorityClass
) -> None:
    """Law 4: within the quantum, deadline and arrival alone decide, whatever somebody else floods."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=size, fairness_quantum=40))
    for _ in range(flood):
        submit(core, "flood", 0.5, priority=priority)
    for caller, deadline in requests:
        submit(core, caller, float(deadline), priority=priority)
    served: list[Ticket[Any, Any]] = []
    while (batch := core.choose(0.0)) is not None:
        served.extend(batch.tickets)
    polite = [ticket for ticket in served if ticket.request.caller != "flood"]
    assert polite == sorted(polite, key=lambda ticket: (ticket.deadline, ticket.sequence))
    ahead = next((n for n, ticket in enumerate(served) if ticket.request.caller != "flood"), 0)
    assert ahead <= 40


@settings(max_examples=200, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 10), st.integers(1, 60)), min_size=1, max_size=30),
    delay=st.integers(0, 30),
    size=st.integers(1, 8),
)
def test_holding_back_neither_expires_nor_outlasts_the_delay(
    arrivals: list[tuple[int, int]], delay: int, size: int
) -> None:
    """Law 3: with an engine that is always free nobody waits longer than the delay, nor half of its own time."""
    core: Core = Scheduler(SchedulerConfig(max_batch_size=size, max_queue_delay=float(delay)))
    now = 0.0

    def serve_until(then: float) -> None:
        """Do what the shell does with an idle slot: choose when something arrives and when told to wake up."""
        nonlocal now
        while True:
            while (batch := core.choose(now)) is not None:
                for ticket in batch.tickets:
                    assert now - ticket.enqueued_at <= min(delay, (ticket.deadline - ticket.enqueued_at) / 2)
                core.complete(batch, batch.payloads, now)
            wakeup = core.next_wakeup(now)
            if wakeup is None or wakeup > then:
                break
            now = max(wakeup, now)
        now = then

    for gap, time_left in arrivals:
        serve_until(now + gap)
        submit(core, "c", now + time_left, now)
        serve_until(now)
    serve_until(now + 1000)
    assert core.queued == 0
    assert not any(isinstance(ticket.outcome, ExpiredInQueueError) for ticket in core.take_ended())
