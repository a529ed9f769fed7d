"""`tickserve halt`, `resume` and `halts`: the kill switch."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tickserve.cli.options import DEFAULT_TARGET, Json, Target, Timeout, over_tls
from tickserve.cli.output import print_json, reported, table
from tickserve.client import Client
from tickserve.halts import ActiveHalt, HaltList, HaltTarget
from tickserve.tls import TlsOptions

__all__ = ("halt", "halts", "resume")

Model = Annotated[
    str | None, typer.Option("--model", "-m", metavar="NAME[:VERSION]", help="A model, all versions or one.")
]
Symbol = Annotated[
    str | None, typer.Option("--symbol", "-s", metavar="NAME", help="A symbol whose window the service keeps.")
]
# `--key` is the file of a client certificate's key, in every command.
KeyId = Annotated[str | None, typer.Option("--key-id", metavar="ID", help="An API key; its open streams end.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why: callers, logs and whoever resumes read it.")]


@over_tls
def halt(
    model: Model = None,
    symbol: Symbol = None,
    key_id: KeyId = None,
    reason: Reason = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 5.0,
    json: Json = False,
    *,
    tls: TlsOptions,
) -> None:
    """Stop predictions on every replica within a second: a model's, a symbol's, a key's, or all of them.

    It needs an API key that names the method Halt. Exit codes: 0 halted; 1 refused or failed; 2 wrong usage;
    3 unreachable.

    Example: tickserve halt --model cnn_lstm:3 --reason "wrong labels"
    """
    with reported(target, as_json=json), Client(target, **tls) as client:
        begun = client.halt(reason=reason, timeout=timeout, **_target(model, symbol, key_id))
    if json:
        print_json(begun)
    else:
        _say(f"halted: {begun.scope}, since {begun.since:%Y-%m-%d %H:%M:%S} UTC", style="bold red")


@over_tls
def resume(
    model: Model = None,
    symbol: Symbol = None,
    key_id: KeyId = None,
    reason: Reason = "",
    target: Target = DEFAULT_TARGET,
    timeout: Timeout = 5.0,
    json: Json = False,
    *,
    tls: TlsOptions,
) -> None:
    """Let predictions go on: end the halt of the very same target; without one, that of everything and no other.

    It needs an API key that names the method Resume. Exit codes: 0 done, whether it was halted or not; 1 refused or
    failed; 2 wrong usage; 3 unreachable.

    Example: tickserve resume --model cnn_lstm:3
    """
    with reported(target, as_json=json), Client(target, **tls) as client:
        ended = client.resume(reason=reason, timeout=timeout, **_target(model, symbol, key_id))
    if json:
        print_json({"ended": ended})
    elif ended is None:
        _say("nothing ended: there was no halt of that target; `tickserve halts` lists them", style="yellow")
    else:
        _say(f"resumed: {ended.scope}", style="bold green")


@over_tls
def halts(target: Target = DEFAULT_TARGET, timeout: Timeout = 2.0, json: Json = False, *, tls: TlsOptions) -> None:
    """List what is halted, by whom, since when and why.

    Example: tickserve halts

    Exit codes: 0 listed, whether anything is halted or not; 1 refused or failed; 2 wrong usage; 3 unreachable.
    """
    with reported(target, as_json=json), Client(target, **tls) as client:
        found = client.halts(timeout=timeout)
    if json:
        print_json(found)
        return
    for line in warnings(found):
        _say(line, style="yellow")
    if not found.halts:
        _say("nothing is halted", style="green")
        return
    rows = table("Halted", "Since (UTC)", "By", "Reason")
    for one in found.halts:
        rows.add_row(*_row(one))
    Console().print(rows)


def warnings(found: HaltList) -> list[str]:
    """Says what an operator must know before he believes the list."""
    if found.closed:
        return ["the replica has never been able to read the halts, and refuses every prediction"]
    return ["the replica cannot read the store of the halts now; this is what it last knew"] if found.stale else []


def _row(one: ActiveHalt) -> tuple[Text, ...]:
    return (
        Text(one.scope, style="bold red"),
        Text(f"{one.since:%Y-%m-%d %H:%M:%S}"),
        Text(one.author),
        Text(one.reason),
    )


def _target(model: str | None, symbol: str | None, key_id: str | None) -> HaltTarget:
    return HaltTarget(model=model, symbol=symbol, key_id=key_id)


def _say(line: str, *, style: str) -> None:
    # A reason or a name must not be read as markup.
    Console().print(Text(line, style=style), soft_wrap=True)
