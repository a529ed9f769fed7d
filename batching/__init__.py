"""The scheduler: which request runs next, in which batch, and how each one ends. Standard library only.

Layout, from the inside out; each file imports only those before it:

- ``priority``, ``errors``, ``request``, ``config``, ``statistics``: values that cross the border;
- ``cost_accuracy``, ``cost_curve``, ``cost_model``: what a batch takes, learned while serving;
- ``fair_share``, ``ticket``, ``ticket_heap``: the record of a request, its place among callers, a heap that forgets;
- ``arrivals``, ``deadline_index``, ``class_queue``, ``promotion``, ``request_queue``: who is next, who has waited long;
- ``expiry``, ``ledger``: who is late, and how every request ends; ``shared_executions``: who ends together;
- ``batch_policy``, ``chooser``: who goes together; ``admission_policy``, ``gate``: who comes in;
- ``snapshot``, ``scheduler``: the synchronous core; no clock, no threads, no asyncio;
- ``engine_slot``, ``engine_slots``, ``alarm``, ``heartbeat``, ``guard``, ``waiters``: what the shell is made of;
- ``aside``, ``batcher``: calls that no request asked for, and the asyncio shell.
"""

from batching.admission_policy import AdmissionPolicy
from batching.batch_policy import BatchPolicy
from batching.batcher import Batcher
from batching.config import SchedulerConfig
from batching.cost_accuracy import CostAccuracy
from batching.cost_model import CostEstimate, CostModel
from batching.engine_slot import RunBatch
from batching.errors import (
    DisplacedError,
    EngineHungError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    NoTurnError,
    PredictedDeadlineMissError,
    QueueFullError,
    RefusedError,
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
    "AdmissionPolicy",
    "Batch",
    "BatchPolicy",
    "Batcher",
    "Completion",
    "CostAccuracy",
    "CostEstimate",
    "CostModel",
    "DisplacedError",
    "EngineHungError",
    "ExpiredInExecutionError",
    "ExpiredInQueueError",
    "InferenceFailedError",
    "NoTurnError",
    "PredictedDeadlineMissError",
    "PriorityClass",
    "QueueFullError",
    "RefusedError",
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
