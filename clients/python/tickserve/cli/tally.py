"""How fast a replay goes, and what came of it. Must not know streams."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

__all__ = ("Pace", "Tally")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast bars are sent."""

    text: str = "max"
    """`100x`: 100 times real time; `50/s`: 50 bars a second; `max`: as fast as the service takes them."""

    def __post_init__(self) -> None:
        """Checks the text.

        Raises:
            ValueError: It is none of the three, or not positive.
        """
        self.delay(1.0)

    def delay(self, bar_interval: float) -> float:
        """Gives the seconds between two bars of `bar_interval` seconds.

        Bars follow each other evenly, whatever time lies between them: nights and weekends are not waited for.
        """
        if self.text == "max":
            return 0.0
        per_second = self.text.endswith("/s")
        try:
            number = float(self.text.removesuffix("/s") if per_second else self.text.removesuffix("x"))
        except ValueError:
            number = 0.0
        if not 0.0 < number < float("inf"):
            raise ValueError(f"a speed is written 100x (times real time), 50/s (bars a second) or max, not {self.text}")
        return 1.0 / number if per_second else bar_interval / number


@dataclass(slots=True)
class Tally:
    """What came of a replay so far."""

    bars_sent: int = 0
    history_bars: int = 0
    predictions: int = 0
    conflated: int = 0
    gaps: int = 0
    reconnects: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Errors by reason."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from handing over a bar to its prediction, in order of arrival."""
    started: float = field(default_factory=time.perf_counter)

    def percentile(self, share: float) -> float:
        """Gives a latency in seconds, by nearest rank; NaN without any."""
        if not self.latencies:
            return float("nan")
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
