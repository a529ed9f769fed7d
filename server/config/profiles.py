"""Named sets of scheduling values, for the times of a trading day and for what tickserve replaces.

Owns the four profiles of the platform's original design, each complete. A profile is the weakest source of settings:
whatever is set singly wins over it. The figures 64 and 5 ms of `market_hours`, 32 and 10 ms of `legacy` are the
original's; the others are ours, and docs/scheduling.md says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict

from server.config.scheduler_settings import ClassTimeouts, ClassWaits, SchedulerSettings, Seconds

ProfileName = Literal["", "market_hours", "off_hours", "stress_test", "legacy"]

PROFILE_VARIABLE = "BATCH_CONFIG_PROFILE"
"""The original's variable; `TICKSERVE_PROFILE` and the file win over it."""


class Profile(BaseModel):
    """The values of one profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    compile: bool
    scheduler: SchedulerSettings
    default_timeouts: ClassTimeouts
    max_timeout: Seconds


PROFILES: Mapping[str, Profile] = {
    # Urgent calls first: short batches, and background work may wait.
    "market_hours": Profile(
        compile=True,
        scheduler=SchedulerSettings(
            max_batch_size=64,
            max_queue_delay=0.005,
            max_wait=ClassWaits(real_time=0.1, standard=0.5, background=2.0),
            adaptive=True,
        ),
        default_timeouts=ClassTimeouts(real_time=0.1, standard=1.0, background=30.0),
        max_timeout=300.0,
    ),
    # Throughput first: long batches, long queues, generous timeouts.
    "off_hours": Profile(
        compile=True,
        scheduler=SchedulerSettings(
            max_batch_size=128,
            max_batch_duration=0.1,
            max_queue_delay=0.01,
            max_queue_size=16_384,
            max_total_queue_size=32_768,
            max_wait=ClassWaits(real_time=0.25, standard=2.0, background=10.0),
            adaptive=True,
        ),
        default_timeouts=ClassTimeouts(real_time=0.25, standard=5.0, background=120.0),
        max_timeout=600.0,
    ),
    # Sheds early and never holds back, so that a load test meets the limits and not the memory.
    "stress_test": Profile(
        compile=True,
        scheduler=SchedulerSettings(
            max_batch_size=128,
            max_queue_delay=0.0,
            max_queue_size=1024,
            max_total_queue_size=2048,
            max_wait=ClassWaits(real_time=0.1, standard=0.5, background=2.0),
            adaptive=True,
        ),
        default_timeouts=ClassTimeouts(real_time=0.1, standard=1.0, background=10.0),
        max_timeout=60.0,
    ),
    # As the service that tickserve replaces: fixed batches, no predictions, not compiled.
    "legacy": Profile(
        compile=False,
        scheduler=SchedulerSettings(
            max_batch_size=32,
            max_queue_delay=0.01,
            max_wait=ClassWaits(real_time=0.1, standard=0.5, background=2.0),
            adaptive=False,
            admission=False,
        ),
        default_timeouts=ClassTimeouts(real_time=1.0, standard=10.0, background=60.0),
        max_timeout=300.0,
    ),
}
