"""What one metric is: its name, its labels and how replicas' values become one. Owns no value and no library's type."""

from __future__ import annotations

import dataclasses
import enum


class Kind(enum.Enum):
    """What a metric's value is, by Prometheus's words."""

    COUNTER = "counter"
    """One cell: a total that never decreases."""
    GAUGE = "gauge"
    """One cell: a value of now; gone with its replica."""
    HISTOGRAM = "histogram"
    """A cell for the sum of all values, one for each bound, and one for what lies above them."""


class Merge(enum.Enum):
    """How the values that replicas of one node have of one gauge become one; counters and histograms add up."""

    SUM = "sum"
    MAX = "max"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: As it is scraped; a histogram's without suffix.
        kind: What its value is.
        help: One sentence for whoever meets it in Prometheus.
        labels: Names of its labels; `model` and `version` come as a pair, in this order.
        bounds: Upper bounds of a histogram's buckets, ascending, without infinity; empty for the others.
        merge: How several replicas' gauges become one.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    merge: Merge = Merge.SUM

    def __post_init__(self) -> None:
        if (self.kind is Kind.HISTOGRAM) != bool(self.bounds) or list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError(f"{self.name}: a histogram, and nothing else, has bounds, and they ascend")

    @property
    def cell_count(self) -> int:
        """How many numbers one series of it takes."""
        return 2 + len(self.bounds) if self.kind is Kind.HISTOGRAM else 1

    def version_of(self, labels: tuple[str, ...]) -> tuple[str, str] | None:
        """Returns the model's name and version that a series is about; None for one that is about none."""
        if "version" not in self.labels or "model" not in self.labels:
            return None
        found = (labels[self.labels.index("model")], labels[self.labels.index("version")])
        return found if all(found) else None
