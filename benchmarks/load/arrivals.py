"""When an open loop sends: instants fixed in advance, so that a slow server cannot slow its own measurement."""

from __future__ import annotations

import random
from collections.abc import Iterator

from benchmarks.load.plan import Traffic


def schedule(traffic: Traffic, *, length: float, seed: int) -> list[float]:
    """Returns the instants of an open loop, in seconds from its beginning, ascending, all below `length`.

    Args:
        traffic: Rate, kind of arrivals and bursts.
        length: Seconds.
        seed: Of the Poisson process; even arrivals begin at a random phase, so that two loops do not march in step.
    """
    source = random.Random(seed)
    instants = list(_steady(traffic, length, source))
    if traffic.burst_size:
        burst = traffic.burst_interval / 2  # the first is not at the very beginning, where nothing else runs yet
        while burst < length:
            instants += [burst] * traffic.burst_size
            burst += traffic.burst_interval
    return sorted(instants)


def _steady(traffic: Traffic, length: float, source: random.Random) -> Iterator[float]:
    if traffic.rate <= 0:
        return
    if traffic.arrivals == "even":
        gap = 1 / traffic.rate
        phase = source.random() * gap
        count = 0
        while (instant := phase + count * gap) < length:  # not summed up: no drift over a million sends
            yield instant
            count += 1
        return
    instant = source.expovariate(traffic.rate)
    while instant < length:
        yield instant
        instant += source.expovariate(traffic.rate)
