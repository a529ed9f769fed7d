"""Figures of a run: calls and their ends, replicas over time, how long a new one took. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.autoscaling.caller import Called
from benchmarks.autoscaling.controller_log import Decision
from benchmarks.outlier.census import Change


def summary(calls: Sequence[Called]) -> dict[str, Any]:
    """Returns how the calls ended, and how long the answered ones took, milliseconds."""
    answered = np.array([call.seconds for call in calls if not call.error]) * 1e3
    return {
        "made": len(calls),
        "answered": len(answered),
        "failed": dict(Counter(call.error for call in calls if call.error)),
        "p50_ms": _percentile(answered, 50),
        "p99_ms": _percentile(answered, 99),
        "max_ms": round(float(answered.max()), 1) if len(answered) else None,
    }


def growth(decided: Sequence[Decision], changes: Sequence[Change], calls: Sequence[Called]) -> list[dict[str, Any]]:
    """Returns, for each decision for more replicas, seconds until their processes were there and until their answers.

    Replicas are told apart by the order in which they first answer. What was there before the first decision is none of
    a decision's.
    """
    first_answers: dict[str, float] = {}
    for call in calls:
        if call.replica:
            end = call.at + call.seconds
            first_answers[call.replica] = min(end, first_answers.get(call.replica, end))
    came = sorted(change.at for change in changes if change.came)
    found = []
    for decision in decided:
        for _ in range(decision.after - decision.before):
            process = next((at for at in came if at >= decision.at), None)
            if process is not None:
                came.remove(process)
            later = [name for name, at in first_answers.items() if at >= decision.at]
            newest = min(later, key=lambda name: first_answers[name], default=None)
            answer = first_answers.pop(newest) if newest is not None else None
            found.append(
                {
                    "from": decision.before,
                    "to": decision.after,
                    "process_s": None if process is None else round(process - decision.at, 2),
                    "answer_s": None if answer is None else round(answer - decision.at, 2),
                }
            )
    return found


def seconds_table(
    calls: Sequence[Called], decided: Sequence[Decision], changes: Sequence[Change], *, began: float, length: float
) -> list[dict[str, Any]]:
    """Returns for each second of the run: calls made, failed, latencies, replicas wanted, there and answering."""
    table = []
    for second in range(int(length)):
        start = began + second
        these = [call for call in calls if start <= call.at < start + 1]
        waits = np.array([call.seconds for call in these if not call.error]) * 1e3
        earlier = [each.after for each in decided if each.at < start + 1]
        initial = decided[0].before if decided else None
        table.append(
            {
                "at": second,
                "made": len(these),
                "failed": sum(bool(call.error) for call in these),
                "p50_ms": _percentile(waits, 50),
                "max_ms": round(float(waits.max()), 1) if len(waits) else None,
                "wanted": earlier[-1] if earlier else initial,
                "present": sum(1 if change.came else -1 for change in changes if change.at < start + 1),
                "answering": len({call.replica for call in these if call.replica}),
            }
        )
    return table


def _percentile(values: np.ndarray[Any, np.dtype[np.float64]], percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 1) if len(values) else None
