"""The load: calls a second over time, and the instants of a Poisson process that follows it. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """Low, up, high, down, low; seconds and calls a second.

    Attributes:
        low: Rate before and after.
        high: Rate at the top.
        calm: Length of the first part at the low rate.
        rise: Length of the way up.
        hold: Length at the top.
        fall: Length of the way down.
        rest: Length of the last part at the low rate.
    """

    low: float
    high: float
    calm: float
    rise: float
    hold: float
    fall: float
    rest: float

    @property
    def seconds(self) -> float:
        """How long it takes in all."""
        return self.calm + self.rise + self.hold + self.fall + self.rest

    def rate(self, at: float) -> float:
        """Returns the calls a second at a moment, seconds from the start."""
        at -= self.calm
        if 0 < at < self.rise:
            return self.low + (self.high - self.low) * at / self.rise
        at -= self.rise
        if 0 <= at <= self.hold:
            return self.high
        at -= self.hold
        if 0 < at < self.fall:
            return self.high - (self.high - self.low) * at / self.fall
        return self.low

    def instants(self, seed: int) -> Iterator[float]:
        """Yields when calls are made, seconds from the start: those of the highest rate, thinned to the rate then."""
        chance = random.Random(seed)
        at = 0.0
        while (at := at + chance.expovariate(self.high)) < self.seconds:
            if chance.random() * self.high < self.rate(at):
                yield at
