"""`tickserve env`: prints the environment that Ray needs, for shells and manifests."""

from __future__ import annotations

import shlex

import typer

from server.commands.console import fail
from server.config.settings import SettingsError, load_settings
from server.runtime_env import ray_environment


def env() -> None:
    """Print the variables that every process of the Ray cluster needs, as shell commands.

    Use it as: eval "$(tickserve env)" && serve run server.app:build
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        fail(str(error), code=2)
    for name, value in ray_environment(settings).items():
        typer.echo(f"export {name}={shlex.quote(value)}")
