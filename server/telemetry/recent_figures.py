"""What one replica did in the last half minute, as values that travel between replicas as JSON. Knows no observer.

Holds no input, no symbol and no caller: whoever may look at the console need not be one who may trade.
"""

from __future__ import annotations

import dataclasses
import enum

from pydantic import TypeAdapter, ValidationError

from server.refusal import Reason


class Fate(enum.IntEnum):
    """What became of a request, as the service is judged by it; each names a field of `Tally` in its place."""

    ANSWERED = 0
    LATE = 1
    SHED = 2
    FAILED = 3
    INVALID = 4
    CANCELLED = 5


_FATES = {
    Reason.EXPIRED_IN_QUEUE: Fate.LATE,
    Reason.EXPIRED_IN_EXECUTION: Fate.LATE,
    Reason.QUEUE_FULL: Fate.SHED,
    Reason.PREDICTED_DEADLINE_MISS: Fate.SHED,
    Reason.DISPLACED: Fate.SHED,
    Reason.RATE_LIMITED: Fate.SHED,
    Reason.DRAINING: Fate.SHED,
    Reason.MODEL_LOADING: Fate.SHED,
    Reason.STORE_UNAVAILABLE: Fate.SHED,
    Reason.HALT_STORE_UNAVAILABLE: Fate.SHED,
    Reason.DECISION_LOG_UNAVAILABLE: Fate.SHED,
    Reason.INFERENCE_FAILED: Fate.FAILED,
}


def fate_of(reason: Reason | None) -> Fate:
    """Returns what a request that was refused for `reason` counts as: the caller's mistake unless it was ours."""
    return _FATES.get(reason, Fate.INVALID) if reason is not None else Fate.FAILED


@dataclasses.dataclass(frozen=True, slots=True)
class Tally:
    """How requests ended.

    Attributes:
        answered: With a prediction, in time.
        late: At their deadline, in the queue or in the engine.
        shed: Refused for want of room, time or a model.
        failed: By a fault of ours.
        invalid: Refused for what was in them.
        cancelled: Given up by their callers.
        cached: Those of the answered that no engine computed.
    """

    answered: int = 0
    late: int = 0
    shed: int = 0
    failed: int = 0
    invalid: int = 0
    cancelled: int = 0
    cached: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    def __sub__(self, other: Tally) -> Tally:
        return Tally(**{name: getattr(self, name) - getattr(other, name) for name in self.__slots__})

    @property
    def missed(self) -> int:
        """Those that could have been answered and were not."""
        return self.late + self.shed + self.failed

    @property
    def goodput(self) -> float | None:
        """The part answered of those that could have been, 0 to 1; None if there were none."""
        return self.answered / (self.answered + self.missed) if self.answered + self.missed else None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecentRefusal:
    """One request, or one RPC, that was refused.

    Attributes:
        at: Seconds since the epoch.
        reason: Name of the reason.
        priority: Name of the class; empty where that was not known.
        method: The RPC's short name.
        model: Name and version; empty where that was not known.
        waited: Seconds from receipt.
        request_id: The caller's, cut to 64 characters; empty if none.
        trace_id: Of its trace; empty if none.
    """

    at: float
    reason: str
    priority: str
    method: str
    model: str
    waited: float
    request_id: str
    trace_id: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecentBatch:
    """One engine call.

    Attributes:
        id: Tells it from the replica's others; later ones are higher.
        at: Its end, seconds since the epoch.
        model: Name and version.
        size: Windows.
        seconds: In the engine.
        failed: Whether the engine failed.
    """

    id: int
    at: float
    model: str
    size: int
    seconds: float
    failed: bool


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RecentFigures:
    """One replica's last half minute.

    Attributes:
        at: When this was written, seconds since the epoch.
        count_id: Tells the count that `totals` are of from earlier ones of the same replica.
        span: Seconds that `window` and what follows it cover, at most half a minute.
        totals: How requests ended since that count began, by class.
        window: The same over the span.
        latencies: Buckets of a `LatencyHistogram` of the answered over the span, by class.
        models: Answers over the span, by name and version of the model.
        reasons: Refusals over the span, by the name of their reason.
        refusals: The newest ones, newest first.
        batches: The newest engine calls, oldest first.
    """

    at: float
    count_id: int
    span: float
    totals: dict[str, Tally] = dataclasses.field(default_factory=dict)
    window: dict[str, Tally] = dataclasses.field(default_factory=dict)
    latencies: dict[str, dict[int, int]] = dataclasses.field(default_factory=dict)
    models: dict[str, int] = dataclasses.field(default_factory=dict)
    reasons: dict[str, int] = dataclasses.field(default_factory=dict)
    refusals: tuple[RecentRefusal, ...] = ()
    batches: tuple[RecentBatch, ...] = ()


_FORM = TypeAdapter(RecentFigures)


def write_figures(figures: RecentFigures) -> bytes:
    """Returns the figures as JSON."""
    return _FORM.dump_json(figures)


def read_figures(data: bytes) -> RecentFigures | None:
    """Returns figures from JSON, or None: a replica of another release may write another form, or nothing."""
    try:
        return _FORM.validate_json(data) if data else None
    except ValidationError:
        return None
