"""Why a request is not answered with a prediction: the domain's own word for it, free of gRPC and protobuf.

Owns the list of reasons and the exception that carries one. `errors` gives each its wire form.

    Exception
    +-- Refusal     what the caller is told; its `reason` is machine-readable, its message names field and remedy
"""

from __future__ import annotations

import enum
from collections.abc import Mapping


class Reason(enum.Enum):
    """Machine-readable reasons; their names travel in `ErrorInfo.reason` and never change."""

    MISSING_INPUT = enum.auto()
    MALFORMED_MESSAGE = enum.auto()
    INVALID_SHAPE = enum.auto()
    NON_FINITE_VALUE = enum.auto()
    FEATURE_SCHEMA_MISMATCH = enum.auto()
    INVALID_TIMEOUT = enum.auto()
    INVALID_PRIORITY = enum.auto()
    INVALID_TICK = enum.auto()
    INVALID_SYMBOL = enum.auto()
    TOO_MANY_WINDOWS = enum.auto()
    LIMIT_EXCEEDED = enum.auto()
    INVALID_TENSOR = enum.auto()
    MODEL_NOT_FOUND = enum.auto()
    SYMBOL_NOT_FOUND = enum.auto()
    WINDOW_INCOMPLETE = enum.auto()
    WINDOW_STALE = enum.auto()
    STREAM_NOT_OPEN = enum.auto()
    STREAM_ALREADY_OPEN = enum.auto()
    SYMBOL_NOT_OPEN = enum.auto()
    HALTED = enum.auto()
    REQUEST_ID_REUSED = enum.auto()
    QUEUE_FULL = enum.auto()
    PREDICTED_DEADLINE_MISS = enum.auto()
    DISPLACED = enum.auto()
    RATE_LIMITED = enum.auto()
    EXPIRED_IN_QUEUE = enum.auto()
    EXPIRED_IN_EXECUTION = enum.auto()
    EDGE_REQUIRED = enum.auto()
    API_KEY_MISSING = enum.auto()
    API_KEY_INVALID = enum.auto()
    METHOD_NOT_ALLOWED = enum.auto()
    PRIORITY_NOT_ALLOWED = enum.auto()
    DRAINING = enum.auto()
    MODEL_LOADING = enum.auto()
    STORE_UNAVAILABLE = enum.auto()
    DECISION_LOG_UNAVAILABLE = enum.auto()
    HALT_STORE_UNAVAILABLE = enum.auto()
    NOT_SUPPORTED = enum.auto()
    INFERENCE_FAILED = enum.auto()


class Refusal(Exception):  # noqa: N818 - the domain's word: most of these are decisions, not faults
    """An answer other than a prediction, meant for the caller's eyes.

    Args:
        reason: Why.
        message: One or two sentences that name the field and the remedy; no exception's text, no secrets.
        field: Path of the offending field in the request, as in `window.time_steps`; empty where none is to blame.
        retry_delay: Seconds after which a retry may succeed, or None.
        metadata: Every dynamic value of the message, for programs to read.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        field: str = "",
        retry_delay: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_delay = retry_delay
        self.metadata = dict(metadata or {})

    def __str__(self) -> str:
        return f"{self.reason.name}: {self.message}"

    def within(self, prefix: str) -> Refusal:
        """Returns the same refusal with its field seen from an enclosing message, as in `items[3].window`."""
        field = f"{prefix}.{self.field}" if self.field else prefix
        return Refusal(self.reason, self.message, field=field, retry_delay=self.retry_delay, metadata=self.metadata)


def draining() -> Refusal:
    """Returns the refusal of a replica that stops."""
    return Refusal(Reason.DRAINING, "This replica is stopping; retry, another one will answer.", retry_delay=0.1)


def model_loading(what: str, *, retry_delay: float = 1.0) -> Refusal:
    """Returns the refusal of a server that cannot answer yet.

    Args:
        what: What is being loaded; begins the sentence.
        retry_delay: Seconds after which a retry may succeed.
    """
    return Refusal(Reason.MODEL_LOADING, f"{what} is being loaded; retry after the delay.", retry_delay=retry_delay)


def store_unavailable() -> Refusal:
    """Returns the refusal of a replica that cannot reach the store of the windows in time."""
    return Refusal(
        Reason.STORE_UNAVAILABLE,
        "The store of the symbols' windows does not answer; retry after the delay, or send the window itself.",
        retry_delay=0.5,
    )


def halt_store_unavailable() -> Refusal:
    """Returns the refusal of a replica that could not store what is to be halted, or to go on."""
    return Refusal(
        Reason.HALT_STORE_UNAVAILABLE,
        "The store of the halts has not taken the change. A halt holds on the answering replica and is stored when the "
        "store is back, a resume has not happened; repair the store, and repeat the call.",
        retry_delay=1.0,
    )


def decision_log_unavailable() -> Refusal:
    """Returns the refusal of a replica that must record every answer and cannot record this one."""
    return Refusal(
        Reason.DECISION_LOG_UNAVAILABLE,
        "The decision log, without which this service gives no answers, cannot be written; retry after the delay.",
        retry_delay=1.0,
    )


def inference_failed(trace_id: str) -> Refusal:
    """Returns what stands for every failure of ours: constant words, and the id that finds the line in the log."""
    return Refusal(
        Reason.INFERENCE_FAILED,
        "The prediction failed inside the server; its log has the cause under this trace id.",
        metadata={"trace_id": trace_id},
    )
