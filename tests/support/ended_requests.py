"""Requests and RPCs that have ended, made up, the answered ones with real windows and rows: what observers are told."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batching import Completion, PriorityClass
from model.outputs import OutputRow
from server.call import Call
from server.inference.predictor import Answer, InputOrigin, PredictionTask, Work
from server.models.served_model import ServedModel
from server.observation.request_record import Outcome, RequestKind, RequestRecord
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason
from tests.support.fakes import FakeEngine, served_model
from tests.support.registry import real_windows

METHOD = "/tickserve.v1.PredictionService/"
TRACE_ID = "ab" * 16


def call(method: str = "Predict", **fields: Any) -> Call:
    """Returns an RPC in which the given fields are replaced."""
    values: dict[str, Any] = {"method": METHOD + method, "received_at": 100.0, "trace_id": TRACE_ID}
    return Call(**values | fields)


def answered(
    *,
    window: NDArray[np.float32] | None = None,
    model: ServedModel | None = None,
    row: OutputRow | None = None,
    **fields: Any,
) -> RequestRecord:
    """Returns a request that was answered in 10 ms with what the model's engine gives, or with another row."""
    window = real_windows()[0] if window is None else window
    model = model or served_model(FakeEngine())
    row = row or model.engine.run(window[None].copy()).row(0)
    answer = Answer(
        task=PredictionTask(
            work=Work(window=window, model=model),
            origin=InputOrigin(feature_schema="bars50/1"),
            priority=PriorityClass.STANDARD,
            deadline=101.0,
            received_at=100.0,
            caller="desk-7",
            trace_id=TRACE_ID,
            shareable=True,
        ),
        completion=Completion(
            result=row,
            queue_duration=0.001,
            inference_duration=0.005,
            batch_size=3,
            effective_priority=PriorityClass.STANDARD,
            enqueued_at=100.001,
            chosen_at=100.002,
            completed_at=100.008,
        ),
        row=row,
        input_sha256=hashlib.sha256(np.ascontiguousarray(window).data).hexdigest(),
        out_of_distribution=False,
        total_duration=0.009,
        deadline_slack=0.991,
        replica_id="replica",
    )
    values: dict[str, Any] = {
        "call": call(caller="desk-7"),
        "kind": RequestKind.UNARY,
        "outcome": Outcome.ANSWERED,
        "received_at": 100.0,
        "ended_at": 100.01,
        "request_id": "r-1",
        "priority": PriorityClass.STANDARD,
        "model": model,
        "deadline": 101.0,
        "parsed_at": 100.0005,
        "answer": answer,
    }
    return RequestRecord(**values | fields)


def refused(reason: Reason | None = Reason.QUEUE_FULL, **fields: Any) -> RequestRecord:
    """Returns a request that got no answer."""
    values: dict[str, Any] = {
        "call": call(),
        "kind": RequestKind.UNARY,
        "outcome": Outcome.REFUSED,
        "reason": reason,
        "received_at": 100.0,
        "ended_at": 100.001,
        "request_id": "r-2",
        "priority": PriorityClass.BACKGROUND,
    }
    return RequestRecord(**values | fields)


def rpc(method: str = "GetModel", reason: Reason | None = None, **fields: Any) -> RpcRecord:
    """Returns an RPC that has ended."""
    code = "OK" if reason is None else "UNKNOWN"
    return RpcRecord(call=call(method), code=code, ended_at=100.1, reason=reason, **fields)
