"""Owns how the scheduler's parts are shown as one snapshot. Must not change or decide anything."""

from dataclasses import asdict
from typing import Any

from batching.batch_policy import BatchPolicy
from batching.cost_model import CostModel
from batching.ledger import Ledger
from batching.priority import PriorityClass
from batching.request_queue import RequestQueue
from batching.statistics import Statistics


def snapshot(
    queue: RequestQueue,
    ledger: Ledger[Any, Any],
    costs: CostModel,
    policy: BatchPolicy,
    *,
    running: int,
    now: float,
) -> Statistics:
    """Return what there is to see at this moment."""
    counters = ledger.counters
    shadows = asdict(ledger.shadow_counters)
    del shadows["batches"]  # counted whoever is in them
    oldest = {priority: queue.oldest(priority) for priority in PriorityClass}
    table = costs.table()
    return Statistics(
        queue_size=dict(ledger.waiting),
        oldest_age={p: 0.0 if ticket is None else now - ticket.enqueued_at for p, ticket in oldest.items()},
        in_flight=ledger.in_flight,
        running_batches=running,
        submitted=counters.submitted,
        completed=counters.completed,
        failed=counters.failed,
        expired_in_queue=counters.expired_in_queue,
        expired_in_execution=counters.expired_in_execution,
        cancelled=counters.cancelled,
        refused_queue_full=counters.refused_queue_full,
        refused_predicted_miss=counters.refused_predicted_miss,
        displaced=counters.displaced,
        closed=counters.closed,
        batches=counters.batches,
        promoted=queue.promotion.promoted,
        promoted_waiting=queue.promotion.live,
        shared=counters.shared,
        in_time=dict(ledger.in_time),
        late=dict(ledger.late),
        shadow_outcomes=shadows if shadows["submitted"] else {},
        costs=table,
        cost_accuracy=costs.accuracy(),
        batch_limit={key: policy.limit(costs.curve(key)) for key in table},
    )
