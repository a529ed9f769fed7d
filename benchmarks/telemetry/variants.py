"""The states of telemetry that are compared; each is the environment of a server of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

OFF = "off"
OFF_AGAIN = "off_again"
METRICS = "metrics"
TRACES_1 = "traces_1"
TRACES_100 = "traces_100"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One state of telemetry.

    Attributes:
        name: In the results.
        title: In the report.
        metrics: Whether the scrape port is open and metrics are kept.
        sample_ratio: Share of the requests that are traced; 0: tracing is off.
        goal: The greatest share of throughput, and of p99, that it may cost; None where there is no goal.
    """

    name: str
    title: str
    metrics: bool = False
    sample_ratio: float = 0.0
    goal: float | None = None

    def environment(self, *, scrape_port: int, collector: str) -> Mapping[str, str]:
        """Returns the settings of a server in this state.

        Args:
            scrape_port: Where it may be scraped.
            collector: Where its spans go, `host:port`.
        """
        variables = {
            "TICKSERVE_METRICS__PORT": str(scrape_port if self.metrics else 0),
            # All batches alike: each server would learn batch sizes of its own, by what it met at its start.
            "TICKSERVE_SCHEDULER__ADAPTIVE": "false",
            "TICKSERVE_SCHEDULER__ADMISSION": "false",
            "TICKSERVE_SCHEDULER__MAX_BATCH_SIZE": "8",
        }
        if not self.metrics:
            variables["TICKSERVE_METRICS__ENABLED"] = "false"
        if self.sample_ratio:
            variables |= {
                "TICKSERVE_TRACING__ENABLED": "true",
                "TICKSERVE_TRACING__ENDPOINT": f"http://{collector}",
                "TICKSERVE_TRACING__SAMPLE_RATIO": repr(self.sample_ratio),
            }
        return variables


VARIANTS = (
    Variant(name=OFF, title="off"),
    # The same again: what a difference is that means nothing.
    Variant(name=OFF_AGAIN, title="off, again"),
    Variant(name=METRICS, title="metrics", metrics=True),
    Variant(name=TRACES_1, title="metrics, traces of 1 %", metrics=True, sample_ratio=0.01, goal=0.03),
    Variant(name=TRACES_100, title="metrics, traces of 100 %", metrics=True, sample_ratio=1.0, goal=0.15),
)
