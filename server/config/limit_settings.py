"""The settings of what one caller may ask for, as an operator writes them. Owns names, defaults and bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from server.config.redis_fields import RedisUrl
from server.grant import RateLimit

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class LimitSettings(BaseModel):
    """Defaults for API keys without limits of their own, where limits are shared, and the size of metadata."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default_rate: NotNegative = Field(
        default=0.0,
        description="Requests a second of each class that a key without a limit of its own may send, and all callers "
        "without a key together; of the whole deployment. 0: no limit",
    )
    default_burst: NotNegative = Field(
        default=0.0, description="Requests that default_rate lets come at once; 0: those of one second, at least one"
    )
    max_streams_per_key: int = Field(
        default=0,
        ge=0,
        description="Most streams that a key without a limit of its own may have open at once, and all callers without "
        "a key together; of the whole deployment. 0: no limit",
    )
    redis_url: RedisUrl = Field(
        default="",
        repr=False,  # may hold a password
        description="Redis in which replicas share the rate limits; empty: windows.redis_url where windows.store is "
        "redis, else each replica takes its even share",
    )
    max_metadata_bytes: int = Field(
        default=4096,
        ge=1024,
        le=7168,  # gRPC itself begins to refuse at 8 KiB, the transport's own headers included
        description="Most bytes of a call's metadata, names and values and 32 for each entry; above it LIMIT_EXCEEDED",
    )
    max_metadata_entries: int = Field(
        default=64, ge=8, le=96, description="Most entries of a call's metadata; above it LIMIT_EXCEEDED"
    )

    refusal_hold: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Seconds at most, and at most a quarter of the time that the caller has left, for which a refusal "
        "that another replica may do better is kept back, so that a slow replica draws less traffic "
        "(docs/graceful-life.md); 0: refuse at once",
    )

    def default_limit(self) -> RateLimit | None:
        """Returns the limit of a class for which a key has none of its own; None: there is none."""
        if not self.default_rate:
            return None
        return RateLimit(rate=self.default_rate, burst=max(1.0, self.default_burst or self.default_rate))
