"""One prediction request from receipt to answer, as one value: histogram, span, log line and reply tell the same times.

Owns how the stages of a request are told apart. Knows no protobuf, no gRPC, and nobody who reads it.
"""

from __future__ import annotations

import dataclasses
import enum

from batching import PriorityClass
from server.call import Call
from server.inference.batch_run import BatchRun
from server.inference.predictor import Answer
from server.models.served_model import ServedModel
from server.refusal import Reason
from server.trace_context import TraceContext


class RequestKind(enum.Enum):
    """How a request came."""

    UNARY = "unary"
    BATCH_ITEM = "batch_item"
    STREAM_ITEM = "stream_item"
    TICK = "tick"


class Outcome(enum.Enum):
    """How a request ended."""

    ANSWERED = "answered"
    REFUSED = "refused"
    CANCELLED = "cancelled"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Where the time of an executed request went, seconds, none negative: they add up to the whole.

    Attributes:
        decode: From receipt to the parsed and validated message, its model found.
        admit: To the scheduler's queue: symbol's window, route, cache, admission.
        queue: In the queue, until its batch was chosen.
        gather: To the engine's thread, and windows into one buffer.
        inference: In the engine.
        scatter: Rows out of the answer, and back to the request's task on the event loop.
        encode: Into the reply's message.
    """

    decode: float
    admit: float
    queue: float
    gather: float
    inference: float
    scatter: float
    encode: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """One request that has ended; times are monotonic seconds.

    Attributes:
        call: The RPC that it came in.
        kind: How it came.
        request_id: The caller's; empty if none.
        symbol: The symbol asked for; empty where the window was sent. Never a metric's label.
        priority: Its class; None where it was refused before that was known.
        model: The version that answered, or was to; None where it was refused before that was known.
        outcome: How it ended.
        reason: Why it was refused; None otherwise.
        received_at: Receipt.
        parsed_at: When its message was read and valid; None where it was refused before.
        deadline: Its deadline; None where it was refused before that was known.
        ended_at: When its reply was ready.
        answer: What it was answered; None where it was not, and for a replay.
        batch: The engine call that computed it; None where none did, or the answer was known.
        is_replay: Whether it was answered by giving the answer again that its request_id had before.
        trace: The context of its own span: the call's for a unary one, a child of that for an item of a batch, the root
            of a trace of its own for an item of a stream; None where nothing is traced.
    """

    call: Call
    kind: RequestKind
    outcome: Outcome
    received_at: float
    ended_at: float
    request_id: str = ""
    symbol: str = ""
    priority: PriorityClass | None = None
    model: ServedModel | None = None
    reason: Reason | None = None
    parsed_at: float | None = None
    deadline: float | None = None
    answer: Answer | None = None
    batch: BatchRun | None = None
    is_replay: bool = False
    trace: TraceContext | None = None

    @property
    def method(self) -> str:
        """The RPC's short name, as in `Predict`."""
        return self.call.method.rpartition("/")[2]

    @property
    def is_cached(self) -> bool:
        """Whether the answer was known: by its window, or by its request_id."""
        return self.is_replay or (self.answer is not None and self.answer.cached)

    @property
    def duration(self) -> float:
        """Seconds from receipt to the reply."""
        return self.ended_at - self.received_at

    @property
    def stages(self) -> Stages | None:
        """Where the time went; None for a request that no engine computed."""
        if self.answer is None or self.batch is None or self.parsed_at is None:
            return None
        answer, batch = self.answer, self.batch
        mark, end, spans = self.received_at, self.ended_at, []
        for moment in (
            self.parsed_at,
            answer.completion.enqueued_at,
            answer.completion.chosen_at,
            batch.engine_started_at,
            batch.engine_ended_at,
            answer.task.received_at + answer.total_duration,
        ):
            # One that joined another's execution may come when the engine is at work already: its own times begin then.
            upto = mark if moment < mark else end if moment > end else moment
            spans.append(upto - mark)
            mark = upto
        decode, admit, queue, gather, inference, scatter = spans
        return Stages(
            decode=decode,
            admit=admit,
            queue=queue,
            gather=gather,
            inference=inference,
            scatter=scatter,
            encode=end - mark,
        )
