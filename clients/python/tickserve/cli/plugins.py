"""Commands that other distributions bring through the entry-point group `tickserve.commands`.

An entry point is a function with typer's annotations, or a `typer.Typer` for a command with sub-commands. It is loaded
when its command is invoked, never for `--help` or for another command: the server's commands may import what they like.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from tickserve.cli.output import fail

__all__ = ("CommandGroup",)

GROUP = "tickserve.commands"
SERVER = "tickserve-server"

_PANEL = "Commands of the server"
# Known without loading anything, so that `--help` tells of them, and they tell what to install where they are missing.
_SERVER_COMMANDS = {
    "serve": "Start the service on this machine.",
    "train": "Train a model and add it to the registry.",
    "env": "Print the environment that `serve run` needs.",
    "demo": "Serve, replay real bars, show the predictions, stop.",
    "replay": "Derive the answers of a decision log again.",
    "keys": "Make, list and revoke API keys.",
    "migrate": "Move callers from the original service to this one.",
    "firewall": "Keep strangers off the ports that must not be public.",
}


class CommandGroup(TyperGroup):
    """The root of the command tree: the client's own commands first, then the others, each loaded on use."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        found = {entry.name: entry for entry in entry_points(group=GROUP)}
        for name in dict.fromkeys([*_SERVER_COMMANDS, *sorted(found)]):
            if name not in self.commands:  # nobody replaces a command of the client's
                self.add_command(LazyCommand(name, found.get(name)))


class LazyCommand(TyperCommand):
    """Stands in for a command until it is invoked.

    Args:
        name: The command's name.
        entry_point: Where it is; None: no installed distribution has it.
    """

    def __init__(self, name: str, entry_point: EntryPoint | None) -> None:
        distribution = entry_point.dist.name if entry_point is not None and entry_point.dist is not None else SERVER
        summary = _SERVER_COMMANDS.get(name, f"Brought by {distribution}; see --help.")
        super().__init__(
            name,
            help=summary if entry_point is not None else f"{summary} [dim](needs {SERVER})[/dim]",
            rich_help_panel=_PANEL,
            rich_markup_mode="rich",
        )
        self._entry_point = entry_point

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Loads the command and lets it parse its arguments.

        Raises:
            typer.Exit: It is not installed or cannot be loaded; code 2.
        """
        return self.loaded().make_context(info_name, args, parent=parent, **extra)

    def loaded(self) -> Any:
        """Returns the command itself.

        Raises:
            typer.Exit: It is not installed or cannot be loaded; code 2.
        """
        name = str(self.name)
        if self._entry_point is None:
            raise fail(
                f"`tickserve {name}` comes with the distribution {SERVER}, which is not installed here"
                " or is too old to have it.",
                hint=f"pip install --upgrade {SERVER}",
                code=2,
            )
        try:
            target = self._entry_point.load()
        except ImportError as error:
            raise fail(
                f"`tickserve {name}` is installed but cannot be loaded: {error}",
                hint=f"pip install --upgrade --force-reinstall {SERVER}",
                code=2,
            ) from error
        return _as_command(name, target)


def _as_command(name: str, target: Any) -> Any:
    # Two commands make typer build a group, from which the wanted one is taken with its own name.
    app = typer.Typer(add_completion=False)
    app.callback()(lambda: None)
    if isinstance(target, typer.Typer):
        app.add_typer(target, name=name)
    else:
        app.command(name)(target)
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands[name]
