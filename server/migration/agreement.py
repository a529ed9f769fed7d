"""What many compared answers come to, and whether that is good enough to go on. Pure, but for being added to.

Owns the figures of `mirror` and `compare`, their form in a report, and the limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from server.migration.original_answers import Difference
from server.routes.latency_histogram import LatencyHistogram

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold before more callers are moved.

    Attributes:
        windows: Least number of windows that were compared.
        agreement: Least share of them with the same likeliest class, 0 to 1.
        difference: Largest difference of any probability, 0 to 1.
        failures: Largest share of requests that the old service answered and the new one did not, 0 to 1.
    """

    windows: int = 1000
    agreement: float = 0.999
    difference: float = 0.01
    failures: float = 0.001


class LatencyReport(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of one side, from the last byte of the request to the last of the answer; within a tenth."""

    p50: float
    p95: float
    p99: float


class AgreementReport(msgspec.Struct, frozen=True, kw_only=True):
    """The figures.

    Attributes:
        compared_requests: Requests that both answered.
        windows: Windows in them.
        same_class: Windows with the same likeliest class.
        largest_probability_difference: Of any class of any window, 0 to 1.
        mean_probability_difference: Mean over the windows of each one's largest.
        largest_regression_difference: Of any regression's mean, in its target's unit.
        old_failures: Requests that the old service did not answer well, by status; they were not sent on.
        new_failures: Requests that it did and the new one did not, by status or kind.
        unreadable: Pairs of answers that could not be compared.
        dropped: Requests that were not compared because the comparison was behind.
        too_large: Requests that were not compared because of their size.
        old_latency: Of the compared requests.
        new_latency: Of the compared requests.
    """

    compared_requests: int
    windows: int
    same_class: int
    largest_probability_difference: float
    mean_probability_difference: float
    largest_regression_difference: float
    old_failures: dict[str, int]
    new_failures: dict[str, int]
    unreadable: int
    dropped: int
    too_large: int
    old_latency: LatencyReport
    new_latency: LatencyReport

    def misses(self, limits: Limits) -> list[str]:
        """Returns what does not hold, a sentence each; none: go on."""
        found = []
        share = self.same_class / self.windows if self.windows else 1.0
        failed = sum(self.new_failures.values()) + self.unreadable
        asked = self.compared_requests + failed
        if self.windows < limits.windows:
            found.append(f"{self.windows} windows were compared, fewer than {limits.windows}")
        if share < limits.agreement:
            found.append(f"the likeliest class is the same in {share:.4%} of them, less than {limits.agreement:.4%}")
        if self.largest_probability_difference > limits.difference:
            largest = self.largest_probability_difference
            found.append(f"a probability differs by {largest:.2g}, more than {limits.difference:g}")
        if failed > limits.failures * asked:
            found.append(f"the new service failed {failed} of {asked} requests that the old one answered")
        return found


class Agreement:
    """Adds up what was compared.

    Attributes:
        dropped: As in the report.
        too_large: As in the report.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.too_large = 0
        self._requests = 0
        self._windows = 0
        self._same = 0
        self._sum = 0.0
        self._probability = 0.0
        self._regression = 0.0
        self._unreadable = 0
        self._old_failures: Counter[str] = Counter()
        self._new_failures: Counter[str] = Counter()
        self._old, self._new = LatencyHistogram(), LatencyHistogram()

    def compared(self, found: Sequence[Difference], *, old_seconds: float, new_seconds: float) -> None:
        """Counts a request that both answered."""
        self._requests += 1
        self._old.add(old_seconds)
        self._new.add(new_seconds)
        for each in found:
            self._windows += 1
            self._same += each.same_class
            self._sum += each.probability
            self._probability = max(self._probability, each.probability)
            self._regression = max(self._regression, each.regression)

    def old_failed(self, kind: str) -> None:
        """Counts a request that the old service did not answer well."""
        self._old_failures[kind] += 1

    def new_failed(self, kind: str) -> None:
        """Counts a request that only the old service answered well."""
        self._new_failures[kind] += 1

    def unreadable(self) -> None:
        """Counts a pair that cannot be compared."""
        self._unreadable += 1

    def report(self) -> AgreementReport:
        """Returns the figures so far."""
        return AgreementReport(
            compared_requests=self._requests,
            windows=self._windows,
            same_class=self._same,
            largest_probability_difference=self._probability,
            mean_probability_difference=self._sum / self._windows if self._windows else 0.0,
            largest_regression_difference=self._regression,
            old_failures=dict(self._old_failures),
            new_failures=dict(self._new_failures),
            unreadable=self._unreadable,
            dropped=self.dropped,
            too_large=self.too_large,
            old_latency=_latency(self._old),
            new_latency=_latency(self._new),
        )


def read_report(data: bytes) -> AgreementReport:
    """Returns a report that was written as JSON.

    Raises:
        ValueError: It is none.
    """
    return msgspec.json.decode(data, type=AgreementReport)


def as_dict(report: AgreementReport) -> dict[str, Any]:
    """Returns a report for JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return plain


def _latency(histogram: LatencyHistogram) -> LatencyReport:
    return LatencyReport(**{name: histogram.quantile(share) * 1e3 for name, share in _QUANTILES.items()})
