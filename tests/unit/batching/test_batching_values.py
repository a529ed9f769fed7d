"""Settings, errors, requests and the heap."""

import copy
import math
import pickle
import types
from typing import Any

import pytest

import batching
from batching import (
    BatchPolicy,
    DisplacedError,
    EngineHungError,
    ExpiredInExecutionError,
    ExpiredInQueueError,
    InferenceFailedError,
    PredictedDeadlineMissError,
    PriorityClass,
    QueueFullError,
    RefusedError,
    Request,
    RequestCancelledError,
    SchedulerClosedError,
    SchedulerConfig,
    SchedulerError,
    Ticket,
    TicketState,
)
from batching.cost_curve import CostCurve
from batching.errors import member_failure
from batching.ticket_heap import FEW_TOMBSTONES, TicketHeap

UNKNOWN = CostCurve(0.95)
ERRORS = [
    RefusedError(0.25),
    PredictedDeadlineMissError(0.5, 0.25),
    DisplacedError(0.25),
    QueueFullError(0.25),
    ExpiredInQueueError(1.5),
    ExpiredInExecutionError(1.5),
    InferenceFailedError("reason"),
    EngineHungError(30.0),
    RequestCancelledError(),
    SchedulerClosedError("closed"),
]


def ticket(sequence: int = 0, *, enqueued_at: float = 0.0, deadline: float = 10.0) -> Ticket[Any, Any]:
    """Build a ticket."""
    request = Request(priority=PriorityClass.STANDARD, deadline=deadline, batch_key="m", caller="c", payload=sequence)
    return Ticket(request, sequence, enqueued_at)


def test_exports_are_a_tuple_of_existing_names() -> None:
    """``__all__`` names exactly the public names of the package."""
    assert isinstance(batching.__all__, tuple)
    assert list(batching.__all__) == sorted(batching.__all__)
    public = {n for n, v in vars(batching).items() if n[0] != "_" and not isinstance(v, types.ModuleType)}
    assert public == set(batching.__all__)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"max_batch_size": 1.5}, "max_batch_size"),
        ({"max_batch_size": True}, "max_batch_size"),
        ({"max_total_queue_size": 0}, "max_total_queue_size"),
        ({"fairness_quantum": -1}, "fairness_quantum"),
        ({"max_queue_delay": -0.001}, "max_queue_delay"),
        ({"max_queue_delay": math.nan}, "max_queue_delay"),
        ({"engine_hang_timeout": 0.0}, "engine_hang_timeout"),
        ({"engine_hang_timeout": math.inf}, "engine_hang_timeout"),
        ({"max_queue_size": {PriorityClass.REAL_TIME: 1}}, "max_queue_size lacks STANDARD"),
        ({"max_queue_size": dict.fromkeys(PriorityClass, 0)}, r"max_queue_size\[REAL_TIME\]"),
        ({"max_batch_duration": 0.0}, "max_batch_duration"),
        ({"max_batch_duration": math.nan}, "max_batch_duration"),
        ({"max_wait": {PriorityClass.REAL_TIME: 1.0}}, "max_wait lacks STANDARD"),
        ({"max_wait": dict.fromkeys(PriorityClass, 0.0)}, r"max_wait\[REAL_TIME\]"),
        ({"max_wait": dict.fromkeys(PriorityClass, math.nan)}, r"max_wait\[REAL_TIME\]"),
        ({"max_wait": dict.fromkeys(PriorityClass, 1.0)}, r"max_wait\[SHADOW\]"),
        ({"max_queue_size": dict.fromkeys(PriorityClass, 5) | {PriorityClass.SHADOW: 0}}, r"max_queue_size\[SHADOW\]"),
        ({"promotion_share": 0.0}, "promotion_share"),
        ({"promotion_share": 1.0}, "promotion_share"),
        ({"max_promoted": 0}, "max_promoted"),
        ({"adaptive": 1}, "adaptive"),
        ({"admission": None}, "admission"),
        ({"cost_quantile": 0.4}, "cost_quantile"),
        ({"cost_quantile": 1.0}, "cost_quantile"),
        ({"completion_margin": -0.1}, "completion_margin"),
        ({"completion_margin": math.inf}, "completion_margin"),
    ],
)
def test_bad_setting_is_refused_by_name_with_the_remedy(settings: dict[str, Any], field: str) -> None:
    """A setting that makes no sense is refused at construction, named, with what to do."""
    with pytest.raises(ValueError, match=rf"^{field}.*; give "):
        SchedulerConfig(**settings)


