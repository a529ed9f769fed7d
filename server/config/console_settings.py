"""The settings of the live console, as an operator writes them. Owns names, defaults, bounds."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ConsoleSettings(BaseModel):
    """Who may look at the console; it asks nobody for a name, so whoever reaches the HTTP port may."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_viewers: int = Field(
        default=16, ge=0, le=1000, description="Consoles that one replica serves at once; 0: no console"
    )
