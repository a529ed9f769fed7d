"""The settings of the models in memory, as an operator writes them. Owns names, defaults and bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from server.config.scheduler_settings import Seconds

Pin = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}:[1-9][0-9]{0,17}$")]


class ModelSettings(BaseModel):
    """Which versions are kept in memory, and where what is compiled for them is kept on disk."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory_bytes: int = Field(
        default=2 * 1024**3,
        ge=1024**2,
        description="Memory for loaded versions; above it the least recently used ones make room",
    )
    idle_timeout: Seconds = Field(
        default=3600.0, description="Seconds without a request after which a version leaves memory"
    )
    pinned: tuple[Pin, ...] = Field(
        default=(), description="Versions that are loaded at the start and never leave memory, as name:version"
    )
    poll_interval: Seconds = Field(
        default=5.0, description="Seconds between two looks for new versions in the registry; they replace the latest"
    )
    compiled_cache: Path | None = Field(
        default=Path("~/.cache/tickserve"),
        description="Folder of compiled models, readable by this user alone; empty string: none, compile at each start",
    )

    @field_validator("compiled_cache", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        """An environment variable cannot say None."""
        return None if value == "" else value
