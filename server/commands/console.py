"""How the server's commands speak to a terminal."""

from __future__ import annotations

from typing import NoReturn

import typer
from rich.console import Console


def fail(message: str, *, code: int = 1) -> NoReturn:
    """Says on standard error why a command cannot go on, and ends it.

    Args:
        message: What is wrong and the remedy.
        code: Exit code: 1 refused or failed, 2 wrong usage.
    """
    # No markup: messages hold brackets of their own, in paths and in what other programs said.
    Console(stderr=True).print(f"error: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
