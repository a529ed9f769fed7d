"""Laws of a watch: each request ends in one record, however it ends, and nothing that a reader does harms it."""

import asyncio

import pytest

from batching import ExpiredInExecutionError, QueueFullError
from server.call import Call
from server.inference.batch_run import BatchRun
from server.observation.observer import Observers
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.observation.request_watch import RequestWatcher
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason, Refusal
from server.trace_context import TraceContext
from tests.support.observed import Recorder, watcher

CALL = Call(method="/tickserve.v1.PredictionService/Predict", received_at=10.0)
SAMPLED = TraceContext(trace_id="ab" * 16, span_id="cd" * 8, is_sampled=True)


class Clock:
    """Monotonic seconds that move when told to."""

    def __init__(self) -> None:
        self.now = 11.0

    def __call__(self) -> float:
        """Tells the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Stands at one second after receipt."""
    return Clock()


@pytest.fixture
def recorder() -> Recorder:
    """Hears of everything."""
    return Recorder()


@pytest.fixture
def watching(recorder: Recorder, clock: Clock) -> RequestWatcher:
    """Makes watches by that clock."""
    return watcher(recorder, now=clock)


def test_an_answered_request_ends_when_its_reply_is_made(
    watching: RequestWatcher, recorder: Recorder, clock: Clock
) -> None:
    """Not when the answer is known: making the message is a part of it."""
    with watching.one(CALL) as watch:
        watch.answered(None)
        clock.now = 12.5
        assert recorder.requests == []
    [record] = recorder.requests
    assert (record.outcome, record.is_replay, record.reason) == (Outcome.ANSWERED, True, None)
    assert (record.received_at, record.ended_at, record.duration) == (10.0, 12.5, 2.5)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Refusal(Reason.WINDOW_STALE, "Words."), Reason.WINDOW_STALE),
        (QueueFullError(0.1), Reason.QUEUE_FULL),
        (ExpiredInExecutionError(1.0), Reason.EXPIRED_IN_EXECUTION),
        (ValueError("a bug"), Reason.INFERENCE_FAILED),
    ],
)
def test_an_error_is_a_refusal(watching: RequestWatcher, recorder: Recorder, error: Exception, reason: Reason) -> None:
    """For the reason that the caller is told; also where it comes after the answer, while the reply is made."""

    def fail(*, is_answered: bool) -> None:
        with watching.one(CALL) as watch:
            if is_answered:
                watch.answered(None)
            raise error

    for is_answered in (False, True):
        with pytest.raises(type(error)):
            fail(is_answered=is_answered)
    assert [(r.outcome, r.reason, r.is_replay) for r in recorder.requests] == [(Outcome.REFUSED, reason, False)] * 2


@pytest.mark.parametrize(
    ("deadline", "rpc_deadline", "outcome", "reason"),
    [
        (None, None, Outcome.CANCELLED, None),
        (11.001, None, Outcome.CANCELLED, None),
        (11.0, None, Outcome.REFUSED, Reason.EXPIRED_IN_QUEUE),
        (None, 10.5, Outcome.REFUSED, Reason.EXPIRED_IN_QUEUE),
        (12.0, 10.5, Outcome.CANCELLED, None),
    ],
)
def test_one_that_is_given_up_is_cancelled_or_late(
    recorder: Recorder,
    clock: Clock,
    deadline: float | None,
    rpc_deadline: float | None,
    outcome: Outcome,
    reason: Reason | None,
) -> None:
    """Its own deadline decides; the RPC's only while its own is not known."""
    call = Call(method=CALL.method, received_at=10.0, rpc_deadline=rpc_deadline)
    watch = watcher(recorder, now=clock).one(call)
    watch.deadline = deadline
    with pytest.raises(asyncio.CancelledError), watch:
        raise asyncio.CancelledError
    assert [(record.outcome, record.reason) for record in recorder.requests] == [(outcome, reason)]


