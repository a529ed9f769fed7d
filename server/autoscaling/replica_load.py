"""What one replica reports of its load, interval by interval: an observer of its requests and engine calls.

Unary requests in hand are counted by Little's law: the mean number in hand over an interval is the time that requests
spent here, over the interval's length. It misses nothing between two looks, as looking at a counter every ten seconds
would, and needs no hook at a request's beginning; what has not ended yet counts when it does, which is by its deadline.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from batching import PriorityClass, Statistics
from server.autoscaling.demand import CLASSES
from server.autoscaling.replica_reports import BUSY, ENDED, MISSED, ONGOING, QUEUE_TIME, metric
from server.inference.batch_run import BatchRun
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason

logger = logging.getLogger("ray.serve")

# Refusals that another replica would have spared the caller.
WANT_OF_CAPACITY = frozenset(
    {
        Reason.QUEUE_FULL,
        Reason.PREDICTED_DEADLINE_MISS,
        Reason.DISPLACED,
        Reason.EXPIRED_IN_QUEUE,
        Reason.EXPIRED_IN_EXECUTION,
    }
)
_UNARY = frozenset({RequestKind.UNARY, RequestKind.BATCH_ITEM})
# Seconds between two looks at the queue.
_LOOK = 0.25
# Seconds between two complaints: an error comes back with every look.
_COMPLAINT_INTERVAL = 60.0


class ReplicaLoad:
    """The load of one replica; an `Observer`. Event loop only, but for `batch_ended`.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun_at = clock()
        self._busy = 0.0  # since the start, written by the engine's one thread alone
        self._busy_before = 0.0
        self._restart()

    def request_ended(self, record: RequestRecord) -> None:
        """Counts one request; those of streams count as ended and as missed, never as ongoing."""
        priority = record.priority
        if priority not in self._ended:
            return
        if record.kind in _UNARY:
            self._time[priority] += record.duration
        is_missed = record.outcome is Outcome.REFUSED and record.reason in WANT_OF_CAPACITY
        self._missed[priority] += is_missed
        self._ended[priority] += is_missed or record.outcome is Outcome.ANSWERED

    def batch_ended(self, run: BatchRun) -> None:
        """Counts the engine's time, in its thread."""
        if not run.is_probe:
            self._busy += run.engine_ended_at - run.engine_started_at

    def rpc_ended(self, record: RpcRecord) -> None:
        """Is not concerned with it."""

    def look(self, statistics: Statistics) -> None:
        """Takes one look at the queue."""
        waits = {priority: predicted_wait(statistics, priority) for priority in CLASSES}
        self._looks += 1
        for priority, wait in waits.items():
            self._waits[priority] += wait

    async def run(self, statistics: Callable[[], Statistics]) -> None:
        """Looks at the queue for as long as the replica serves; only where somebody asks for reports.

        A look that fails is no look, and is logged: if the watch ended, every queue would be reported as empty.
        """
        complained_at: float | None = None
        while True:
            try:
                self.look(statistics())
            except Exception:
                now = self._clock()
                if complained_at is None or now - complained_at >= _COMPLAINT_INTERVAL:
                    complained_at = now
                    logger.exception("autoscaling cannot look at the queue; looks that fail are left out")
            await asyncio.sleep(_LOOK)

    def report(self) -> dict[str, float]:
        """Returns the figures since the last report, by name, and begins anew."""
        now = self._clock()
        length = max(now - self._begun_at, 1e-3)
        busy = self._busy
        figures = {BUSY: min(1.0, (busy - self._busy_before) / length)}
        for priority in CLASSES:
            figures[metric(ONGOING, priority)] = self._time[priority] / length
            figures[metric(QUEUE_TIME, priority)] = self._waits[priority] / max(self._looks, 1)
            figures[metric(ENDED, priority)] = float(self._ended[priority])
            figures[metric(MISSED, priority)] = float(self._missed[priority])
        self._begun_at, self._busy_before = now, busy
        self._restart()
        return figures

    def _restart(self) -> None:
        self._looks = 0
        self._time = dict.fromkeys(CLASSES, 0.0)
        self._waits = dict.fromkeys(CLASSES, 0.0)
        self._ended = dict.fromkeys(CLASSES, 0)
        self._missed = dict.fromkeys(CLASSES, 0)


def predicted_wait(statistics: Statistics, priority: PriorityClass) -> float:
    """Returns for how many seconds a new request of a class would wait, by what batches of the waiting ones cost.

    All of its own and higher classes go before it, in full batches. Which model they wait for is not told, so the
    dearest one's cost is taken. The batch that runs is left out: more replicas would not make it shorter.
    """
    ahead = sum(count for other, count in statistics.queue_size.items() if other <= priority)
    worst = 0.0
    for key, estimates in statistics.costs.items():
        if not estimates:
            continue
        # The batch in force, or the nearest size that was measured below it; else the smallest.
        limit = statistics.batch_limit.get(key, 1)
        size = max((each for each in estimates if each <= limit), default=min(estimates))
        worst = max(worst, ahead * estimates[size].median / size)
    return worst
