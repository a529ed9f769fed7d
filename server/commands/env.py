"""`tickserve env`: prints the environment that Ray needs, for shells and manifests."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer

from server.commands.console import fail
from server.config.settings import SettingsError, load_settings
from server.runtime_env import ray_environment


def env(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False) -> None:
    """Print the variables that every process of the Ray cluster needs, as shell commands.

    Example: eval "$(tickserve env)" && serve run server.app:build

    Exit codes: 0 printed; 2 wrong usage, or settings that cannot be used.
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        fail(str(error), code=2)
    if as_json:
        typer.echo(json.dumps(ray_environment(settings)))
        return
    for name, value in ray_environment(settings).items():
        typer.echo(f"export {name}={shlex.quote(value)}")
