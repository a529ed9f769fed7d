"""Owns the cost of one request through the core while a given number of others wait."""

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from batching import PriorityClass, Request, Scheduler, SchedulerConfig

#: What the imaginary engine takes for one request, in seconds.
_WORK = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthCost:
    """Microseconds from ``submit`` to the outcome, the engine's own time not counted.

    Attributes:
        depth: How many others wait throughout.
        batch_size: How many share a batch.
        admission: Whether admission is on.
        median: Of all rounds.
        worst: Of all rounds.
    """

    depth: int
    batch_size: int
    admission: bool
    median: float
    worst: float


def measure(
    depth: int,
    *,
    admission: bool,
    batch_size: int,
    requests: int = 4000,
    rounds: int = 7,
    clock: Callable[[], float] = time.process_time,
) -> DepthCost:
    """Keep ``depth`` requests waiting, then let requests come and go one batch at a time.

    Deadlines are spread over three times what the engine needs for all that waits, so that newcomers fall in among the
    others and admission has somebody to protect, yet nobody must be refused.
    """
    chance = random.Random(depth)
    core: Scheduler[int, int] = Scheduler(
        SchedulerConfig(
            max_batch_size=batch_size,
            max_queue_size=dict.fromkeys(PriorityClass, 2 * depth + 2 * batch_size),
            max_total_queue_size=2 * depth + 2 * batch_size,
            fairness_quantum=2 * depth + 2 * batch_size,  # one round, so that the order is by deadline alone
            admission=admission,
        )
    )
    core.observe_warm_up("m", 1, _WORK)
    core.observe_warm_up("m", 64, 64 * _WORK)
    now = 0.0

    def request(arrival: float) -> Request[int]:
        return Request(
            priority=PriorityClass.STANDARD,
            deadline=arrival + 0.01 + 3.0 * depth * _WORK * chance.random(),
            batch_key="m",
            caller=f"caller {chance.randrange(50)}",
            payload=0,
        )

    for _ in range(depth - 1):
        core.submit(request(now), now)
    seconds = []
    step = _WORK * batch_size
    for _ in range(rounds):
        groups = []
        for number in range(requests // batch_size):
            arrival = now + number * step
            groups.append((arrival, [request(arrival) for _ in range(batch_size)]))
        start = clock()  # once a round, since reading the clock may cost more than a request
        for now, group in groups:
            for one in group:
                core.submit(one, now)
            batch = core.choose(now)
            if batch is not None:
                core.complete(batch, batch.payloads, now + step)
            core.take_ended()
        seconds.append((clock() - start) / (len(groups) * batch_size))
        now += step
    found = core.statistics(now)
    if found.submitted != found.completed + core.queued:
        raise RuntimeError(f"the measurement is void, requests were refused or late: {found}")
    return DepthCost(
        depth=depth,
        batch_size=batch_size,
        admission=admission,
        median=1e6 * statistics.median(seconds),
        worst=1e6 * max(seconds),
    )
