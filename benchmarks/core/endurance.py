"""Owns the long run: very many submissions with timeouts and cancellations, watched for leaks and for slowing down.

Triton's issue 8870 is the cautionary tale: queue timeouts there slowly destroyed throughput.
"""

import gc
import random
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from batching import Completion, PriorityClass, RefusedError, Request, Scheduler, SchedulerConfig, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Endurance:
    """How a long run went.

    Attributes:
        submitted: Requests handed in.
        outcomes: How many ended in which way.
        first: Microseconds a request in the first tenth (after a warm-up).
        last: Microseconds a request in the last tenth.
        kept: Entries of all structures left at the end, when nothing waits and nothing runs.
        grown: Bytes by which the memory in use grew from before the first to after the last; 0 if not traced.
    """

    submitted: int
    outcomes: dict[str, int]
    first: float
    last: float
    kept: int
    grown: int


def run(count: int, *, seed: int = 1, trace: bool = False, clock: Callable[[], float] = time.process_time) -> Endurance:
    """Submit ``count`` requests at twice what an imaginary engine of 1 ms a request can do, and end them all.

    Every class, short and long deadlines, one in five cancelled while it waits or runs, one in eight shared.
    """
    chance = random.Random(seed)
    core: Scheduler[int, int] = Scheduler(SchedulerConfig(max_total_queue_size=2048))
    for size in (1, 8, 64):
        core.observe_warm_up("m", size, 0.002 + 0.001 * size)
    outcomes: dict[str, int] = {}
    live: list[Ticket[int, int]] = []
    classes = list(PriorityClass)
    tenth = max(1, count // 10)
    marks = [clock()]
    before = grown = 0
    now, busy_until, batch = 0.0, 0.0, None
    if trace:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
    for number in range(count):
        now += 0.0005
        deadline = now + chance.choice((0.005, 0.05, 0.5, 5.0))
        request = Request(
            priority=classes[number % len(classes)],
            deadline=deadline,
            batch_key="m",
            caller=f"caller {chance.randrange(2000)}",
            payload=number,
            share_key=str(chance.randrange(100)) if number % 8 == 0 else None,
        )
        try:
            live.append(core.submit(request, now))
        except RefusedError as refused:
            _count(outcomes, type(refused).__name__)
        if chance.random() < 0.2 and live:
            core.cancel(live[chance.randrange(len(live))], now)
        if len(live) > 64:
            del live[:32]
        core.expire(now)
        if batch is not None and now >= busy_until:
            core.complete(batch, batch.payloads, now)
            batch = None
        if batch is None and (batch := core.choose(now)) is not None:
            busy_until = now + (0.002 + 0.001 * len(batch)) * chance.uniform(0.9, 1.2)
        for ticket in core.take_ended():
            _count(outcomes, "result" if isinstance(ticket.outcome, Completion) else type(ticket.outcome).__name__)
        if (number + 1) % tenth == 0:
            marks.append(clock())
    if batch is not None:
        core.complete(batch, batch.payloads, now)
    core.close_queue(now)
    for ticket in core.take_ended():
        _count(outcomes, "result" if isinstance(ticket.outcome, Completion) else type(ticket.outcome).__name__)
    live.clear()
    if trace:
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
    return Endurance(
        submitted=count,
        outcomes=outcomes,
        first=1e6 * (marks[2] - marks[1]) / tenth,
        last=1e6 * (marks[-1] - marks[-2]) / tenth,
        kept=core.entries,
        grown=grown,
    )


def _count(outcomes: dict[str, int], name: str) -> None:
    outcomes[name] = outcomes.get(name, 0) + 1
