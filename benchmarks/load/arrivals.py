"""When an open loop sends: the client's arrivals, and bursts on top of them."""

from __future__ import annotations

import random

from benchmarks.load.plan import Traffic
from tickserve.bench.arrivals import even_arrivals, poisson_arrivals


def schedule(traffic: Traffic, *, length: float, seed: int) -> list[float]:
    """Returns the instants of an open loop, in seconds from its beginning, ascending, all below `length`.

    Args:
        traffic: Rate, kind of arrivals and bursts.
        length: Seconds.
        seed: Of the Poisson process, and of the phase at which even arrivals begin.
    """
    instants: list[float] = []
    if traffic.rate > 0:
        arrivals = even_arrivals if traffic.arrivals == "even" else poisson_arrivals
        instants += arrivals(traffic.rate, length, random.Random(seed))
    if traffic.burst_size:
        burst = traffic.burst_interval / 2  # the first is not at the very beginning, where nothing else runs yet
        while burst < length:
            instants += [burst] * traffic.burst_size
            burst += traffic.burst_interval
    return sorted(instants)
