"""What a run sends, and the presets: the latency and load tests of the design that tickserve completes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from tickserve.bench.limits import Limit
from tickserve.bench.mix import Mix
from tickserve.priority import Priority

__all__ = ("BenchPlan",)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """One run: a closed loop with `concurrency` callers, or an open loop with `rate`.

    Raises:
        ValueError: A value is out of its range, or both kinds of loop, or no end, are named.
    """

    requests: int | None = None
    """Requests to send; None: until `duration` is over."""
    duration: float | None = None
    """Seconds during which requests are sent; None: until all `requests` are. Whichever ends first."""
    concurrency: int | None = None
    """Closed loop: callers that send one request after another."""
    rate: float | None = None
    """Open loop: requests a second, whatever the answers do."""
    arrivals: Literal["poisson", "even"] = "poisson"
    """Open loop: how they are spread."""
    timeout: float = 1.0
    """Seconds allowed to each request, from when it is due."""
    mix: Mix = dataclasses.field(default_factory=lambda: {Priority.STANDARD: 1.0})
    """The classes' shares."""
    warm_up: int = 10
    """Requests before the run, one after another, that do not count: the first one also connects."""
    connections: int | None = None
    """Connections that the requests take in turn; None: as many as a proxy's usual 100 streams each call for."""
    seed: int = 0
    """Of windows, classes and arrivals."""

    def __post_init__(self) -> None:
        if self.requests is None and self.duration is None:
            raise ValueError("a run ends after --requests or after --duration")
        if (self.requests is not None and self.requests < 1) or (
            self.duration is not None and not 0 < self.duration < math.inf
        ):
            raise ValueError("requests must be at least 1, duration above 0 and finite")
        if (self.concurrency is None) == (self.rate is None):
            raise ValueError("give either --concurrency (closed loop) or --rate (open loop)")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise ValueError("rate must be above 0 and finite")
        if not 0 < self.timeout < math.inf:
            raise ValueError("timeout must be above 0 and finite")
        if self.connections is not None and self.connections < 1:
            raise ValueError("connections must be at least 1")

    @property
    def connection_count(self) -> int:
        """Connections to open."""
        if self.connections is not None:
            return self.connections
        # In an open loop nothing but the timeout bounds how many are on their way.
        most = self.concurrency if self.concurrency is not None else math.ceil((self.rate or 0.0) * self.timeout)
        return min(16, max(1, math.ceil(most / 100)))

    def changed(
        self, *, requests: int | None, duration: float | None, concurrency: int | None, rate: float | None
    ) -> BenchPlan:
        """Returns the plan with another end or another loop; None: as it is. One end, or loop, replaces the other.

        Raises:
            ValueError: See the class.
        """
        changed = self
        if requests is not None or duration is not None:
            changed = dataclasses.replace(changed, requests=requests, duration=duration)
        if concurrency is not None or rate is not None:
            changed = dataclasses.replace(changed, concurrency=concurrency, rate=rate)
        return changed


PRESETS = {
    "sequential": BenchPlan(requests=1_000, concurrency=1),
    "concurrent": BenchPlan(requests=1_000, concurrency=10),
    "sustained": BenchPlan(duration=60.0, concurrency=100),
}
"""The original's latency test, its load test of 1,000 requests, and its load test of a minute."""

# The original asks for a mean below 100 ms. It sets no bound to errors; a run with any is one to look at.
DEFAULT_LIMITS = (Limit("mean", "max", 100.0), Limit("errors", "max", 0.0))
