"""Owns the life of every request, from submission to its one ending: the synchronous core.

Must not know asyncio, threads, timers or a clock of its own: time is handed in as ``now``, monotonic seconds, so that a
simulator can drive the very same code. Whoever drives it calls ``take_ended`` after each call: outcomes come as a list,
not by callback, so that no foreign code runs while the state is half changed.

Law 1, exactly once: every submitted request is refused, or ends once in the ``ledger``.
Law 2, late binding: ``choose`` binds requests to a batch when it is called, which is when a slot is free, and a batch
holds one key, that of the first request in order.
Law 3, work-conserving: ``choose`` returns a batch whenever a feasible request waits, unless the policy holds it back.
Law 9, expiry: nothing expired or cancelled is ever in a chosen batch; a deadline that has come counts before any
other ending that arrives at the same moment or later.
Law 10, bounded memory: a request beyond its class's limit is refused; beyond the total limit, too, unless it displaces
the newest, not promoted, of the lowest class below its own.
Law 11, isolation: a failure ends the members of its own batch only, each with an exception object of its own.
The others: ``request_queue`` (4, 5), ``batch_policy`` (3, 6), ``cost_model`` (7), ``admission_policy`` (8) and
``shared_executions`` (12).
"""

from collections.abc import Sequence
from typing import Generic

from batching.batch_policy import BatchPolicy
from batching.chooser import Choice, Chooser
from batching.config import SchedulerConfig
from batching.cost_model import CostModel
from batching.errors import InferenceFailedError, PredictedDeadlineMissError, QueueFullError
from batching.gate import Gate
from batching.ledger import Ledger
from batching.request import P, R, Request
from batching.request_queue import RequestQueue
from batching.shared_executions import SharedExecutions
from batching.snapshot import snapshot
from batching.statistics import Statistics
from batching.ticket import Batch, SharedTicket, Ticket, TicketState

_QUEUED, _RUNNING, _ENDED = TicketState


