"""The settings of the kill switch, as an operator writes them. Owns names and defaults."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from server.config.fields import OptionalPath
from server.config.redis_fields import RedisUrl


class HaltSettings(BaseModel):
    """Where halts are kept, and what holds while that cannot be reached."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    folder: OptionalPath = Field(
        default=None,
        description="Folder of the file of halts, which the service writes; the same on every node that shares it. "
        "Unset: `.state` in the registry. Not used with a Redis (docs/kill-switch.md)",
    )
    redis_url: RedisUrl = Field(
        default="",
        repr=False,  # may hold a password
        description="Redis that keeps the halts of several machines; empty: windows.redis_url where windows.store is "
        "redis, else they are in a file",
    )
    fail_closed: bool = Field(
        default=True,
        description="Whether a replica that has not been able to read what is halted since its start refuses every "
        "prediction; one that has read it once goes on with what it knows, either way",
    )
