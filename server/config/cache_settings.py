"""The settings of what a replica remembers of its answers, as an operator writes them. Owns names, defaults, bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.config.redis_fields import RedisUrl
from server.config.scheduler_settings import Seconds

Span = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]


class CacheSettings(BaseModel):
    """How long and how much of its answers a replica keeps, to give them again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(
        default=True, description="Whether an answer is given again to an identical window (not with bypass_cache)"
    )
    max_bytes: int = Field(
        default=64 * 1024**2,
        ge=1024**2,
        le=64 * 1024**3,
        description="Memory for kept answers, about 1.6 KB each; above it the least recently used one makes room",
    )
    ttl: Span = Field(default=60.0, description="Seconds for which an answer is kept")
    redis_url: RedisUrl = Field(
        default="",
        repr=False,  # may hold a password
        description="Redis in which replicas share their answers, named as windows.redis_url is; empty: none",
    )
    redis_ttl: Span = Field(default=300.0, description="Seconds for which Redis keeps an answer")
    redis_timeout: Annotated[Seconds, Field(le=0.1)] = Field(
        default=0.002,
        description="Seconds that a request waits for Redis; one that has not ten times as long left does not ask",
    )
    request_id_window: float = Field(
        default=60.0,
        ge=0,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds for which the answer to a request_id is given again to the same caller; 0: never",
    )
    request_id_entries: int = Field(
        default=100_000, ge=1, description="Most answers kept by request_id; above it the oldest one is forgotten"
    )
    request_id_bytes: int = Field(
        default=64 * 1024**2, ge=1024**2, description="Memory for answers kept by request_id; above it likewise"
    )

    @model_validator(mode="after")
    def _levels_agree(self) -> CacheSettings:
        if self.redis_url and not self.enabled:
            raise ValueError("redis_url is a second level and needs the first; set cache.enabled, or leave it out")
        return self