class Scheduler(Generic[P, R]):
    """Queues requests, chooses batches and ends every request exactly once.

    Args:
        config: See ``SchedulerConfig``.
        slots: How many batches whoever drives it runs at once.
        costs: What is known of batch durations; by default nothing is.
    """

    def __init__(self, config: SchedulerConfig, *, slots: int = 1, costs: CostModel | None = None) -> None:
        self._queue = RequestQueue(config.fairness_quantum)
        self._ledger: Ledger[P, R] = Ledger()
        self._shared = SharedExecutions(self._queue)
        self._costs = costs or CostModel(quantile=config.cost_quantile)
        self._chooser = Chooser(self._queue, self._costs)
        self._running: set[Batch[P, R]] = set()
        self._sequence = 0
        self._gate = Gate(self._queue, self._costs, self._running, slots)
        self.reconfigure(config)

    def reconfigure(self, config: SchedulerConfig) -> None:
        """Use other settings from now on; what waits is kept even where a limit has become smaller."""
        self._config = config
        self._policy = BatchPolicy.of(config)
        self._queue.configure(config.fairness_quantum, tracked=config.admission)
        self._queue.promotion.configure(config.promotion_share, config.max_promoted)
        self._costs.set_quantile(config.cost_quantile)
        self._chooser.configure(self._policy, config.max_wait)
        self._gate.configure(config, self._policy)

    @property
    def config(self) -> SchedulerConfig:
        """The settings in force."""
        return self._config

    @property
    def queued(self) -> int:
        """How many executions wait; requests that share one count once."""
        return self._queue.size

    @property
    def in_flight(self) -> int:
        """How many requests are in the engine and have not ended."""
        return self._ledger.in_flight

    @property
    def any_ended(self) -> bool:
        """Whether ``take_ended`` would return anything."""
        return self._ledger.any_ended

    @property
    def entries(self) -> int:
        """How many entries its structures hold, tombstones included: bounded by what lives (law 10)."""
        return self._queue.entries + len(self._ledger.expiry) + len(self._shared) + len(self._running)

    def observe_warm_up(self, batch_key: str, size: int, seconds: float) -> None:
        """Tell what a batch took before service: what predictions start from and decay to (law 7)."""
        self._costs.observe_warm_up(batch_key, size, seconds)

    def submit(self, request: Request[P], now: float) -> Ticket[P, R]:
        """Take a request in.

        Returns:
            Its ticket; already ended if its deadline has come.

        Raises:
            QueueFullError: A limit is reached, and nothing can be displaced.
            PredictedDeadlineMissError: It, or one admitted before, would be late.
        """
        ledger = self._ledger
        counters = ledger.counters_of[request.priority]
        counters.submitted += 1
        self._costs.decay(now)
        victim = self._make_room(request, now)
        self._sequence += 1
        ticket: Ticket[P, R] = Ticket(request, self._sequence, now)
        if request.deadline <= now:
            ledger.admit(ticket)
            ledger.expire(ticket, now)
            return ticket
        ticket.probe = self._examine(request, now)
        if victim is not None:
            self._displace(victim)
        carrier = self._shared.find(request)  # not before: it may have been the victim
        ledger.admit(ticket)
        if carrier is not None:
            counters.shared += 1
            if carrier.state == _RUNNING:
                ledger.start(ticket, now)
            self._shared.join(carrier, ticket)
        else:
            self._shared.enter(ticket)
        return ticket

    def choose(self, now: float) -> Batch[P, R] | None:
        """Bind the next batch, or None if nothing may go now; call it only when a slot is free (law 2).

        Whoever gets the batch must report it back with ``complete`` or ``fail``.
        """
        self.expire(now)
        self._costs.decay(now)
        if (choice := self._choose(now)) is None:
            return None
        batch: Batch[P, R] = Batch(choice.batch_key, choice.members, now)
        for entry in batch.tickets:
            entry.chosen_at = now
            if isinstance(entry, SharedTicket):
                for ticket in entry.members():
                    self._ledger.start(ticket, now)
            else:
                self._ledger.start(entry, now)
        self._running.add(batch)
        self._ledger.counters.batches += 1
        return batch

    def complete(
        self, batch: Batch[P, R], results: Sequence[R], now: float, *, inference_duration: float | None = None
    ) -> None:
        """Take a batch's results, one per entry in order, and end its members.

        A wrong number of results fails the whole batch. A batch ends once; what is reported about it afterwards is
        ignored, since a hung engine may answer yet.
        """
        if not self._finish(batch):
            return
        size = len(batch)
        if len(results) != size:
            error = InferenceFailedError(f"the engine returned {len(results)} results for {size} requests")
            self._fail_members(batch, error, now)
            return
        # Not the engine's own time: what callers wait for includes the way to its thread and back.
        self._costs.observe(batch.batch_key, size, now - batch.chosen_at, now)
        duration = inference_duration if inference_duration is not None else now - batch.chosen_at
        for entry, result in zip(batch.tickets, results, strict=True):
            for ticket in entry.members():
                if ticket.state == _RUNNING:
                    self._ledger.complete(ticket, result, now=now, duration=duration, size=size)
                    self._shared.left(ticket, was_queued=False)

    def fail(self, batch: Batch[P, R], error: BaseException, now: float) -> None:
        """End a batch's unfinished members with ``InferenceFailedError``, or a copy of ``error`` if it is one."""
        self._finish(batch)
        self._fail_members(batch, error, now)  # even if it is finished: a fault of ours may have stopped half-way

    def expire(self, now: float) -> None:
        """End every request, waiting or running, whose deadline has come."""
        while (ticket := self._ledger.expiry.first_due(now)) is not None:
            self._expire_one(ticket, now)

    def cancel(self, ticket: Ticket[P, R], now: float) -> bool:
        """Give up one request, touching no other (law 11); at or after its deadline it counts as expired.

        Returns:
            Whether this ended it: False if it had ended before.
        """
        if ticket.state == _ENDED:
            return False
        was_queued = ticket.state == _QUEUED
        self._ledger.cancel(ticket, now)
        self._shared.left(ticket, was_queued=was_queued)
        return True

    def close_queue(self, now: float) -> None:
        """End all that wait with ``SchedulerClosedError``; what runs may finish."""
        self.expire(now)
        for entry in list(self._queue):
            for ticket in self._shared.dismiss(entry):
                self._ledger.close(ticket)

    def next_deadline(self) -> float | None:
        """Return when ``expire`` next has something to do, or None."""
        return self._ledger.expiry.next_deadline()

    def next_wakeup(self, now: float) -> float | None:
        """Return from when on ``choose`` will return what it holds back now, or None if nothing waits."""
        return self._chooser.next_wakeup(now)

    def take_ended(self) -> list[Ticket[P, R]]:
        """Return the tickets that have ended since the last call, in order of ending, each exactly once (law 1)."""
        return self._ledger.take_ended()

    def statistics(self, now: float) -> Statistics:
        """Return an immutable snapshot."""
        return snapshot(self._queue, self._ledger, self._costs, self._policy, running=len(self._running), now=now)

    def _choose(self, now: float) -> Choice | None:
        """Return the next batch, and end those on the way to it that came too near to their deadlines."""
        while True:
            try:
                choice = self._chooser.choose(now)
            except Exception as error:
                # Those in hand end here rather than be in the way of the next call, too.
                for entry in self._chooser.in_hand:
                    for ticket in self._shared.dismiss(entry):
                        self._ledger.fail(ticket, error, now)
                raise
            if choice is None:
                return None
            for entry in choice.hopeless:
                # Of those that share an execution only the most urgent is lost; the others may wait on.
                self._expire_one(min(entry.members(), key=lambda ticket: ticket.deadline), now)
            if choice.members:
                return choice

    def _examine(self, request: Request[P], now: float) -> bool:
        """Tell whether a request is admitted as a probe, or refuse it (law 8)."""
        gate, find = self._gate, self._shared.find
        if gate.is_open(request.priority):
            return True
        if gate.refusal(request, find(request), now) is None:
            return False
        self.expire(now)  # the dead must not keep the living out
        if gate.is_open(request.priority):
            return True
        refusal = gate.refusal(request, find(request), now)
        if refusal is not None and not gate.claim_probe(request, now):
            self._ledger.counters_of[request.priority].refused_predicted_miss += 1
            raise PredictedDeadlineMissError(*refusal)
        return refusal is not None

    def _make_room(self, request: Request[P], now: float) -> Ticket[P, R] | None:
        """Return who must be displaced for a request, None if there is room, or refuse it (law 10)."""
        gate, priority, waiting = self._gate, request.priority, self._ledger.waiting
        if not gate.is_full(priority, waiting) and not self._shared.is_full(request):
            return None
        self.expire(now)  # the dead must not keep the living out
        crowded = self._shared.is_full(request)
        if not gate.is_full(priority, waiting) and not crowded:
            return None
        helps = not crowded and not gate.class_is_full(priority, waiting)
        victim = self._queue.displaceable(priority) if helps else None
        if victim is None:
            self._ledger.counters_of[priority].refused_queue_full += 1
            raise QueueFullError(gate.retry_delay(request.batch_key))
        return victim

    def _displace(self, victim: Ticket[P, R]) -> None:
        retry_after = self._gate.retry_delay(victim.request.batch_key)
        for ticket in self._shared.dismiss(victim):
            self._ledger.displace(ticket, retry_after)

    def _finish(self, batch: Batch[P, R]) -> bool:
        if batch not in self._running:
            return False
        self._running.remove(batch)
        for entry in batch.tickets:
            if isinstance(entry, SharedTicket):
                self._shared.finished(entry)
        return True

    def _fail_members(self, batch: Batch[P, R], error: BaseException, now: float) -> None:
        for ticket in list(batch.members()):
            if ticket.state == _RUNNING:
                self._ledger.fail(ticket, error, now)
                self._shared.left(ticket, was_queued=False)

    def _expire_one(self, ticket: Ticket[P, R], now: float) -> None:
        was_queued = ticket.state == _QUEUED
        self._ledger.expire(ticket, now)
        self._shared.left(ticket, was_queued=was_queued)
