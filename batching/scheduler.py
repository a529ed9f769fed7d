"""Owns the life of every request, from submission to its one ending: the synchronous core.

Must not know asyncio, threads, timers or a clock of its own: time is handed in as ``now``, in monotonic seconds, so
that a simulator can drive the very same code. Whoever drives it calls ``take_ended`` after each call; outcomes come as
a list, not by callback, so that no foreign code runs while the state is half changed.

Law 1, exactly once: every submitted request ends once, in ``_end``, which nothing else does and which never undoes.
Law 2, late binding: ``choose`` binds requests to a batch when it is called, which is when a slot is free, and a batch
holds one key, that of the first request in order.
Law 3, work-conserving: ``choose`` returns a batch whenever something waits, unless the policy holds it back.
Law 9, expiry: nothing expired or cancelled is ever in a chosen batch; a deadline that has come counts before any
other ending that arrives at the same moment or later.
Law 10, bounded memory: a request beyond its class's or the total limit is refused with ``QueueFullError``.
Law 11, isolation: a failure ends the members of its own batch only, each with an exception object of its own.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Generic

from batching.batch_policy import BatchPolicy
from batching.config import SchedulerConfig
from batching.errors import (
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    QueueFullError,
    RequestCancelledError,
    SchedulerClosedError,
    SchedulerError,
    member_failure,
)
from batching.expiry import ExpiryQueue
from batching.priority import PriorityClass
from batching.request import Completion, P, R, Request
from batching.request_queue import RequestQueue
from batching.retry_hint import RetryHint
from batching.statistics import Counters, Statistics
from batching.ticket import Batch, Ticket, TicketState

_QUEUED = TicketState.QUEUED
_RUNNING = TicketState.RUNNING
_ENDED = TicketState.ENDED


class Scheduler(Generic[P, R]):
    """Queues requests, chooses batches and ends every request exactly once."""

    def __init__(self, config: SchedulerConfig) -> None:
        self._queue = RequestQueue(config.fairness_quantum)
        self._expiry = ExpiryQueue()
        self._counters = Counters()
        self._running: set[Batch[P, R]] = set()
        self._in_flight = 0
        self._sequence = 0
        self._ended: list[Ticket[P, R]] = []
        self._retry_hint = RetryHint()
        self.reconfigure(config)

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Use other settings from now on; what waits is kept even where a limit has become smaller."""
        self._config = config
        self._policy = BatchPolicy(max_batch_size=config.max_batch_size, max_queue_delay=config.max_queue_delay)
        self._queue.set_quantum(config.fairness_quantum)

    @property
    def config(self) -> SchedulerConfig:
        """The settings in force."""
        return self._config

    @property
    def queued(self) -> int:
        """How many requests wait."""
        return self._queue.size

    @property
    def in_flight(self) -> int:
        """How many requests are in the engine and have not ended."""
        return self._in_flight

    def submit(self, request: Request[P], now: float) -> Ticket[P, R]:
        """Take a request in.

        Returns:
            Its ticket; already ended if its deadline has come.

        Raises:
            QueueFullError: A limit is reached.
        """
        self._counters.submitted += 1
        if self._is_full(request.priority):
            self.expire(now)  # the dead must not keep the living out
            if self._is_full(request.priority):
                self._counters.refused_queue_full += 1
                raise QueueFullError(self._retry_hint.delay(self._queue.size / self._config.max_batch_size))
        self._sequence += 1
        ticket: Ticket[P, R] = Ticket(request, self._sequence, now)
        self._queue.push(ticket)
        self._expiry.add(ticket)
        if ticket.deadline <= now:
            self._expire_one(ticket, now)
        return ticket

    def choose(self, now: float) -> Batch[P, R] | None:
        """Bind the next batch, or None if nothing may go now; call it only when a slot is free (law 2).

        Whoever gets the batch must report it back with ``complete`` or ``fail``.
        """
        self.expire(now)
        key = self._ready_key(now)
        if key is None:
            return None
        drawn: list[Ticket[P, R]] = []
        try:
            chosen = self._policy.fill(self._draw(key, drawn))
        except Exception as error:
            # The drawn are out of the queue: they end here rather than be lost, and the next call starts clean.
            for ticket in drawn:
                ticket.state = _RUNNING
                self._in_flight += 1
                self._counters.failed += 1
                self._end(ticket, member_failure(error))
            raise
        for ticket in chosen:
            ticket.state = _RUNNING
            ticket.chosen_at = now
        batch: Batch[P, R] = Batch(key, chosen, now)
        self._running.add(batch)
        self._in_flight += len(chosen)
        self._counters.batches += 1
        return batch

    def complete(
        self, batch: Batch[P, R], results: Sequence[R], now: float, *, inference_duration: float | None = None
    ) -> None:
        """Take a batch's results, one per member in order, and end its members.

        A wrong number of results fails the whole batch. A batch ends once; what is reported about it afterwards is
        ignored, since a hung engine may answer yet.
        """
        if not self._finish(batch, now):
            return
        size = len(batch.tickets)
        if len(results) != size:
            self._fail_members(
                batch, InferenceFailedError(f"the engine returned {len(results)} results for {size} requests"), now
            )
            return
        chosen_at = batch.chosen_at
        duration = now - chosen_at if inference_duration is None else inference_duration
        for ticket, result in zip(batch.tickets, results, strict=True):
            if ticket.state != _RUNNING:
                continue
            if ticket.deadline <= now:
                self._expire_one(ticket, now)
                continue
            self._counters.completed += 1
            self._end(
                ticket,
                Completion(
                    result=result,
                    queue_duration=chosen_at - ticket.enqueued_at,
                    inference_duration=duration,
                    batch_size=size,
                    effective_priority=ticket.priority,
                    enqueued_at=ticket.enqueued_at,
                    chosen_at=chosen_at,
                    completed_at=now,
                ),
            )

    def fail(self, batch: Batch[P, R], error: BaseException, now: float) -> None:
        """End a batch's unfinished members with ``InferenceFailedError``, or a copy of ``error`` if it is one."""
        self._finish(batch, now)
        self._fail_members(batch, error, now)  # even if it is finished: a fault of ours may have stopped half-way

    def expire(self, now: float) -> None:
        """End every request, waiting or running, whose deadline has come."""
        while (ticket := self._expiry.first_due(now)) is not None:
            self._expire_one(ticket, now)

    def cancel(self, ticket: Ticket[P, R], now: float) -> bool:
        """Give up one request, touching no other (law 11); at or after its deadline it counts as expired.

        Returns:
            Whether this ended it: False if it had ended before.
        """
        if ticket.state == _ENDED:
            return False
        if ticket.deadline <= now:
            self._expire_one(ticket, now)
        else:
            self._counters.cancelled += 1
            self._end(ticket, RequestCancelledError())
        return True

    def close_queue(self, now: float) -> None:
        """End all that wait with ``SchedulerClosedError``; what runs may finish."""
        self.expire(now)
        for ticket in list(self._queue):
            self._counters.closed += 1
            self._end(ticket, SchedulerClosedError("closed while the request waited"))

    def next_deadline(self) -> float | None:
        """Return when ``expire`` next has something to do, or None."""
        return self._expiry.next_deadline()

    def next_wakeup(self, now: float) -> float | None:
        """Return from when on ``choose`` will return what it holds back now, or None if nothing waits."""
        moments = (self._policy.release_at(self._queue.tickets(key)) for key in self._queue.waiting_keys())
        earliest = min(moments, default=None)
        return None if earliest is None else max(earliest, now)

    def take_ended(self) -> list[Ticket[P, R]]:
        """Return the tickets that have ended since the last call, in order of ending, each exactly once (law 1)."""
        ended = self._ended
        if ended:
            self._ended = []
        return ended

    def statistics(self, now: float) -> Statistics:
        """Return an immutable snapshot."""
        counters = self._counters
        oldest = {priority: self._queue.oldest(priority) for priority in PriorityClass}
        return Statistics(
            queue_size={priority: self._queue.class_size(priority) for priority in PriorityClass},
            oldest_age={p: 0.0 if ticket is None else now - ticket.enqueued_at for p, ticket in oldest.items()},
            in_flight=self._in_flight,
            running_batches=len(self._running),
            submitted=counters.submitted,
            completed=counters.completed,
            failed=counters.failed,
            expired_in_queue=counters.expired_in_queue,
            expired_in_execution=counters.expired_in_execution,
            cancelled=counters.cancelled,
            refused_queue_full=counters.refused_queue_full,
            closed=counters.closed,
            batches=counters.batches,
        )

    def _is_full(self, priority: PriorityClass) -> bool:
        config = self._config
        return (
            self._queue.size >= config.max_total_queue_size
            or self._queue.class_size(priority) >= config.max_queue_size[priority]
        )

    def _ready_key(self, now: float) -> str | None:
        """Return the first key in order whose requests may go now."""
        if self._policy.max_queue_delay <= 0.0:
            return self._queue.first_key()
        for key in self._queue.waiting_keys():
            full = self._queue.count(key) >= self._policy.max_batch_size
            if full or self._policy.release_at(self._queue.tickets(key)) <= now:
                return key
        return None

    def _draw(self, key: str, drawn: list[Ticket[P, R]]) -> Iterator[Ticket[Any, Any]]:
        """Take tickets of a key out of the queue, in order, as the policy asks for them."""
        while (ticket := self._queue.pop(key)) is not None:
            drawn.append(ticket)
            yield ticket

    def _finish(self, batch: Batch[P, R], now: float) -> bool:
        if batch not in self._running:
            return False
        self._running.remove(batch)
        self._retry_hint.observe(now - batch.chosen_at)
        return True

    def _fail_members(self, batch: Batch[P, R], error: BaseException, now: float) -> None:
        for ticket in batch.tickets:
            if ticket.state != _RUNNING:
                continue
            if ticket.deadline <= now:
                self._expire_one(ticket, now)
                continue
            self._counters.failed += 1
            self._end(ticket, member_failure(error))

    def _expire_one(self, ticket: Ticket[P, R], now: float) -> None:
        waited = now - ticket.enqueued_at
        if ticket.state == _QUEUED:
            self._counters.expired_in_queue += 1
            self._end(ticket, ExpiredInQueueError(waited))
        else:
            self._counters.expired_in_execution += 1
            self._end(ticket, ExpiredInExecutionError(waited))

    def _end(self, ticket: Ticket[P, R], outcome: Completion[R] | SchedulerError) -> None:
        """End a live ticket: the one place where that happens (law 1)."""
        was_queued = ticket.state == _QUEUED
        ticket.state = _ENDED
        ticket.outcome = outcome
        self._expiry.ended(ticket)
        if was_queued:
            self._queue.remove(ticket)
        else:
            self._in_flight -= 1
        self._ended.append(ticket)
