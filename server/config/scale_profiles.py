"""Named sets of scaling values, for the times of a trading day: how many replicas, and how fast their number follows.

Owns the figures of the original design's profiles, under the names that Ray Serve gives them today; docs/autoscaling.md
says of every value of the originals where it is. A profile is the weakest source: whatever is set singly wins over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ScaleProfileName = Literal["default", "market_hours", "off_hours", "stress_test"]

Replicas = Annotated[int, Field(ge=1, le=10_000)]
Delay = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ScaleProfile(BaseModel):
    """The values of one profile; times in seconds.

    Attributes:
        min_replicas: Fewest replicas.
        max_replicas: Most replicas.
        target_ongoing_requests: Unary requests that a replica should have in hand on average; open streams are none.
        upscale_delay_s: For how long more replicas must be wanted without a pause before they come.
        downscale_delay_s: For how long fewer must be wanted before some go.
        upscaling_factor: Part of the missing replicas that come at once; above 1 more than are missing.
        downscaling_factor: Part of the superfluous replicas that go at once; at least one goes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_replicas: Replicas
    max_replicas: Replicas
    target_ongoing_requests: Positive
    upscale_delay_s: Delay
    downscale_delay_s: Delay
    upscaling_factor: Positive
    downscaling_factor: Positive


SCALE_PROFILES: Mapping[ScaleProfileName, ScaleProfile] = {
    "default": ScaleProfile(
        min_replicas=2,
        max_replicas=20,
        target_ongoing_requests=5,
        upscale_delay_s=30,
        # The originals say 60 in one place and 300 in another. A replica needs some twenty seconds to come, so the
        # slower one: to keep one too long costs little beside fetching it back.
        downscale_delay_s=300,
        upscaling_factor=1.0,
        downscaling_factor=0.5,
    ),
    "market_hours": ScaleProfile(
        min_replicas=5,
        max_replicas=30,
        target_ongoing_requests=3,
        upscale_delay_s=15,
        downscale_delay_s=120,
        upscaling_factor=1.5,
        downscaling_factor=0.3,
    ),
    "off_hours": ScaleProfile(
        min_replicas=2,
        max_replicas=10,
        target_ongoing_requests=10,
        upscale_delay_s=60,
        downscale_delay_s=300,
        upscaling_factor=1.0,
        downscaling_factor=0.5,
    ),
    "stress_test": ScaleProfile(
        min_replicas=10,
        max_replicas=50,
        target_ongoing_requests=2,
        upscale_delay_s=5,
        downscale_delay_s=60,
        upscaling_factor=2.0,
        downscaling_factor=0.1,
    ),
}
