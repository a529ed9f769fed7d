"""Observes what the console shows: this replica's last half minute, in fixed memory, and only while somebody looks.

Counts lie in slots of a few seconds that are used in turn; single events in rings. Whoever looks says so again and
again (`watch`); when that has stopped, each record costs one comparison. Knows nobody who looks.
"""

from __future__ import annotations

import dataclasses
import enum
import threading
import time
from collections import Counter, deque
from collections.abc import Callable

from batching import PriorityClass
from server.call import Call
from server.inference.batch_run import BatchRun
from server.observation.request_record import Outcome, RequestRecord
from server.observation.rpc_record import RpcRecord
from server.refusal import Reason
from server.routes.latency_histogram import LatencyHistogram
from server.telemetry.recent_figures import (
    Fate,
    RecentBatch,
    RecentFigures,
    RecentRefusal,
    Tally,
    fate_of,
    write_figures,
)

_SLOT_SECONDS = 3.0
_SLOTS = 10
_REFUSALS = 24
_BATCHES = 64
_ID_LENGTH = 64
# Beside the fates: answered without an engine.
_CACHED = len(Fate)

Version = tuple[str, int]
"""Name and number."""
# When, why, class, RPC, version, seconds waited, request id: made readable when somebody reads it.
_Refusal = tuple[float, Reason | None, PriorityClass | None, Call, Version | None, float, str]


class _Slot:
    """What ended within a few seconds."""

    __slots__ = ("counts", "latencies", "models", "reasons")

    def __init__(self) -> None:
        self.counts: dict[PriorityClass | None, list[int]] = {}
        self.latencies: dict[PriorityClass | None, LatencyHistogram] = {}
        self.models: Counter[Version] = Counter()
        self.reasons: Counter[Reason | None] = Counter()