def test_settings_do_not_change_behind_their_back() -> None:
    """Settings are a frozen value, whatever happens to what they were made from."""
    sizes = dict.fromkeys(PriorityClass, 5)
    config = SchedulerConfig(max_queue_size=sizes)
    sizes[PriorityClass.REAL_TIME] = 0
    assert config.max_queue_size[PriorityClass.REAL_TIME] == 5
    assert pickle.loads(pickle.dumps(config)) == config


def test_shadows_need_no_settings() -> None:
    """What shadows may have is little, and there without being asked for: 256 places, and no promotion (law 5)."""
    awaited = [priority for priority in PriorityClass if priority is not PriorityClass.SHADOW]
    given = SchedulerConfig(max_queue_size=dict.fromkeys(awaited, 9), max_wait=dict.fromkeys(awaited, 1.0))
    for config in (given, SchedulerConfig()):
        assert config.max_queue_size[PriorityClass.SHADOW] == 256
        assert config.max_wait[PriorityClass.SHADOW] == math.inf


def test_deadline_that_is_no_number_is_refused() -> None:
    """NaN would break the order of every queue."""
    with pytest.raises(ValueError, match="deadline"):
        ticket(deadline=math.nan)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_copy_and_pickle(error: SchedulerError) -> None:
    """Every error is plain data: it survives copying and pickling with text and fields."""
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))


def test_member_failure_keeps_type_and_cause() -> None:
    """A typed failure stays typed for each member."""
    hung = EngineHungError(3.0)
    hung.__cause__ = cause = RuntimeError()
    own = member_failure(hung)
    assert own is not hung
    assert isinstance(own, EngineHungError)
    assert (own.timeout, own.__cause__) == (3.0, cause)


def test_policy_takes_no_more_candidates_than_it_uses() -> None:
    """Law 2: what does not join a batch is never taken from the queue."""
    candidates = iter([ticket(n) for n in range(5)])
    policy = BatchPolicy(max_batch_size=3, max_queue_delay=0.0)
    assert [t.sequence for t in policy.fill(candidates, UNKNOWN, 0.0).members] == [0, 1, 2]
    assert next(candidates).sequence == 3


def test_policy_without_delay_holds_nothing_back() -> None:
    """Law 3: delay 0 means that what waits may go."""
    assert BatchPolicy(max_batch_size=3, max_queue_delay=0.0).release_at([ticket()], 3) == -math.inf


def test_policy_counts_the_delay_from_the_oldest() -> None:
    """Law 3: the delay is the oldest request's."""
    waiting = [ticket(1, enqueued_at=2.0), ticket(2, enqueued_at=1.0)]
    assert BatchPolicy(max_batch_size=3, max_queue_delay=0.5).release_at(waiting, 3) == 1.5


def test_heap_is_swept_when_most_of_it_is_dead() -> None:
    """Law 9: tombstones are never more than one half of a heap that is not tiny."""
    heap = TicketHeap(TicketState.QUEUED)
    tickets = [ticket(n) for n in range(1000)]
    for one in tickets:
        heap.push((one.sequence, one))
    for one in reversed(tickets[1:]):
        one.state = TicketState.ENDED
        heap.bury()
        assert len(heap) - heap.live <= max(FEW_TOMBSTONES, heap.live)
    assert (heap.live, heap.pop(), heap.pop()) == (1, tickets[0], None)


def test_heap_is_swept_when_the_living_leave() -> None:
    """Law 9: tombstones deep in the heap do not outstay the live tickets that are taken from it."""
    heap = TicketHeap(TicketState.QUEUED)
    tickets = [ticket(n) for n in range(200)]
    for one in tickets:
        heap.push((one.sequence, one))
    for one in tickets[100:]:
        one.state = TicketState.ENDED
        heap.bury()
    for one in tickets[:100]:
        assert heap.pop() is one
        assert len(heap) - heap.live <= max(FEW_TOMBSTONES, heap.live)


def test_ticket_tells_what_it_is() -> None:
    """A ticket in a log line is readable."""
    assert repr(ticket(7)) == "<Ticket 7 STANDARD QUEUED None>"
