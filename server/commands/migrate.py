"""`tickserve migrate`: moves callers from the original FastAPI service to this one, and back (docs/migration.md).

Owns the commands of the split; those that compare are in `migrate_compare`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from server.commands import migrate_compare
from server.commands.console import fail
from server.commands.migrate_options import Folder, Json, address
from server.edge.haproxy_process import EdgeError
from server.migration.split import ShareError, Shares, buckets_of_percent, percent_of
from server.migration.split_config import SplitPlan, render
from server.migration.split_control import SplitControl, SplitError
from server.migration.split_edge import SplitEdge

app = typer.Typer(no_args_is_help=True, help="Move callers from the original service to this one (docs/migration.md).")
app.command("mirror")(migrate_compare.mirror)
app.command("compare")(migrate_compare.compare)
app.command("verdict")(migrate_compare.verdict)

_USAGE = 2

Old = Annotated[str, typer.Option(metavar="HOST:PORT", help="The old service.")]
New = Annotated[str, typer.Option(metavar="HOST:PORT", help="HTTP side of this service.")]
Listen = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the callers come.")]
MirrorAt = Annotated[
    str | None, typer.Option("--mirror", metavar="HOST:PORT", help="Where `tickserve migrate mirror` listens.")
]
OldCheck = Annotated[str, typer.Option(metavar="PATH", help="What the old service answers with 200 while it is well.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds that a service may take for an answer.")]
Percent = Annotated[str, typer.Argument(metavar="PERCENT", help="0 to 100, at most two decimals.")]

_OLD, _NEW, _LISTEN = "127.0.0.1:8100", "127.0.0.1:8000", "127.0.0.1:8080"


@app.command()
def config(
    old: Old = _OLD,
    new: New = _NEW,
    listen: Listen = _LISTEN,
    mirror_at: MirrorAt = None,
    old_check: OldCheck = "/health",
    timeout: Timeout = 60.0,
    folder: Folder = Path("var/migration"),
    as_json: Json = False,
) -> None:
    """Print the split's configuration, for a HAProxy of your own; `edge` runs one with it.

    Example: tickserve migrate config --old 10.0.0.5:8000 --new 10.0.0.6:8000 --folder /run/split > haproxy.cfg

    Exit codes: 0 printed; 2 wrong usage.
    """
    text = _rendered(_plan(folder, old, new, listen, mirror_at, old_check, timeout))
    typer.echo(json.dumps({"config": text}) if as_json else text, nl=as_json)


@app.command()
def edge(
    old: Old = _OLD,
    new: New = _NEW,
    listen: Listen = _LISTEN,
    mirror_at: MirrorAt = None,
    old_check: OldCheck = "/health",
    timeout: Timeout = 60.0,
    folder: Folder = Path("var/migration"),
    as_json: Json = False,
) -> None:
    """Run the split until SIGINT or SIGTERM. It begins with the shares that it ended with; at first, all is old.

    Example: tickserve migrate edge --old 127.0.0.1:8100 --new 127.0.0.1:8000 --listen 0.0.0.0:8080

    Exit codes: 0 stopped by a signal; 1 it could not start; 2 wrong usage.
    """
    plan = _plan(folder, old, new, listen, mirror_at, old_check, timeout)
    _rendered(plan)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def ready(pid: int) -> None:
        typer.echo(json.dumps({"ready": True, "http": listen, "pid": pid}) if as_json else f"split ready http={listen}")

    split = SplitEdge(plan)
    try:
        split.prepare()
        split.run(stop, ready)
    except EdgeError as error:
        fail(str(error))


@app.command()
def split(
    percent: Percent,
    force: Annotated[bool, typer.Option("--force", help="Even if the new service fails its health check.")] = False,
    folder: Folder = Path("var/migration"),
    as_json: Json = False,
) -> None:
    """Have the new service answer PERCENT of the callers, from their next request on; connections stay open.

    Example: tickserve migrate split 20

    Exit codes: 0 in force; 1 the split does not run, or the new service is not well; 2 wrong usage.
    """
    buckets = _buckets(percent)
    control = SplitControl(folder)
    with _reported():
        former = control.in_force()
        if buckets > former.split and not force and not control.new_is_up():
            fail("the new service fails its health check (`tickserve migrate status`); nothing was changed.")
        control.change(dataclasses.replace(former, split=buckets))
    _tell(dataclasses.replace(former, split=buckets), former, as_json)


@app.command()
def sample(percent: Percent, folder: Folder = Path("var/migration"), as_json: Json = False) -> None:
    """Send PERCENT of the predictions that the old service answers through the mirror.

    Example: tickserve migrate sample 10

    Exit codes: 0 in force; 1 the split does not run; 2 wrong usage.
    """
    buckets = _buckets(percent)
    control = SplitControl(folder)
    with _reported():
        former = control.in_force()
        control.change(dataclasses.replace(former, sample=buckets))
    _tell(dataclasses.replace(former, sample=buckets), former, as_json)


@app.command()
def rollback(folder: Folder = Path("var/migration"), as_json: Json = False) -> None:
    """Give every caller back to the old service, from his next request on. Asks nothing first.

    Example: tickserve migrate rollback

    Exit codes: 0 in force; 1 the split does not answer, and begins with the old service alone when it starts; 2 wrong
    usage.
    """
    control = SplitControl(folder)
    with _reported():
        try:
            former = control.stored()
        except SplitError:
            former = Shares()  # whatever the file holds, it is no reason not to go back
        shares = dataclasses.replace(former, split=0)
        control.change(shares)
    _tell(shares, former, as_json)


@app.command()
def status(folder: Folder = Path("var/migration"), as_json: Json = False) -> None:
    """Show the shares in force, and what each side has answered since the split started.

    Example: tickserve migrate status --json

    Exit codes: 0 shown; 1 the split does not run; 2 wrong usage.
    """
    control = SplitControl(folder)
    with _reported():
        shares, sides = control.in_force(), control.sides()
    if as_json:
        typer.echo(json.dumps(_shares(shares) | {"sides": [dataclasses.asdict(side) for side in sides]}))
        return
    typer.echo(f"new service: {percent_of(shares.split):g} % of the callers; mirrored: {percent_of(shares.sample):g} %")
    table = Table("callers of", "answered by", "state", "check", "2xx", "4xx", "5xx", "mean ms", "now", box=None)
    for side in sides:
        answered = (str(side.answered[name]) for name in ("2xx", "4xx", "5xx"))
        figures = (*answered, str(side.milliseconds), str(side.under_way))
        table.add_row(side.backend, side.server, side.state, side.check, *figures)
    Console().print(table)


@contextmanager
def _reported() -> Iterator[None]:
    """Ends the command with the reason where the split cannot be read or changed."""
    try:
        yield
    except SplitError as error:
        fail(str(error))


def _plan(
    folder: Path, old: str, new: str, listen: str, mirror_at: str | None, old_check: str, timeout: float
) -> SplitPlan:
    if not old_check.startswith("/"):
        fail(f"--old-check is a path, such as /health, not {old_check!r}.", code=_USAGE)
    return SplitPlan(
        folder=folder.absolute(),
        listen=address(listen, "--listen"),
        old=address(old, "--old"),
        new=address(new, "--new"),
        mirror=None if mirror_at is None else address(mirror_at, "--mirror"),
        old_check=old_check,
        timeout=timeout,
    )


def _rendered(plan: SplitPlan) -> str:
    try:
        return render(plan)
    except ValueError as error:
        fail(str(error), code=_USAGE)


def _buckets(percent: str) -> int:
    try:
        return buckets_of_percent(percent)
    except ShareError as error:
        fail(str(error), code=_USAGE)


def _tell(shares: Shares, former: Shares, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_shares(shares) | {"former": _shares(former)}))
        return
    for what, now, before in (
        ("new service", shares.split, former.split),
        ("mirrored", shares.sample, former.sample),
    ):
        typer.echo(f"{what}: {percent_of(now):g} % (was {percent_of(before):g} %)")


def _shares(shares: Shares) -> dict[str, Any]:
    return {"percent": percent_of(shares.split), "sample_percent": percent_of(shares.sample)}
