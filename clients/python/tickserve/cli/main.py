"""Entry point of the `tickserve` script. Must work, and say something useful, without typer and rich."""

from __future__ import annotations

import importlib.util
import sys

__all__ = ("main",)

_MISSING = """\
The tickserve command line needs {names}, which the client library alone does not.
Install with: pip install 'tickserve[cli]'
"""


def main() -> None:
    """Runs the command line and exits with its code; 2 where the extra `cli` is not installed."""
    missing = [name for name in ("typer", "rich") if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(_MISSING.format(names=" and ".join(missing)))
        raise SystemExit(2)
    from tickserve.cli.app import build_app

    build_app()()
