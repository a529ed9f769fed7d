"""`tickserve keys`: makes, lists and revokes API keys in the file that the service reads."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from batching import PriorityClass
from server.commands.console import fail
from server.config.settings import SettingsError, load_settings
from server.grant import Grant, RateLimit
from server.security.api_key import ALL_METHODS, ApiKey, digest_of, is_key_id, new_secret, token_of
from server.security.key_file import ClassName, KeyFileError, changing, read_keys

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys (docs/api-keys.md).")

File = Annotated[
    Path | None, typer.Option("--file", metavar="FILE", help="File of keys.", show_default="security.keys_file")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="The key's id, which logs and limits name its holder by.")]

_USAGE = 2
_METHOD = re.compile(r"[A-Za-z]{1,64}")
_SPAN = re.compile(r"(?P<count>[1-9][0-9]{0,5})(?P<unit>[dhm])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_CLASSES: tuple[ClassName, ...] = ("real_time", "standard", "background")


@app.command()
def add(
    key_id: KeyId,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A method that it opens, such as Predict; repeat it.", show_default="all"),
    ] = None,
    max_priority: Annotated[
        str, typer.Option(help="Most urgent class: real_time, standard, background.")
    ] = "real_time",
    rate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS=RATE[:BURST]",
            help="Requests a second of a class, and how many at once; repeat it.",
            show_default="the service's",
        ),
    ] = None,
    max_streams: Annotated[int, typer.Option(min=0, help="Most open streams; 0: the service's default.")] = 0,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN|TIME", help="When it ends: 90d, 12h, 30m, or 2027-01-31T00:00Z.", show_default="never"
        ),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Whose windows it reads and writes: keys of one owner share them."),
    ] = None,
    file: File = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it: once, for it is not kept.

    Example: tickserve keys add dashboard --method GetStatistics --expires 90d

    Exit codes: 0 made; 1 the id is taken, or the file cannot be used; 2 wrong usage.
    """
    now = time.time()
    if not is_key_id(key_id) or (owner is not None and not is_key_id(owner)):
        fail("An id has 1 to 64 characters from A-Z a-z 0-9 . _ - and begins with a letter or a digit.", code=_USAGE)
    if len(name) > 200:
        fail("--name is limited to 200 characters.", code=_USAGE)
    secret = new_secret()
    key = ApiKey(
        sha256=digest_of(secret),
        grant=Grant(
            key_id=key_id,
            owner=owner or key_id,
            max_priority=_class_of(max_priority),
            rate_limits=dict(map(_rate_of, rate or ())),
            max_streams=max_streams,
        ),
        methods=_methods_of(method or [ALL_METHODS]),
        name=name,
        created_at=now,
        expires_at=None if expires is None else _time_of(expires, now),
    )
    path = _path(file)
    with _reported(), changing(path) as keys:
        if key_id in keys:
            fail(f"{path} has a key {key_id} already; revoke it first, or choose another id.")
        keys[key_id] = key
    token = token_of(key_id, secret)
    if as_json:
        typer.echo(json.dumps({"key": token} | _described(key)))
    else:
        typer.echo(token)
        Console(stderr=True).print(
            f"{key_id} is in {path}; services that read it know the key within two seconds. It is not shown again.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


@app.command("list")
def list_keys(file: File = None, as_json: Json = False) -> None:
    """List the keys: all but their secrets.

    Example: tickserve keys list --json

    Exit codes: 0 listed; 1 the file cannot be read; 2 wrong usage.
    """
    with _reported():
        keys = read_keys(_path(file))
    if as_json:
        typer.echo(json.dumps({"keys": [_described(key) for key in keys.values()]}))
        return
    table = Table("id", "name", "methods", "highest", "rates", "streams", "owner", "expires", box=None)
    for key in keys.values():
        told = _described(key)
        rates = ", ".join(
            f"{name} {limit['rate']:g}/s:{limit['burst']:g}" for name, limit in told["rate_limits"].items()
        )
        end = f"{told['expires_at'] or 'never'}{' (expired)' if told['expired'] else ''}"
        streams = str(told["max_streams"] or "default")
        table.add_row(
            key.id,
            key.name,
            " ".join(told["methods"]),
            told["max_priority"],
            rates or "default",
            streams,
            told["owner"],
            end,
        )
    Console().print(table)


@app.command()
def revoke(key_id: KeyId, file: File = None, as_json: Json = False) -> None:
    """Take a key out of the file: no call begins with it from then on; open streams go on until they end.

    Example: tickserve keys revoke dashboard

    Exit codes: 0 revoked; 1 there is no such key, or the file cannot be used; 2 wrong usage.
    """
    path = _path(file)
    with _reported(), changing(path) as keys:
        if keys.pop(key_id, None) is None:
            fail(f"{path} has no key {key_id}; `tickserve keys list` shows those that it has.")
    if as_json:
        typer.echo(json.dumps({"revoked": key_id}))
    else:
        typer.echo(f"revoked {key_id}")


@contextmanager
def _reported() -> Iterator[None]:
    """Ends the command with the reason where the file cannot be used."""
    try:
        yield
    except KeyFileError as error:
        fail(str(error))


def _path(given: Path | None) -> Path:
    if given is not None:
        return given
    try:
        path = load_settings().security.keys_file
    except SettingsError as error:
        fail(str(error), code=_USAGE)
    if path is None:
        fail("Name the file with --file, or set security.keys_file (TICKSERVE_SECURITY__KEYS_FILE).", code=_USAGE)
    return path.expanduser()


def _class_of(name: str) -> PriorityClass:
    if name not in _CLASSES:
        fail(f"There is no class {name!r}; choose one of {', '.join(_CLASSES)}.", code=_USAGE)
    return PriorityClass[name.upper()]


def _methods_of(names: list[str]) -> frozenset[str]:
    for name in names:
        if name != ALL_METHODS and _METHOD.fullmatch(name) is None:
            fail(f"{name!r} is no method; give its short name, such as Predict, or * for all.", code=_USAGE)
    return frozenset(names)


def _rate_of(text: str) -> tuple[PriorityClass, RateLimit]:
    name, _, limit = text.partition("=")
    per_second, _, burst = limit.partition(":")
    try:
        rate = float(per_second)
        return _class_of(name), RateLimit(rate=rate, burst=float(burst) if burst else max(1.0, rate))
    except ValueError:
        fail(f"{text!r} is no rate; write real_time=100 or real_time=100:200.", code=_USAGE)


def _time_of(text: str, now: float) -> float:
    """Returns an instant in seconds since the epoch, from a span that begins now or from a date and time."""
    span = _SPAN.fullmatch(text)
    try:
        if span:
            moment = datetime.fromtimestamp(now, UTC) + timedelta(**{_UNITS[span["unit"]]: int(span["count"])})
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        fail(f"{text!r} is no time; write 90d, 12h, 30m, or 2027-01-31T00:00Z.", code=_USAGE)
    if moment.tzinfo is None:
        fail(f"{text} names no time zone; append Z for UTC.", code=_USAGE)
    if moment.timestamp() <= now:
        fail(f"{text} has passed already.", code=_USAGE)
    return moment.timestamp()


def _described(key: ApiKey) -> dict[str, Any]:
    grant = key.grant
    return {
        "id": key.id,
        "name": key.name,
        "owner": grant.owner,
        "methods": sorted(key.methods),
        "max_priority": grant.max_priority.name.lower(),
        "rate_limits": {
            priority.name.lower(): {"rate": limit.rate, "burst": limit.burst}
            for priority, limit in grant.rate_limits.items()
        },
        "max_streams": grant.max_streams,
        "created_at": _iso(key.created_at),
        "expires_at": None if key.expires_at is None else _iso(key.expires_at),
        "expired": key.is_expired(time.time()),
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
