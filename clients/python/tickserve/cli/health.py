"""`tickserve health`: is it up?"""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from tickserve.cli.options import DEFAULT_TARGET, Json, Target, Timeout
from tickserve.cli.output import FAILED, print_json, reported
from tickserve.client import Client

__all__ = ("health",)


def health(
    service: Annotated[
        str, typer.Option("--service", help="What to ask about: a service's or a model's name.", show_default="all")
    ] = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 2.0,
    json: Json = False,
) -> None:
    """Tell whether the service is SERVING; the exit code is 0 only then.

    Example: tickserve health --service tickserve.v1.PredictionService
    """
    with reported(target, as_json=json), Client(target) as client:
        state = client.health(service, timeout=timeout)
    if json:
        print_json({"target": target, "service": service, "state": state})
    else:
        style = "bold green" if state == "SERVING" else "bold red"
        Console().print(f"[{style}]{state}[/{style}]  {target}{f'  {service}' if service else ''}", highlight=False)
    if state != "SERVING":
        raise typer.Exit(FAILED)