class RecentActivity:
    """An `Observer` of the last half minute.

    Args:
        clock: Monotonic seconds, the records' own.
        wall_clock: Seconds since the epoch.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._watched_until = float("-inf")
        self._count_id = 0
        self._batches: deque[RecentBatch] = deque(maxlen=_BATCHES)
        self._batches_lock = threading.Lock()
        self._begin(clock())

    def watch(self, seconds: float) -> None:
        """Counts for so many seconds from now on; afresh, if it had stopped counting."""
        now = self._clock()
        if now > self._watched_until:
            self._begin(now)
        self._watched_until = max(self._watched_until, now + seconds)

    @property
    def watched(self) -> bool:
        """Whether it counts."""
        return self._clock() <= self._watched_until

    def request_ended(self, record: RequestRecord) -> None:
        """Counts one request, on the event loop."""
        now = record.ended_at
        if now > self._watched_until:
            return
        slot = self._slot(now)
        priority = record.priority
        counts = slot.counts.get(priority)
        if counts is None:
            counts = slot.counts[priority] = [0] * (_CACHED + 1)
            slot.latencies[priority] = LatencyHistogram()
            self._totals.setdefault(priority, [0] * (_CACHED + 1))
        totals = self._totals[priority]
        if record.outcome is Outcome.ANSWERED:
            fate = Fate.ANSWERED
            slot.latencies[priority].add(now - record.received_at)
            model = record.model
            if model is not None:
                slot.models[model.name, model.version] += 1
            # Without an answer of its own it was given that of an earlier request with the same id.
            if record.answer is None or record.answer.cached:
                counts[_CACHED] += 1
                totals[_CACHED] += 1
        elif record.outcome is Outcome.CANCELLED:
            fate = Fate.CANCELLED
        else:
            fate = fate_of(record.reason)
            slot.reasons[record.reason] += 1
            version = (record.model.name, record.model.version) if record.model is not None else None
            request_id = record.request_id[:_ID_LENGTH]
            self._refusals.append(
                (now, record.reason, priority, record.call, version, now - record.received_at, request_id)
            )
        counts[fate] += 1
        totals[fate] += 1

    def batch_ended(self, run: BatchRun) -> None:
        """Keeps one engine call, in an engine's thread."""
        if run.ended_at > self._watched_until or run.is_probe:
            return
        entry = RecentBatch(
            id=run.batch_id,
            at=run.ended_at,
            model=_version((run.model.name, run.model.version)),
            size=run.size,
            seconds=run.engine_ended_at - run.engine_started_at,
            failed=run.failed,
        )
        # The event loop must not find the ring changed while it copies it.
        with self._batches_lock:
            self._batches.append(entry)

    def rpc_ended(self, record: RpcRecord) -> None:
        """Keeps an RPC that was refused as a whole; one `Predict` is one request and was told as such."""
        now = record.ended_at
        if now > self._watched_until or record.reason is None or record.method == "Predict":
            return
        self._slot(now).reasons[record.reason] += 1
        self._refusals.append((now, record.reason, None, record.call, None, record.duration, ""))

    def details(self) -> bytes:
        """Returns the figures as other replicas' consoles are told of them; nothing while nobody looks."""
        return write_figures(self.figures()) if self.watched else b""

    def figures(self) -> RecentFigures:
        """Returns the last half minute, or as much of it as was watched."""
        now = self._clock()
        shift = self._wall_clock() - now
        self._slot(now)
        window: dict[PriorityClass | None, Tally] = {}
        latencies: dict[PriorityClass | None, LatencyHistogram] = {}
        models: Counter[Version] = Counter()
        reasons: Counter[Reason | None] = Counter()
        for slot in self._slots:
            models.update(slot.models)
            reasons.update(slot.reasons)
            for priority, counts in slot.counts.items():
                window[priority] = window.get(priority, Tally()) + Tally(*counts)
                latencies.setdefault(priority, LatencyHistogram()).merge(slot.latencies[priority])
        with self._batches_lock:
            batches = tuple(self._batches)
        return RecentFigures(
            at=now + shift,
            count_id=self._count_id,
            span=max(0.0, now - max(self._began_at, (self._index - _SLOTS + 1) * _SLOT_SECONDS)),
            totals={_name(priority): Tally(*counts) for priority, counts in self._totals.items()},
            window={_name(priority): tally for priority, tally in window.items()},
            latencies={_name(priority): histogram.buckets() for priority, histogram in latencies.items()},
            models={_version(version): count for version, count in models.items()},
            reasons={_name(reason): count for reason, count in reasons.items()},
            refusals=tuple(_readable(refusal, shift) for refusal in reversed(self._refusals)),
            batches=tuple(dataclasses.replace(batch, at=batch.at + shift) for batch in batches),
        )

    def _begin(self, now: float) -> None:
        self._began_at = now
        self._count_id += 1
        self._index = _slot_index(now)
        self._slots = [_Slot() for _ in range(_SLOTS)]
        self._totals: dict[PriorityClass | None, list[int]] = {}
        self._refusals: deque[_Refusal] = deque(maxlen=_REFUSALS)
        with self._batches_lock:
            self._batches.clear()

    def _slot(self, now: float) -> _Slot:
        """Returns the slot of this moment, emptied if it was last used a round ago."""
        index = _slot_index(now)
        if index <= self._index:
            return self._slots[self._index % _SLOTS]
        # A record may come late, by a slot or two of a stalled loop: it counts where the count has got to.
        for passed in range(max(self._index + 1, index - _SLOTS + 1), index + 1):
            self._slots[passed % _SLOTS] = _Slot()
        self._index = max(self._index, index)
        return self._slots[self._index % _SLOTS]


def _slot_index(now: float) -> int:
    return int(now // _SLOT_SECONDS)


def _name(member: enum.Enum | None) -> str:
    """Returns the name of a class or reason; empty where it is not known."""
    return member.name if member is not None else ""


def _version(version: Version) -> str:
    return f"{version[0]}:{version[1]}"


def _readable(refusal: _Refusal, shift: float) -> RecentRefusal:
    """Returns a refusal as it is told, with its time by another clock."""
    at, reason, priority, call, version, waited, request_id = refusal
    return RecentRefusal(
        at=at + shift,
        reason=_name(reason),
        priority=_name(priority),
        method=call.method.rpartition("/")[2],
        model=_version(version) if version is not None else "",
        waited=waited,
        request_id=request_id,
        trace_id=call.trace_id,
    )
