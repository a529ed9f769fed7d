"""One decision: all that the answer to one request can be derived from again, and what was answered, as plain values.

Owns what is recorded of a request. Knows neither files nor their format, and keeps nothing of the request alive.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from model.outputs import OUTPUT_NAMES, OutputRow
from server.inference.predictor import Answer
from server.models.served_model import ServedModel
from server.observation.request_record import RequestRecord
from server.refusal import Reason

FloatArray = npt.NDArray[np.float32]

# Said no by looking at the queue, before a place in it was given.
_REFUSED_ADMISSION = {Reason.QUEUE_FULL, Reason.PREDICTED_DEADLINE_MISS}
# Given a place in the queue, and then no answer.
_AFTER_ADMISSION = {
    Reason.DISPLACED,
    Reason.EXPIRED_IN_QUEUE,
    Reason.EXPIRED_IN_EXECUTION,
    Reason.INFERENCE_FAILED,
}
_parts = attrgetter(*OUTPUT_NAMES)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One request that ended.

    Attributes:
        fields: What JSON can hold; `docs/decision-log.md` lists the names.
        window: `[features, steps]` float32 in row-major order, little-endian; empty where no window was read.
        shape: Features and steps; empty without window.
        answer: The numbers of an `OutputRow`, float32 little-endian, in the order of `OUTPUT_NAMES`; empty without.
        answer_sizes: How many numbers each of them has.
    """

    fields: Mapping[str, Any]
    window: bytes = b""
    shape: tuple[int, ...] = ()
    answer: bytes = b""
    answer_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def input(self) -> FloatArray:
        """Returns the window, `[features, steps]`, read-only."""
        return np.frombuffer(self.window, "<f4").astype(np.float32, copy=False).reshape(self.shape)

    def row(self) -> OutputRow:
        """Returns the answer, read-only.

        Raises:
            ValueError: There is none, or not the one that this version of the software writes.
        """
        numbers = np.frombuffer(self.answer, "<f4").astype(np.float32, copy=False)
        if tuple(self.answer_sizes) != OUTPUT_NAMES or sum(self.answer_sizes.values()) != len(numbers):
            raise ValueError(f"the answer has {len(numbers)} numbers for {', '.join(self.answer_sizes) or 'nothing'}")
        ends = np.cumsum(list(self.answer_sizes.values()))[:-1]
        return OutputRow(*np.split(numbers, ends))


def decision_of(record: RequestRecord, *, replica_id: str, wall_offset: float) -> Decision:
    """Returns what is kept of a request; copies, so that neither message nor batch stays alive.

    Args:
        record: How it ended.
        replica_id: Who answered.
        wall_offset: Seconds since the epoch (UTC) less the monotonic clock, both at one moment.
    """
    fields: dict[str, Any] = {
        "time": round(record.received_at + wall_offset, 6),
        "replica_id": replica_id,
        "method": record.method,
        "kind": record.kind.value,
        "request_id": record.request_id,
        "caller": record.call.caller,
        "trace_id": record.call.trace_id,
        "symbol": record.symbol,
        "priority": record.priority.name.lower() if record.priority is not None else None,
        "deadline": _instant(record.deadline, wall_offset),
        "outcome": record.outcome.value,
        "admission": admission_of(record),
        "reason": record.reason.name if record.reason is not None else None,
        "model": _model(record.model),
        "duration": round(record.duration, 9),
    }
    stages = record.stages
    if stages is not None:
        fields["stages"] = {name: round(value, 9) for name, value in dataclasses.asdict(stages).items()}
    answer = record.answer
    if answer is None:
        return Decision(fields=fields)
    work, parts = answer.task.work, _parts(answer.row)
    fields["model"] = _model(work.model)  # the one that answered, whatever was asked for
    fields["engine"] = _engine(work.model)
    fields["input"] = _input(answer)
    fields["execution"] = _execution(answer)
    return Decision(
        fields=fields,
        window=np.ascontiguousarray(work.window, "<f4").tobytes(),
        shape=work.window.shape,
        answer=np.concatenate(parts).astype("<f4", copy=False).tobytes(),
        answer_sizes={name: len(part) for name, part in zip(OUTPUT_NAMES, parts, strict=True)},
    )


def admission_of(record: RequestRecord) -> str:
    """Returns how the service decided on a request, before and apart from what became of it.

    Returns:
        `known` where its answer was there already, `admitted` where it got a place in the queue, `refused` where it got
        none, `invalid` where it never came so far, `undecided` where the caller left first.
    """
    if record.is_cached:
        return "known"
    if record.answer is not None or record.reason in _AFTER_ADMISSION:
        return "admitted"
    if record.reason in _REFUSED_ADMISSION:
        return "refused"
    return "undecided" if record.reason is None else "invalid"


def _model(model: ServedModel | None) -> dict[str, Any] | None:
    return None if model is None else {"name": model.name, "version": model.version, "sha256": model.sha256}


def _engine(model: ServedModel) -> dict[str, Any]:
    info = model.engine.info
    return {"name": info.name, "device": info.device, "precision": info.precision, "threads": info.threads}


def _input(answer: Answer) -> dict[str, Any]:
    origin = answer.task.origin
    return {
        "sha256": answer.input_sha256,
        "feature_schema": origin.feature_schema,
        "last_sequence": origin.last_sequence,
        "as_of_time": origin.as_of_time,
        "out_of_distribution": answer.out_of_distribution,
    }


def _execution(answer: Answer) -> dict[str, Any]:
    completion = answer.completion
    return {
        "cached": answer.cached,
        "batch_size": completion.batch_size,
        "effective_priority": completion.effective_priority.name.lower(),
        "queue_duration": round(completion.queue_duration, 9),
        "inference_duration": round(completion.inference_duration, 9),
        "deadline_slack": round(answer.deadline_slack, 9),
    }


def _instant(moment: float | None, wall_offset: float) -> float | None:
    return round(moment + wall_offset, 6) if moment is not None and math.isfinite(moment) else None
