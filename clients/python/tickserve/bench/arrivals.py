"""When an open loop sends: instants fixed in advance, so that a slow service cannot slow its own measurement."""

from __future__ import annotations

import random
from collections.abc import Iterator

__all__ = ("even_arrivals", "poisson_arrivals")


def even_arrivals(rate: float, length: float, source: random.Random) -> Iterator[float]:
    """Yields evenly spaced instants from [0, `length`) seconds, `rate` a second, > 0.

    They begin at a random phase, so that two loops do not march in step.

        >>> instants = list(even_arrivals(4, 1.0, random.Random(7)))
        >>> len(instants), round(instants[1] - instants[0], 9)
        (4, 0.25)
    """
    gap = 1 / rate
    phase = source.random() * gap
    count = 0
    while (instant := phase + count * gap) < length:  # not summed up: no drift over a million sends
        yield instant
        count += 1


def poisson_arrivals(rate: float, length: float, source: random.Random) -> Iterator[float]:
    """Yields the instants of a Poisson process from [0, `length`) seconds, on average `rate` a second, > 0.

    Callers who know nothing of each other arrive like this: now and then several at once.
    """
    instant = source.expovariate(rate)
    while instant < length:
        yield instant
        instant += source.expovariate(rate)