def test_what_no_task_has_ended_ends_with_its_rpc(watching: RequestWatcher, recorder: Recorder) -> None:
    """Each once: those that have ended before do not end again, even where their task comes late to its own end."""
    with watching.several(CALL, RequestKind.STREAM_ITEM) as watches:
        answered, refused, left, late = (watches.begin(received_at=10.0 + number / 10) for number in range(4))
        with answered:
            answered.answered(None)
        refused.stop(Refusal(Reason.WINDOW_STALE, "Words."))
        late.__enter__()
    late.__exit__(None, None, None)
    left.stop(None)
    by_time = sorted(recorder.requests, key=lambda record: record.received_at)
    assert [record.outcome for record in by_time] == [
        Outcome.ANSWERED,
        Outcome.REFUSED,
        Outcome.CANCELLED,
        Outcome.CANCELLED,
    ]
    assert {record.kind for record in by_time} == {RequestKind.STREAM_ITEM}


def test_an_error_of_the_rpc_is_every_requests(watching: RequestWatcher, recorder: Recorder) -> None:
    """What is left is refused for the reason that ended them all."""
    watches = watching.several(CALL, RequestKind.BATCH_ITEM)
    for _ in range(3):
        watches.begin(received_at=10.0)
    with pytest.raises(Refusal), watches:
        raise Refusal(Reason.MODEL_NOT_FOUND, "Words.")
    assert [record.reason for record in recorder.requests] == [Reason.MODEL_NOT_FOUND] * 3


@pytest.mark.parametrize("trace", [None, TraceContext(trace_id="ab" * 16, span_id="cd" * 8), SAMPLED])
def test_only_what_is_sampled_has_a_span_of_its_own(
    watching: RequestWatcher, recorder: Recorder, trace: TraceContext | None
) -> None:
    """The only request of an RPC shares the RPC's; others have their own, or else the same context or none."""
    call = Call(method=CALL.method, received_at=10.0, trace=trace)
    with watching.one(call) as single, watching.several(call, RequestKind.BATCH_ITEM) as batch:
        item = batch.begin(received_at=10.0)
    with watching.several(call, RequestKind.STREAM_ITEM) as stream:
        streamed = stream.begin(received_at=10.0)
    assert single.trace is trace
    if trace is not SAMPLED:
        assert {item.trace, streamed.trace} == {trace}
        assert {watch.sampled_trace for watch in (single, item, streamed)} == {None}
        return
    assert item.trace is not None
    assert (item.trace.trace_id, item.trace.parent_span_id) == (SAMPLED.trace_id, SAMPLED.span_id)
    # A stream's trace would never be whole: its items' are their own.
    assert streamed.trace is not None
    assert (streamed.trace.parent_span_id, streamed.trace.is_sampled) == ("", True)
    assert streamed.trace.trace_id != SAMPLED.trace_id
    assert [watch.sampled_trace for watch in (single, item, streamed)] == [SAMPLED, item.trace, streamed.trace]


def test_an_observer_that_fails_harms_nobody(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """The others are told, the request goes on; the failures are counted, and logged once."""

    class Broken:
        """Raises whatever it is told."""

        def request_ended(self, record: RequestRecord) -> None:
            """Raises."""
            raise ValueError("broken")

        def batch_ended(self, run: BatchRun) -> None:
            """Raises."""
            raise ValueError("broken")

        def rpc_ended(self, record: RpcRecord) -> None:
            """Raises."""
            raise ValueError("broken")

    before, after = Recorder(), Recorder()
    observers = Observers([before, Broken(), after])
    for _ in range(3):
        with watcher(observers, now=clock).one(CALL) as watch:
            watch.answered(None)
    observers.rpc_ended(RpcRecord(call=CALL, code="OK", ended_at=11.0))
    assert len(before.requests) == len(after.requests) == 3
    assert len(before.rpcs) == len(after.rpcs) == 1
    assert observers.failure_count == 4
    assert len(caplog.records) == 1
