"""Owns what is asked for: how much, of which classes, in time for whom. Must not know what it costs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from batching import PriorityClass
from planning.planning_error import InvalidDemandError

#: The classes somebody awaits; shadows get what is left over and are not planned for.
CLASSES = (PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND)
#: Distance from 1 that a sum of shares may have.
_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Demand:
    """A load and its goals.

    Attributes:
        rate: Unary requests a second, over all classes.
        mix: Part of them by class, 0 to 1, together 1; empty only if ``rate`` is 0.
        slo: Seconds within which an answer counts, by class; it is also the deadline that callers are taken to set.
        goal: Part of the requests of each class that must be answered within it; above 0, below 1.
        streams: Tick streams.
        ticks_per_stream: Ticks a second of each, every one of which is answered by a prediction.
        stream_class: Class of the streams' predictions.
    """

    rate: float
    mix: Mapping[PriorityClass, float]
    slo: Mapping[PriorityClass, float]
    goal: float = 0.99
    streams: int = 0
    ticks_per_stream: float = 0.0
    stream_class: PriorityClass = PriorityClass.STANDARD

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate < math.inf:
            raise InvalidDemandError("--rate", f"{self.rate:g} is no rate; give requests a second, at least 0")
        if not 0.0 < self.goal < 1.0:
            raise InvalidDemandError("--goal", f"{self.goal:g} is no part; give one above 0 and below 1, such as 0.99")
        if self.streams < 0:
            raise InvalidDemandError("--streams", f"{self.streams} streams cannot be; give 0 or more")
        if not 0.0 <= self.ticks_per_stream < math.inf:
            raise InvalidDemandError(
                "--ticks-per-second", f"{self.ticks_per_stream:g} is no rate; give ticks a second of each stream"
            )
        if self.ticks_per_stream and not self.streams:
            raise InvalidDemandError("--ticks-per-second", "needs streams that send them; give --streams, too")
        self._check_mix()
        if not self.total_rate:
            raise InvalidDemandError("--rate", "nothing is sent; give --rate, or --streams with --ticks-per-second")
        for priority in self.shares:
            if not 0.0 < (slo := self.slo.get(priority, 0.0)) < math.inf:
                raise InvalidDemandError(
                    "--slo", f"{name_of(priority)} has {slo:g} s; give a time above 0, such as {name_of(priority)}=50ms"
                )

    def _check_mix(self) -> None:
        for priority, share in self.mix.items():
            if priority not in CLASSES:
                raise InvalidDemandError("--mix", f"{name_of(priority)} cannot be planned; name {_NAMES}")
            if not 0.0 <= share <= 1.0:
                raise InvalidDemandError("--mix", f"{name_of(priority)} is {share:g}; give a share from 0 to 1")
        total = sum(self.mix.values())
        if self.rate and abs(total - 1.0) > _TOLERANCE:
            raise InvalidDemandError("--mix", f"the shares add up to {total:g}; they must add up to 1")

    @property
    def tick_rate(self) -> float:
        """Ticks a second of all streams."""
        return self.streams * self.ticks_per_stream

    @property
    def total_rate(self) -> float:
        """Predictions a second: unary requests and ticks."""
        return self.rate + self.tick_rate

    @property
    def tick_share(self) -> float:
        """Part of the predictions that streams ask for."""
        return self.tick_rate / self.total_rate

    @property
    def shares(self) -> dict[PriorityClass, float]:
        """Part of all predictions by class, most urgent first, those without any left out."""
        shares = {}
        for priority in CLASSES:
            rate = self.rate * self.mix.get(priority, 0.0)
            rate += self.tick_rate if priority is self.stream_class else 0.0
            if (share := rate / self.total_rate) > 0.0:
                shares[priority] = share
        return shares


_NAMES = ", ".join(priority.name.lower() for priority in CLASSES)


def name_of(priority: PriorityClass) -> str:
    """Return a class's name as users write it."""
    return priority.name.lower()
