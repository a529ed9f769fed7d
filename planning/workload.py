"""Owns what a named workload is. Must not know any in particular."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from planning.engine import Slowdown
from planning.traffic import Traffic


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large a run is.

    Attributes:
        requests: About how many requests are to be sent in all.
        capacity: The most requests a second that the engine can answer; loads are multiples of it.
    """

    requests: int
    capacity: float


def _no_slowdowns(_duration: float) -> Sequence[Slowdown]:
    return ()


@dataclass(frozen=True, kw_only=True)
class Workload:
    """One experiment's traffic and the engine's misfortunes in it.

    Attributes:
        name: In the report and on the command line.
        description: One line for the report.
        traffic: Draws the traffic of a run.
        slowdowns: Given the traffic's duration, when the engine is slow.
    """

    name: str
    description: str
    traffic: Callable[[np.random.Generator, Scale], Traffic]
    slowdowns: Callable[[float], Sequence[Slowdown]] = field(default=_no_slowdowns)
