"""The settings of the check that a replica makes of its own engine, as an operator writes them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from server.config.scheduler_settings import Seconds

SHORTEST_INTERVAL = 1.0
"""Seconds between two checks at the least, whoever asks."""


class HealthSettings(BaseModel):
    """How often a replica computes a window of its own to see that its engine works, and what is slow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    deep_interval: float = Field(
        default=10.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds between two deep checks, inferences of a dummy window (docs/health.md); 0: on demand only",
    )
    deep_patience: Annotated[Seconds, Field(le=60)] = Field(
        default=2.0,
        description="Seconds that a deep check waits for an idle engine; after them it is skipped, and says so",
    )
    degraded_above: Seconds = Field(
        default=0.1, description="Seconds in the engine from which a deep check says degraded instead of healthy"
    )
    loop_timeout: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        allow_inf_nan=False,
        description="Seconds without a turn of the event loop after which the process ends, to be replaced; 0: never",
    )

    @field_validator("deep_interval")
    @classmethod
    def _seldom(cls, value: float) -> float:
        if 0 < value < SHORTEST_INTERVAL:
            raise ValueError(f"give at least {SHORTEST_INTERVAL:g} s, or 0 for checks on demand only")
        return value
