"""How long a run takes, and how much of everything it measures."""

from __future__ import annotations

import dataclasses

SYMBOLS = 1000
"""Symbols of the backfill and of the overload."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long a run takes; seconds.

    Attributes:
        rounds: Of the comparison with unary calls.
        redis_rounds: Of the one with windows in Redis.
        warm_up: Traffic before each measured window.
        duration: Each measured window.
        overload: The measured window of the overload.
        memory_symbols: Symbols whose memory is measured; at least `SYMBOLS`, of whose backfill the time is taken.
        idle_streams: Idle streams whose memory is measured.
        exact_sample: Symbols whose windows are compared after the overload.
    """

    rounds: int
    redis_rounds: int
    warm_up: float
    duration: float
    overload: float
    memory_symbols: int
    idle_streams: int
    exact_sample: int


FULL = Length(
    rounds=3,
    redis_rounds=2,
    # A turn of a thousand in flight takes nearly as long.
    warm_up=1.5,
    duration=2.5,
    overload=8.0,
    memory_symbols=10_000,
    idle_streams=500,
    exact_sample=50,
)
QUICK = Length(
    rounds=1,
    redis_rounds=1,
    warm_up=0.5,
    duration=1.0,
    overload=3.0,
    memory_symbols=1_000,
    idle_streams=500,
    exact_sample=20,
)
