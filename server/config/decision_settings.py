"""The settings of the decision log, as an operator writes them. Owns names, defaults and bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

DecisionMode = Literal["off", "best_effort", "required"]
# Empty, as a manifest may well set it, is not the working directory.
Folder = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]


class DecisionSettings(BaseModel):
    """Whether every request leaves a record that its answer can be derived from again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: DecisionMode = Field(
        default="off",
        description="best_effort drops records that cannot be written, required refuses requests instead "
        "(docs/decision-log.md)",
    )
    path: Folder = Field(
        default=None, description="Folder of the decision log, on the replica's own disk; made if it is not there"
    )
    max_bytes: int = Field(
        default=256 * 1024**2,
        ge=1024**2,
        le=1024**4,
        description="Size at which a file ends and the next begins; a record is about 14 KB",
    )
    files: int = Field(
        default=8, ge=2, le=10_000, description="Most files of one replica; above it the oldest is deleted"
    )
    queue_size: int = Field(
        default=1024,
        ge=16,
        le=1_000_000,
        description="Most records that wait to be written, about 14 KB of memory each",
    )
    fsync: bool = Field(
        default=False,
        description="Whether records are forced to disk as soon as they are written; without it they outlive the "
        "process, not the machine",
    )

    @model_validator(mode="after")
    def _is_somewhere(self) -> DecisionSettings:
        if self.mode != "off" and self.path is None:
            raise ValueError("a decision log needs a folder; set decisions.path, or decisions.mode to off")
        return self
