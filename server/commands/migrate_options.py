"""What the commands of `tickserve migrate` take alike."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from server.commands.console import fail

Folder = Annotated[
    Path,
    typer.Option(envvar="TICKSERVE_MIGRATION_FOLDER", help="Where the split's shares and socket lie; no spaces."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_HIGHEST_PORT = 65535


def address(text: str, option: str) -> str:
    """Returns `host:port`, or ends the command, naming the option."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) <= _HIGHEST_PORT:
        fail(f"{option} is HOST:PORT, such as 127.0.0.1:8100, not {text!r}.", code=2)
    return text


def host_and_port(text: str, option: str) -> tuple[str, int]:
    """Returns the two parts of an address, an IPv6 host without its brackets."""
    host, _, port = address(text, option).rpartition(":")
    return host.strip("[]"), int(port)
