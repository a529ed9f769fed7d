"""What all commands print alike: errors as one panel, values as JSON, and the exit codes."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import numpy as np
import typer
from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tickserve.errors import DeadlineError, TickserveError, TransportError

__all__ = ("as_json", "fail", "milliseconds", "print_json", "reported", "span", "table")

FAILED = 1
USAGE = 2
UNREACHABLE = 3


@contextmanager
def reported(target: str, *, as_json: bool = False) -> Iterator[None]:
    """Shows what goes wrong inside as one panel (or one JSON object) and exits with the code that belongs to it.

    Raises:
        typer.Exit: Something went wrong.
    """
    try:
        yield
    except TickserveError as error:
        code = _exit_code(error)
        if as_json:
            print_json({"error": _describe(error)})
        else:
            Console(stderr=True).print(_error_panel(error, target if code == UNREACHABLE else None))
        raise typer.Exit(code) from error
    except (ValueError, OSError) as error:  # what the caller typed, or the file behind it
        if as_json:
            print_json({"error": {"reason": "USAGE", "message": str(error)}})
            raise typer.Exit(USAGE) from error
        raise fail(str(error), code=USAGE) from error


def fail(message: str, *, hint: str = "", code: int = FAILED) -> typer.Exit:
    """Prints a panel and gives the exit to raise."""
    lines = [Text(message)]
    if hint:
        lines.append(Text(f"try: {hint}", style="bold"))
    Console(stderr=True).print(Panel(Group(*lines), title="Error", border_style="red", title_align="left"))
    return typer.Exit(code)


def as_json(value: Any) -> Any:
    """Gives plain JSON values for this package's; spans stay seconds, instants become ISO 8601."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        label = getattr(value, "label", None)  # a property, and what most readers of a prediction want first
        return plain if label is None else {"label": label, **plain}
    if isinstance(value, TickserveError):
        return _describe(value)
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(entry) for entry in value]
    return value


def print_json(value: Any) -> None:
    """Prints one value as one line of JSON."""
    typer.echo(json.dumps(as_json(value)))


def table(*columns: str, title: str | None = None) -> Table:
    """Makes a table in the house style; a column's name with a leading `>` is aligned to the right."""
    heading = None if title is None else Text(title, style="bold")  # a name in it must not be read as markup
    made = Table(title=heading, box=box.SIMPLE_HEAD, title_justify="left")
    for column in columns:
        made.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return made


def milliseconds(seconds: float) -> str:
    """Writes a short span, as in `1.25 ms`."""
    return f"{seconds * 1e3:.2f} ms"


def span(seconds: float) -> str:
    """Writes a long span in its largest sensible unit, as in `1 h` or `90 s`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _exit_code(error: TickserveError) -> int:
    # Without a reason of tickserve's, it was not tickserve that answered in time.
    unreachable = isinstance(error, TransportError) or (isinstance(error, DeadlineError) and not error.reason)
    return UNREACHABLE if unreachable else FAILED


def _describe(error: TickserveError) -> dict[str, Any]:
    return {
        "reason": error.reason,
        "code": error.code.name,
        "message": error.message,
        "metadata": error.metadata,
        "retry_delay": error.retry_delay,
        "fields": as_json(error.fields),
    }


def _error_panel(error: TickserveError, target: str | None) -> Panel:
    lines: list[Text | Table] = [Text(error.message)]
    if error.fields:
        rows = table("Field", "Problem")
        for violation in error.fields:
            rows.add_row(Text(violation.field), Text(violation.description))
        lines.append(rows)
    if error.metadata:
        lines.append(Text(", ".join(f"{key} = {value}" for key, value in error.metadata.items()), style="dim"))
    if error.retry_delay is not None:
        lines.append(Text(f"try again in {milliseconds(error.retry_delay)}", style="bold"))
    if target is not None:
        lines.append(Text(f"Is the service up at {target}? Set --target or TICKSERVE_TARGET, or start it with", "dim"))
        lines.append(Text("tickserve serve", style="bold"))
    title = f"{error.reason} ({error.code.name})" if error.reason else error.code.name
    return Panel(Group(*lines), title=title, border_style="red", title_align="left")
