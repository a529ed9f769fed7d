"""The command tree: the client's own commands, and those that other distributions bring."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from tickserve.cli import bench
from tickserve.cli.backfill import backfill
from tickserve.cli.halt import halt, halts, resume
from tickserve.cli.health import health
from tickserve.cli.models import models
from tickserve.cli.plugins import CommandGroup
from tickserve.cli.predict import predict
from tickserve.cli.stats import stats
from tickserve.cli.stream import stream

__all__ = ("build_app",)

_EPILOG = """\
[bold]Exit codes[/bold]: 0 done · 1 refused or failed · 2 wrong usage, or the command is not installed ·
3 the service cannot be reached.

[bold]TICKSERVE_TARGET[/bold] sets the service's address for all commands, [bold]TICKSERVE_API_KEY[/bold] their API key.
"""


def build_app() -> typer.Typer:
    """Makes the command tree anew, so that nothing is shared between two runs in one process."""
    app = typer.Typer(
        name="tickserve",
        cls=CommandGroup,
        epilog=_EPILOG,
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for command in (predict, stream, backfill, models, stats, health, halt, resume, halts):
        app.command()(command)
    app.add_typer(bench.app, name="bench")
    return app


def _root(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=lambda wanted: _print_version(wanted=wanted))
    ] = False,
) -> None:
    """Asks tickserve for market predictions, and looks after the service."""


def _print_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"tickserve {version('tickserve')}")
        raise typer.Exit
