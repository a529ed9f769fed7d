"""Types of settings that several groups share. Owns their bounds; no names, no defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

Port = Annotated[int, Field(ge=1, le=65535)]
# Empty, as a manifest may well set it, is not the working directory.
OptionalPath = Annotated[Path | None, BeforeValidator(lambda value: None if value == "" else value)]
