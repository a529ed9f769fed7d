"""The scheduler: which request runs next, in which batch, and how each one ends. Standard library only.

Layout, from the inside out; each file imports only those before it:

- ``priority``, ``errors``, ``request``, ``config``, ``statistics``: values that cross the border; ``retry_hint``;
- ``fair_share``, ``ticket``, ``ticket_heap``: the record of a request, its place among callers, a heap that forgets;
- ``request_queue`` (who is next), ``expiry`` (who is late), ``batch_policy`` (who goes together);
- ``scheduler``: the synchronous core; no clock, no threads, no asyncio;
- ``engine_slot``, ``alarm``, ``batcher``: the asyncio shell around it.
"""

from batching.batch_policy import BatchPolicy
from batching.batcher import Batcher
from batching.config import SchedulerConfig
from batching.cost_model import CostEstimate, CostModel
from batching.engine_slot import RunBatch
from batching.errors import (
    EngineHungError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    QueueFullError,
    RequestCancelledError,
    SchedulerClosedError,
    SchedulerError,
)
from batching.priority import PriorityClass
from batching.request import Completion, Request
from batching.scheduler import Scheduler
from batching.statistics import Statistics
from batching.ticket import Batch, Ticket, TicketState

__all__ = (
    "Batch",
    "BatchPolicy",
    "Batcher",
    "Completion",
    "CostEstimate",
    "CostModel",
    "EngineHungError",
    "ExpiredInExecutionError",
    "ExpiredInQueueError",
    "InferenceFailedError",
    "PriorityClass",
    "QueueFullError",
    "Request",
    "RequestCancelledError",
    "RunBatch",
    "Scheduler",
    "SchedulerClosedError",
    "SchedulerConfig",
    "SchedulerError",
    "Statistics",
    "Ticket",
    "TicketState",
)
