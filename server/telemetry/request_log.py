"""What the log says of requests: their refusals, bounded for each reason, class and method; answers at level debug.

Owns the words and the bound. An observer like others; knows neither the lines' form nor where they go.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import logging
import math
import time
from collections.abc import Callable

from server.inference.batch_run import BatchRun
from server.observation.request_record import Outcome, RequestRecord
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason
from server.telemetry.log_limiter import LogLimiter

logger = logging.getLogger("tickserve")

# Where an operator has something to do; all other refusals tell callers of mistakes of their own.
_LEVELS = {
    Reason.QUEUE_FULL: logging.WARNING,
    Reason.PREDICTED_DEADLINE_MISS: logging.WARNING,
    Reason.DISPLACED: logging.WARNING,
    Reason.EXPIRED_IN_QUEUE: logging.WARNING,
    Reason.EXPIRED_IN_EXECUTION: logging.WARNING,
    Reason.MODEL_LOADING: logging.WARNING,
    Reason.STORE_UNAVAILABLE: logging.WARNING,
    Reason.DECISION_LOG_UNAVAILABLE: logging.WARNING,
    Reason.INFERENCE_FAILED: logging.ERROR,
}
# Each of their requests has a record of its own; of these methods the RPC's end says nothing new.
_ONE_REQUEST_EACH = {"Predict"}

_ENDINGS = {outcome: f"request_{outcome.value}" for outcome in Outcome}

CallLater = Callable[[float, Callable[[], None]], object]


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """What refusals are counted together by."""

    event: str
    reason: Reason
    priority: str
    method: str


class RequestLog:
    """Logs how requests and RPCs ended.

    Args:
        interval: Seconds between two lines about one kind of refusal.
        clock: Monotonic seconds.
        call_later: Has a function called after some seconds, in the event loop; the running one's unless given.
    """

    def __init__(
        self,
        interval: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        call_later: CallLater | None = None,
    ) -> None:
        self._clock = clock
        self._call_later = call_later or _call_later
        self._limiter: LogLimiter[_Kind] = LogLimiter(interval=interval)
        self._is_waiting = False

    def change_interval(self, interval: float) -> None:
        """Puts another interval in force."""
        self._limiter.interval = interval

    def request_ended(self, record: RequestRecord) -> None:
        """Logs a refusal; an answer only at level debug."""
        if record.reason is not None:
            priority = record.priority.name.lower() if record.priority is not None else ""
            kind = _Kind("request_refused", record.reason, priority, record.method)
            self._refused(kind, request_id=record.request_id, trace_id=record.call.trace_id)
        elif logger.isEnabledFor(logging.DEBUG):
            logger.debug(_ENDINGS[record.outcome], extra=_answer_fields(record))

    def batch_ended(self, run: BatchRun) -> None:
        """Says nothing: a batch that failed is told by the scheduler, once."""

    def rpc_ended(self, record: RpcRecord) -> None:
        """Logs a refusal of an RPC as a whole."""
        if record.reason is not None and record.method not in _ONE_REQUEST_EACH:
            self._refused(
                _Kind("rpc_refused", record.reason, "", record.method), request_id="", trace_id=record.call.trace_id
            )

    def tell_untold(self) -> None:
        """Logs the refusals that were counted and not told, of each kind whose time has come."""
        self._is_waiting = False
        for kind, count in self._limiter.due(now=self._clock()):
            if kind is not None:
                _log(kind, count)
        if self._limiter.has_untold:
            self._wait()

    def close(self) -> None:
        """Logs at once what was counted and not told."""
        for kind, count in self._limiter.due(now=math.inf):
            if kind is not None:
                _log(kind, count)

    def _refused(self, kind: _Kind, *, request_id: str, trace_id: str) -> None:
        untold = self._limiter.offer(kind, now=self._clock())
        if untold is None:
            self._wait()
            return
        fields = {"request_id": request_id, "trace_id": trace_id}
        _log(kind, 1 + untold, **{name: value for name, value in fields.items() if value})

    def _wait(self) -> None:
        """Has what is suppressed told at last, even if no refusal of its kind follows."""
        if not self._is_waiting:
            self._is_waiting = True
            self._call_later(self._limiter.interval, self.tell_untold)


def _call_later(delay: float, function: Callable[[], None]) -> None:
    # In a context of its own: what is told then belongs to no call, least of all to the one that was refused now.
    asyncio.get_running_loop().call_later(delay, function, context=contextvars.Context())


def _log(kind: _Kind, count: int, **example: str) -> None:
    level = _LEVELS.get(kind.reason, logging.INFO)
    fields: dict[str, object] = {"reason": kind.reason.name, "method": kind.method, "count": count}
    if kind.priority:
        fields["priority"] = kind.priority
    logger.log(level, kind.event, extra=fields | example)


def _answer_fields(record: RequestRecord) -> dict[str, object]:
    fields: dict[str, object] = {
        "method": record.method,
        "request_id": record.request_id,
        "trace_id": record.call.trace_id,
        "duration": round(record.duration, 6),
    }
    if record.outcome is Outcome.ANSWERED and record.model is not None:
        fields["model"] = f"{record.model.name}:{record.model.version}"
    if (stages := record.stages) is not None:
        fields["stages"] = {name: round(value, 6) for name, value in dataclasses.asdict(stages).items()}
    return {name: value for name, value in fields.items() if value != ""}
