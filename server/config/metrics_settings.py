"""The settings of the metrics, as an operator writes them. Owns names, defaults and bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

# Empty, as a manifest may well set it, is not the working directory.
Folder = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]


class MetricsSettings(BaseModel):
    """What is counted, and where it is scraped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Whether anything is counted (docs/metrics.md)")
    host: str = Field(default="127.0.0.1", description="Address on which a node's metrics are scraped")
    port: int = Field(
        default=9464,
        ge=0,
        le=65535,
        description="Port of it; one replica holds it for all of its node; 0: only /metrics on the HTTP port",
    )
    directory: Folder = Field(
        default=None,
        description="Folder in which a node's replicas count together, on a disk of the node; empty: the system's one "
        "for temporary files",
    )
