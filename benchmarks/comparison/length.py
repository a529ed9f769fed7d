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
    """

    rounds: Mapping[Network, int]
    warm_up: float
    duration: float
    floor: float


FULL = Length(
    rounds={Network.REAL: 3, Network.NULL: 3, Network.SLOW: 2, Network.WIDE: 2}, warm_up=0.7, duration=2.5, floor=6.0
)
QUICK = Length(
    rounds={Network.REAL: 1, Network.NULL: 1, Network.SLOW: 0, Network.WIDE: 0}, warm_up=0.5, duration=1.5, floor=2.0
)
