"""One row's figures from its records. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.chaos.record import End, Record
from benchmarks.chaos.recovery import Call, Recovery, recovery

REAL_TIME = "real_time"
TICK = "tick"


def tally(
    records: Sequence[Record], *, wrong: Sequence[tuple[Record, str]], fault_at: float, warm_at: float = 0.0
) -> dict[str, Any]:
    """Returns what became of a row's requests.

    Args:
        records: All of them.
        wrong: The answers that are wrong, and in what.
        fault_at: When the fault was put in, monotonic seconds.
        warm_at: Calls before that are none to compare with: callers connect, and the scheduler learns.
    """
    warm = [record for record in records if record.kind == REAL_TIME and record.sent_at >= warm_at]
    calls = [Call(record.sent_at, record.in_time) for record in warm]
    try:
        found = recovery(calls, fault_at)
    except ValueError:
        found = Recovery(0.0, None, 0)  # no baseline, which the report calls no measurement; the answers count as ever
    unary = [record for record in records if record.kind != TICK]
    return {
        "sent": len(records),
        "answered": sum(record.end is End.ANSWERED for record in records) - len(wrong),
        "refused": _reasons(records, End.REFUSED),
        "silent": _reasons(records, End.SILENT),
        "wrong": len(wrong),
        "wrong_examples": [f"{record.kind} {record.key}: {fault}" for record, fault in wrong[:5]],
        "past_deadline_p999_ms": 1e3 * quantile([record.lateness for record in unary], 0.999),
        "baseline": found.baseline,
        "back_after_s": found.seconds,
        "real_time_lost": found.lost,
        "in_flight_silent": in_flight_silent(unary, fault_at),
        "kinds": {kind: _kind(records, kind) for kind in sorted({record.kind for record in records})},
    }


def in_flight_silent(records: Iterable[Record], at: float) -> int:
    """Returns the calls that were under way at an instant and ended without any answer, retries and all."""
    return sum(record.sent_at <= at < record.ended_at and record.end is End.SILENT for record in records)


def quantile(values: Sequence[float], share: float) -> float:
    """Returns the nearest-rank quantile; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def latencies_ms(records: Iterable[Record], kind: str) -> dict[str, float]:
    """Returns median and 99th percentile of one kind's answered requests, from when they were due."""
    taken = [1e3 * (record.ended_at - record.sent_at) for record in records if _is_answer(record, kind)]
    return {"p50": quantile(taken, 0.5), "p99": quantile(taken, 0.99), "count": len(taken)}


def _is_answer(record: Record, kind: str) -> bool:
    return record.kind == kind and record.end is End.ANSWERED


def _reasons(records: Iterable[Record], end: End) -> dict[str, int]:
    return dict(Counter(record.reason for record in records if record.end is end).most_common())


def _kind(records: Iterable[Record], kind: str) -> dict[str, Any]:
    mine = [record for record in records if record.kind == kind]
    ends = Counter(record.end.value for record in mine)
    return {"sent": len(mine), **{end.value: ends[end.value] for end in End}, "latency_ms": latencies_ms(mine, kind)}
