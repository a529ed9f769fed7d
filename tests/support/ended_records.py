"""Records of requests, engine calls and RPCs that have ended, as observers get them, with times that a test chooses."""

import itertools

import numpy as np

from batching import Completion, PriorityClass
from model.outputs import OutputRow
from server.call import Call
from server.inference.batch_run import BatchRun
from server.inference.predictor import Answer, InputOrigin, PredictionTask, Work
from server.models.served_model import ServedModel
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason
from server.trace_context import TraceContext, new_span_id, new_trace_id
from tests.support.fakes import served_model

PREDICT = "/tickserve.v1.PredictionService/Predict"
STREAM = "/tickserve.v1.PredictionService/StreamPredict"
START = 1000.0
"""Receipt of every request, monotonic seconds."""
STAGES = (0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007)
"""Decode, admit, queue, gather, inference, scatter, encode, seconds."""

_model = served_model()


def context(*, is_sampled: bool = True, parent: str = "") -> TraceContext:
    """Returns a place in a trace of its own."""
    return TraceContext(trace_id=new_trace_id(), span_id=new_span_id(), parent_span_id=parent, is_sampled=is_sampled)


def call(trace: TraceContext | None, *, method: str = PREDICT) -> Call:
    """Returns an RPC, received at `START`."""
    return Call(method=method, received_at=START, trace=trace, trace_id=trace.trace_id if trace else "")


def batch_run(
    *members: TraceContext,
    stages: tuple[float, ...] = STAGES,
    batch_id: int = 7,
    size: int = 3,
    failed: bool = False,
    model: ServedModel | None = None,
) -> BatchRun:
    """Returns the engine call of a request that took `stages`."""
    marks = list(itertools.accumulate(stages, initial=START))
    return BatchRun(
        batch_id=batch_id,
        model=model or _model,
        size=size,
        started_at=marks[3],
        engine_started_at=marks[4],
        engine_ended_at=marks[5],
        ended_at=marks[5],
        device_duration=marks[5] - marks[4],
        members=members,
        failed=failed,
    )


def answered(
    trace: TraceContext | None,
    *,
    within: Call | None = None,
    kind: RequestKind = RequestKind.UNARY,
    stages: tuple[float, ...] = STAGES,
    batch: BatchRun | None = None,
    cached: bool = False,
    symbol: str = "",
    request_id: str = "",
    effective: PriorityClass = PriorityClass.REAL_TIME,
) -> RequestRecord:
    """Returns a real-time request that took `stages`; one that was cached knew its answer at once.

    Args:
        trace: Its own.
        within: The RPC that it came in; None is a unary one of the same trace.
        kind: How it came.
        stages: Seconds of each stage.
        batch: The engine call that answered it; None is one of its own.
        cached: Whether the answer was known.
        symbol: The symbol asked for.
        request_id: The caller's.
        effective: The class it was served in.
    """
    marks = list(itertools.accumulate(stages, initial=START))
    window = np.zeros((50, 60), np.float32)
    row = _model.engine.run(window[None]).row(0)
    run = None if cached else batch or batch_run(*([trace] if trace else []), stages=stages)
    return RequestRecord(
        call=within or call(trace),
        kind=kind,
        outcome=Outcome.ANSWERED,
        received_at=START,
        ended_at=marks[7],
        request_id=request_id,
        symbol=symbol,
        priority=PriorityClass.REAL_TIME,
        model=_model,
        parsed_at=marks[1],
        deadline=START + 1.0,
        answer=_answer(row, window, marks, effective=effective, cached=cached, run=run),
        batch=run,
        trace=trace,
    )


def ended(
    trace: TraceContext | None,
    *,
    reason: Reason | None,
    within: Call | None = None,
    kind: RequestKind = RequestKind.UNARY,
) -> RequestRecord:
    """Returns a request that was parsed and then refused, or, without a reason, given up by its caller."""
    return RequestRecord(
        call=within or call(trace),
        kind=kind,
        outcome=Outcome.CANCELLED if reason is None else Outcome.REFUSED,
        received_at=START,
        ended_at=START + 0.5,
        priority=PriorityClass.BACKGROUND,
        model=_model,
        reason=reason,
        parsed_at=START + 0.001,
        deadline=START + 0.25,
        trace=trace,
    )


def rpc(within: Call, *, code: str = "OK", reason: Reason | None = None, ended_at: float = START + 0.0285) -> RpcRecord:
    """Returns the end of an RPC."""
    return RpcRecord(call=within, code=code, reason=reason, ended_at=ended_at)


def _answer(
    row: OutputRow,
    window: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    marks: list[float],
    *,
    effective: PriorityClass,
    cached: bool,
    run: BatchRun | None,
) -> Answer:
    return Answer(
        task=PredictionTask(
            work=Work(window=window, model=_model),
            origin=InputOrigin(),
            priority=PriorityClass.REAL_TIME,
            deadline=START + 1.0,
            received_at=START,
            caller="",
            trace_id="",
            shareable=True,
        ),
        completion=Completion(
            result=row,
            queue_duration=marks[3] - marks[2],
            inference_duration=marks[5] - marks[4],
            batch_size=0 if cached else 3,
            effective_priority=effective,
            enqueued_at=marks[2],
            chosen_at=marks[3],
            completed_at=marks[6],
        ),
        row=row,
        input_sha256="",
        out_of_distribution=False,
        total_duration=marks[6] - START,
        deadline_slack=START + 1.0 - marks[6],
        replica_id="replica-under-test",
        cached=cached,
        batch=run,
    )
