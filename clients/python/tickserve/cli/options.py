"""Options that several commands share."""

from __future__ import annotations

import enum
from typing import Annotated

import typer

from tickserve.channel import DEFAULT_TARGET

__all__ = ("DEFAULT_TARGET", "Json", "ModelName", "PriorityChoice", "PriorityOption", "Target", "Timeout")


class PriorityChoice(enum.StrEnum):
    """The priorities, as they are typed."""

    REAL_TIME = "real_time"
    STANDARD = "standard"
    BACKGROUND = "background"


Target = Annotated[str, typer.Option("--target", "-t", envvar="TICKSERVE_TARGET", help="Address of the service.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Timeout = Annotated[float, typer.Option("--timeout", help="Seconds allowed for the answer.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="NAME[:VERSION]", help="Model that answers.", show_default="the service's"),
]
PriorityOption = Annotated[PriorityChoice, typer.Option("--priority", "-p", help="How urgent it is.")]
