"""The settings of the symbols' windows, as an operator writes them. Owns names, defaults and bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from server.config.redis_fields import RedisUrl

# Longer than a weekend with a holiday beside it: a symbol that only trades on weekdays is not forgotten between them.
_WEEK = 7 * 86_400.0

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class WindowSettings(BaseModel):
    """Where windows are kept, how much of them, and how long their store may take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: Literal["memory", "redis"] = Field(
        default="memory",
        description="Where windows live: in the one replica's memory, or in a Redis that replicas share",
    )
    allow_split: bool = Field(
        default=False,
        description="Whether several replicas may each keep windows in memory that the others do not know",
    )
    # Not a secret type: settings travel to the replicas as JSON, which would carry its asterisks. `repr` hides it.
    redis_url: RedisUrl = Field(
        default="",
        repr=False,
        description="The Redis: redis://[user[:password]@]host:port/database (rediss:// with TLS), unix:///path or, "
        "through Sentinels, redis+sentinel://[user[:password]@]host:26379,host2:26379/service/database "
        "(rediss+sentinel:// with TLS); a password is better kept in redis_password_file",
    )
    redis_connections: int = Field(default=16, ge=2, le=1024, description="Most connections of a replica to the Redis")
    resume_depth: int = Field(
        default=60,
        ge=0,
        le=1440,
        description="Closed bars before the newest window that a returning client may ask again",
    )
    lateness_bound: NotNegative = Field(
        default=0.0,
        description="Seconds after a bar's end for which late trades still enter it; it closes that much later",
    )
    max_event_lead: NotNegative = Field(
        default=86_400.0,
        description="Seconds by which an event may be ahead of the server's clock; a later one would close all bars",
    )
    time_to_live: Annotated[float, Field(ge=60, le=365 * 86_400)] = Field(
        default=_WEEK, description="Seconds without a stream after which the Redis forgets a symbol"
    )
    flush_interval: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.005, description="Seconds between two writes to the Redis; the first after a pause goes at once"
    )
    read_timeout: Annotated[float, Field(gt=0, le=10)] = Field(
        default=0.05, description="Seconds that the Redis has to tell a symbol's window; then STORE_UNAVAILABLE"
    )
    write_timeout: Annotated[float, Field(gt=0, le=60)] = Field(
        default=1.0,
        description="Seconds that the Redis has for one chunk of writes or of an open; then it is tried again",
    )

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> WindowSettings:
        if self.store == "redis" and not self.redis_url:
            raise ValueError("store redis needs redis_url, as in redis://host:6379/0")
        return self
