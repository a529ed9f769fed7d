"""Owns who may come in: the limits, and what the admission policy is told. Must not know how requests end.

Laws 8 and 10: see ``admission_policy`` and ``scheduler``.
"""

import math
from collections.abc import Mapping
from typing import Any

from batching.admission_policy import AdmissionPolicy, Outlook, free_in, remaining, retry_delay
from batching.batch_policy import BatchPolicy
from batching.config import SchedulerConfig
from batching.cost_curve import CostCurve
from batching.cost_model import CostModel
from batching.priority import PriorityClass
from batching.request import Request
from batching.request_queue import RequestQueue
from batching.shared_executions import AnyShared, raises
from batching.ticket import Batch, TicketState

Refusal = tuple[float, float]

_SHADOW = PriorityClass.SHADOW


class Gate:
    """Looks at the queue and at what runs, and changes neither."""

    __slots__ = ("_batch_policy", "_config", "_costs", "_policy", "_queue", "_running", "_slots")

    _config: SchedulerConfig
    _batch_policy: BatchPolicy
    _policy: AdmissionPolicy

    def __init__(self, queue: RequestQueue, costs: CostModel, running: set[Batch[Any, Any]], slots: int) -> None:
        self._queue = queue
        self._costs = costs
        self._running = running
        self._slots = slots

    def configure(self, config: SchedulerConfig, batch_policy: BatchPolicy) -> None:
        """Use other settings from now on."""
        self._config = config
        self._batch_policy = batch_policy
        self._policy = AdmissionPolicy(completion_margin=config.completion_margin)

    def is_open(self, priority: PriorityClass) -> bool:
        """Tell whether one comes in untested: a slot is free, and nothing but shadows waits. Never a shadow."""
        queue = self._queue
        nothing_awaited = queue.size == queue.shadows.size  # spelt out: this is asked for every request
        return nothing_awaited and len(self._running) < self._slots and priority is not _SHADOW

    def class_is_full(self, priority: PriorityClass, waiting: Mapping[PriorityClass, int]) -> bool:
        """Tell whether a class's own limit is reached."""
        return waiting[priority] >= self._config.max_queue_size[priority]

    def is_full(self, priority: PriorityClass, waiting: Mapping[PriorityClass, int]) -> bool:
        """Tell whether any limit is reached."""
        return self.class_is_full(priority, waiting) or sum(waiting.values()) >= self._config.max_total_queue_size

    def retry_delay(self, batch_key: str) -> float:
        """Return after how long room is to be expected."""
        curve = self._costs.curve(batch_key)
        return retry_delay(self._queue.awaited, curve, self._batch_policy.limit(curve))

    def refusal(self, request: Request[Any], carrier: AnyShared | None, now: float) -> Refusal | None:
        """Return the predicted completion, in seconds from now, and the retry delay of one that must be refused."""
        if not self._config.admission:
            return None
        curve = self._costs.curve(request.batch_key)
        if not curve.known:
            return None
        if request.priority is _SHADOW and not self._batch_policy.shadow_limit(curve):
            return curve.median(1), curve.median(1)  # others would wait for it too long, whenever it ran
        if carrier is not None and carrier.state == TicketState.RUNNING:
            found = self._test_running(carrier, request.deadline, curve, now)
        elif carrier is not None and not raises(carrier, request):
            found = self._test_place(carrier, request.deadline, curve, now)
        else:
            outlook = self._outlook(request.priority, request.batch_key, curve, now)
            round_ = self._queue.of_class(request.priority).next_round(request.caller)
            found = self._policy.refusal(round_, request.deadline, curve, outlook)
        return None if found is None else (found[0] - now, found[1])

    def claim_probe(self, request: Request[Any], now: float) -> bool:
        """Tell whether one that must be refused is let in all the same, to measure its key anew. Never a shadow."""
        batch_key = request.batch_key
        if request.priority is _SHADOW:
            return False
        if self._queue.count(batch_key) or any(batch.batch_key == batch_key for batch in self._running):
            return False  # a measurement is on its way
        return self._costs.curve(batch_key).claim_probe(now)

    def _outlook(self, priority: PriorityClass, batch_key: str, curve: CostCurve, now: float) -> Outlook:
        higher = other_keys = 0
        earliest = math.inf
        for queue in self._queue.up_to(priority):
            if queue.size:
                higher += queue.size
                other_keys += queue.keys - (queue.count(batch_key) > 0)
                if queue.index is not None and (first := queue.index.first_deadline) < earliest:
                    earliest = first
        own = self._queue.of_class(priority)
        assert own.index is not None  # kept whenever admission is on
        limit = self._batch_policy.shadow_limit if priority is _SHADOW else self._batch_policy.limit
        rest = 0.0
        if len(self._running) >= self._slots:
            rest = free_in([self._remaining(batch, now) for batch in self._running], self._slots)
        return Outlook(
            now=now,
            free_in=rest,
            batch=limit(curve),
            higher=higher - own.size,
            own=own.index,
            earliest=earliest,
            other_keys=other_keys,
            parallel=self._slots * (1.0 - self._queue.promotion.share),
        )

    def _remaining(self, batch: Batch[Any, Any], now: float) -> float:
        return remaining(self._costs.curve(batch.batch_key), len(batch), now - batch.chosen_at)

    def _test_running(self, carrier: AnyShared, deadline: float, curve: CostCurve, now: float) -> Refusal | None:
        """Test one that would join an execution that runs: it ends with its batch."""
        batch = next((batch for batch in self._running if carrier in batch.tickets), None)
        if batch is None:
            return None
        elapsed = now - batch.chosen_at
        rest = max(remaining(curve, len(batch), elapsed), curve.quantile(len(batch)) - elapsed)
        completion = now + rest + self._config.completion_margin
        return (completion, completion - deadline) if completion > deadline else None

    def _test_place(self, carrier: AnyShared, deadline: float, curve: CostCurve, now: float) -> Refusal | None:
        """Test one that would join an execution that waits further ahead: it takes that place."""
        outlook = self._outlook(carrier.priority, carrier.request.batch_key, curve, now)
        place = outlook.higher + outlook.own.ahead(carrier.round, carrier.deadline) - 1
        completion = self._policy.completion(place, outlook.higher + outlook.own.size, curve, outlook)
        return (completion, completion - deadline) if completion > deadline else None
