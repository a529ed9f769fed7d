"""How long a run takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from benchmarks.comparison.networks import Network


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """The times of a run; seconds.

    Attributes:
        rounds: Of each network; 0: it is left out.
        warm_up: Traffic before each measured window.
        duration: Each measured window.
        floor: The bare engine's part of a round.
        left_out: Names of scenarios.
    """

    rounds: Mapping[Network, int]
    warm_up: float
    duration: float
    floor: float
    left_out: frozenset[str] = frozenset()


FULL = Length(
    rounds={Network.REAL: 3, Network.NULL: 2, Network.SLOW: 1, Network.WIDE: 1}, warm_up=0.7, duration=2.5, floor=6.0
)
QUICK = Length(
    rounds={Network.REAL: 1, Network.NULL: 1, Network.SLOW: 0, Network.WIDE: 0},
    warm_up=0.4,
    duration=1.2,
    floor=2.0,
    # Servers take most of the time to start and to stop; these are nearest to others that stay.
    left_out=frozenset({"unary_8", "streams_300", "burst", "null_streams_64", "versions"}),
)
