"""`tickserve bench compare`: what moved between two results?"""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tickserve.bench.comparison import Moved, compare
from tickserve.cli.options import Json
from tickserve.cli.output import FAILED, as_json, print_json, reported, table

__all__ = ("compare_results",)

_COLOURS = {"better": "green", "worse": "red", "same": ""}


def compare_results(
    before: Annotated[Path, typer.Argument(metavar="A", help="A result: JSON that a benchmark wrote.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    tolerance: Annotated[float, typer.Option("--tolerance", help="Share that a figure may differ by.")] = 0.1,
    json: Json = False,
) -> None:
    """Compare two results, figure by figure: B over A.

    Reads what `tickserve bench latency|load --out` writes, and benchmarks/results.json. A figure is better or worse if
    it moved by more than the tolerance and, where it was taken in rounds, no round of one lies within the other's.
    Two runs at different times differ by what the machine did besides, too.

    Example: tickserve bench compare before.json after.json

    Exit codes: 0 nothing is worse; 1 a figure is worse; 2 wrong usage, or no result.
    """
    with reported("", as_json=json):
        moved = compare(_read(before), _read(after), tolerance=tolerance)
    worse = [each for each in moved if each.verdict == "worse"]
    if json:
        print_json({"figures": as_json(moved), "ok": not worse})
    else:
        Console().print(_table(moved))
    if worse:
        raise typer.Exit(FAILED)


def _read(path: Path) -> dict[str, Any]:
    """Reads a result.

    Raises:
        ValueError: It is no JSON object.
        OSError: It cannot be read.
    """
    try:
        document = json_module.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise ValueError(f"{path} holds no JSON object, which a result is")
    return document


def _table(moved: list[Moved]) -> Any:
    shown = table("Figure", ">A", ">B", ">B / A", "")
    for each in moved:
        colour = _COLOURS[each.verdict]
        shown.add_row(
            each.name,
            f"{each.before.value:.4g}",
            f"{each.after.value:.4g}",
            "-" if each.ratio is None else f"{each.ratio:.3g}",
            f"[{colour}]{each.verdict}[/]" if colour else each.verdict,
        )
    return shown
