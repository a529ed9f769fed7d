"""Figures of one kind of traffic: counts, percentiles, rates. Pure numbers; knows no clock and no RPC."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.load.sample import Sample
from tickserve.bench.outcome import Outcome
from tickserve.bench.percentile import histogram, percentile, percentiles


def summarise(samples: Sequence[Sample], *, start: float, duration: float, is_open: bool) -> dict[str, Any]:
    """Returns the figures of one kind of traffic within the measured window.

    An open loop's requests belong to the window if they were *due* in it, however late their end. A closed loop's
    belong to it if they *ended* in it: its throughput is what came out during that time.

    Args:
        samples: All samples of the run, warm-up included.
        start: Beginning of the window, on the samples' clock.
        duration: Its length in seconds.
        is_open: Whether the traffic was an open loop.
    """
    end = start + duration
    inside = [sample for sample in samples if start <= (sample.scheduled if is_open else sample.ended) < end]
    sent = [sample for sample in inside if sample.outcome is not Outcome.CANCELLED]
    answered = [sample for sample in sent if sample.outcome in (Outcome.IN_TIME, Outcome.LATE)]
    latencies = [1e3 * (sample.ended - sample.scheduled) for sample in answered]
    told = [sample for sample in answered if sample.served > 0]
    in_time = sum(sample.outcome is Outcome.IN_TIME for sample in sent)
    return {
        "sent": len(sent),
        "answered": len(answered),
        "in_time": in_time,
        "cancelled": len(inside) - len(sent),
        "goodput": in_time / len(sent) if sent else None,
        "answered_per_second": len(answered) / duration,
        "outcomes": dict(Counter(sample.outcome.value for sample in inside)),
        "reasons": dict(Counter(f"{sample.outcome}/{sample.reason}" for sample in inside if sample.reason)),
        # Of the answered alone; and of all sent, where one without an answer counts as slower than any.
        "latency_ms": percentiles(latencies),
        "sent_latency_ms": percentiles(latencies, total=len(sent)),
        "mean_latency_ms": sum(latencies) / len(latencies) if latencies else None,
        "send_lag_ms": percentiles([1e3 * (sample.sent - sample.scheduled) for sample in sent]),
        "histogram_ms": histogram(latencies),
        "latencies_ms": [round(value, 3) for value in latencies],
        "per_second": _per_second(sent, start=start, duration=duration, is_open=is_open),
        # Client to queue and answer to client together.
        "transport_ms": percentiles([1e3 * (sample.ended - sample.sent - sample.served) for sample in told]),
        "batches": batches_of(sent),
    }


def batches_of(samples: Sequence[Sample]) -> list[tuple[int, float]]:
    """Returns size and engine milliseconds of every batch that answered any of the samples.

    All members of a batch tell the same duration, to the nanosecond; so equal pairs are one batch.
    """
    return sorted({(sample.batch_size, 1e3 * sample.inference) for sample in samples if sample.batch_size > 0})


def cost_table(batches: Sequence[tuple[int, float]]) -> dict[str, dict[str, float]]:
    """Returns the engine's cost per batch size: count, median, p90 and p99 in ms."""
    by_size: dict[int, list[float]] = {}
    for size, milliseconds in batches:
        by_size.setdefault(size, []).append(milliseconds)
    return {str(size): describe_costs(by_size[size]) for size in sorted(by_size)}


def describe_costs(durations_ms: Sequence[float]) -> dict[str, float]:
    """Returns count and percentiles of one batch size's durations, at least one."""
    ordered = sorted(durations_ms)
    figures = {f"p{round(100 * share)}_ms": percentile(ordered, share) for share in (0.5, 0.9, 0.99)}
    return {"count": len(ordered), **{name: value for name, value in figures.items() if value is not None}}


def _per_second(samples: Sequence[Sample], *, start: float, duration: float, is_open: bool) -> list[dict[str, int]]:
    rows = [{"sent": 0, "answered": 0, "in_time": 0} for _ in range(math.ceil(duration))]
    for sample in samples:
        instant = sample.scheduled if is_open else sample.ended
        row = rows[min(int(instant - start), len(rows) - 1)]
        row["sent"] += 1
        row["answered"] += sample.outcome in (Outcome.IN_TIME, Outcome.LATE)
        row["in_time"] += sample.outcome is Outcome.IN_TIME
    return rows
