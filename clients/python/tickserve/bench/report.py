"""Figures of a run, by class and together. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tickserve.bench.driver import Run, Sample
from tickserve.bench.limits import Check, Limit, checks
from tickserve.bench.outcome import Outcome
from tickserve.bench.percentile import SHARES, histogram, percentile

__all__ = ("Figures", "Report", "report_of")

_ANSWERED = (Outcome.IN_TIME, Outcome.LATE)
# The original's tests show the 95th percentile.
_SHARES = {**SHARES, "p95": 0.95}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What became of some requests."""

    sent: int
    in_time: int
    """Answered, rightly, within their timeout."""
    late: int
    """Answered, rightly, after it."""
    rate: float
    """Right answers a second."""
    outcomes: Mapping[str, int]
    """Requests by what became of them."""
    reasons: Mapping[str, int]
    """Those without a right answer, by the reason that the service gave, or the gRPC code without one."""
    latency_ms: Mapping[str, float | None]
    """Mean and percentiles of the answered, from when they were due; None where there are none."""
    sent_latency_ms: Mapping[str, float | None]
    """Percentiles of all sent: one without an answer counts as slower than any, None where that is the percentile."""
    lag_ms: Mapping[str, float | None]
    """How late this generator itself sent: large values blame it, not the service."""
    histogram_ms: Sequence[Sequence[float]]
    """Upper bound and count of the buckets that are not empty, of the answered."""

    @property
    def errors(self) -> float | None:
        """Share of the sent that had no right answer; None where nothing was sent."""
        return (self.sent - self.in_time - self.late) / self.sent if self.sent else None

    def limited(self) -> dict[str, float | None]:
        """Returns the figures that limits name."""
        late = self.late / self.sent if self.sent else None
        return {**self.latency_ms, "errors": self.errors, "late": late, "rate": self.rate}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run's figures and its verdict."""

    elapsed: float
    total: Figures
    classes: Mapping[str, Figures]
    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        """Whether every limit was kept to."""
        return all(check.ok for check in self.checks)


def report_of(run: Run, limits: Sequence[Limit]) -> Report:
    """Returns the report of a run, held to limits on all its requests together."""
    groups: dict[str, list[Sample]] = {}
    for sample in run.samples:
        groups.setdefault(sample.priority.name.lower(), []).append(sample)
    total = figures_of(run.samples, run.elapsed)
    return Report(
        elapsed=run.elapsed,
        total=total,
        classes={name: figures_of(groups[name], run.elapsed) for name in sorted(groups)},
        checks=checks(limits, total.limited()),
    )


def figures_of(samples: Sequence[Sample], elapsed: float) -> Figures:
    """Returns the figures of samples that took `elapsed` seconds together."""
    outcomes = Counter(sample.outcome for sample in samples)
    answered = [sample for sample in samples if sample.outcome in _ANSWERED]
    latencies = [1e3 * (sample.ended - sample.due) for sample in answered]
    lags = sorted(1e3 * (sample.sent - sample.due) for sample in samples)
    mean = sum(latencies) / len(latencies) if latencies else None
    return Figures(
        sent=len(samples),
        in_time=outcomes[Outcome.IN_TIME],
        late=outcomes[Outcome.LATE],
        rate=len(answered) / elapsed if elapsed > 0 else 0.0,
        outcomes={outcome.value: count for outcome, count in outcomes.most_common()},
        reasons=dict(Counter(sample.reason for sample in samples if sample.reason).most_common()),
        latency_ms={"mean": mean, **_percentiles(latencies, total=len(latencies))},
        sent_latency_ms=_percentiles(latencies, total=len(samples)),
        lag_ms={name: percentile(lags, SHARES[name]) for name in ("p50", "p99", "max")},
        histogram_ms=histogram(latencies),
    )


def _percentiles(values: Sequence[float], *, total: int) -> dict[str, float | None]:
    ordered = sorted(values)
    named = {name: percentile(ordered, share, total=total) for name, share in _SHARES.items()}
    return {name: named[name] for name in sorted(named, key=_SHARES.__getitem__)}
