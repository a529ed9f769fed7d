"""How long a run takes."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """Seconds, and how often.

    Attributes:
        rounds: Of one replica and two, in turns.
        warm_up: Traffic before each measured window.
        duration: Of each measured window with the small network.
        costs: Of the window for each number of callers that the real network's batches are timed with.
        calibration: Of the window that the prediction takes its costs from.
        live: Of each window that is predicted.
        live_runs: How many of those.
    """

    rounds: int
    warm_up: float
    duration: float
    costs: float
    calibration: float
    live: float
    live_runs: int


FULL = Length(rounds=2, warm_up=1.5, duration=5.0, costs=4.0, calibration=8.0, live=15.0, live_runs=3)
QUICK = Length(rounds=1, warm_up=1.0, duration=3.0, costs=2.0, calibration=4.0, live=6.0, live_runs=1)
