"""`tickserve demo`: the whole service on this machine, answering real market data, in one command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table

from model.errors import ModelError
from model.registry import Registry
from server.commands.console import fail
from server.commands.train import train
from server.config.settings import Settings, SettingsError, load_settings
from server.demo import SYMBOL, Tally, run
from server.launcher import LaunchError, running
from tickserve import Bar
from tickserve.cli.bar_file import read_bars


def demo(
    data: Annotated[Path, typer.Option(help="CSV file of bars to train on and to replay.")] = Path(
        "data/eurusd_1h.csv"
    ),
    bars: Annotated[int, typer.Option(help="Bars to replay.", min=1)] = 200,
    rate: Annotated[float, typer.Option(help="Bars per second.", min=0.1)] = 25.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object; the show on standard error.")] = False,
) -> None:
    """Show the service at work: train if need be, start, replay real bars, predict at three priorities, stop.

    Ends with the line: demo: ok predictions=N errors=0 p50_ms=X p99_ms=Y

    Example: tickserve demo --bars 500 --rate 50

    Exit codes: 0 predicted without an error; 1 an error, or the service could not start; 2 wrong usage, or settings
    that cannot be used.
    """
    console = Console(stderr=as_json)
    try:
        settings = load_settings()
        # Training tells of itself on standard output, which here belongs to the JSON.
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            _train_if_missing(settings, data, console)
        replay = list(read_bars(data))
        console.print("Starting the service (Ray Serve, HAProxy, one replica) ...")
        with running(settings):
            target = f"{settings.host}:{settings.grpc_port}"
            console.print(f"Serving at {target}. Replaying {bars} bars of {SYMBOL}, {rate:g} a second:")
            tally = Tally()
            asyncio.run(_show(target, replay[-(bars + _HISTORY) :], bars, rate, tally, console))
    except SettingsError as error:
        fail(str(error), code=2)
    except (ModelError, LaunchError, OSError) as error:
        fail(str(error))
    errors = sum(tally.errors.values())
    verdict = "failed" if errors or not tally.predictions else "ok"
    if as_json:
        typer.echo(json.dumps(_summary(tally, is_ok=verdict == "ok")))
    else:
        if errors:
            console.print(f"errors by reason: {dict(tally.errors)}")
        console.print(
            f"demo: {verdict} predictions={tally.predictions} errors={errors}"
            f" p50_ms={1e3 * tally.percentile(0.5):.1f} p99_ms={1e3 * tally.percentile(0.99):.1f}",
            highlight=False,
        )
    if verdict != "ok":
        raise typer.Exit(1)


def _summary(tally: Tally, *, is_ok: bool) -> dict[str, Any]:
    # JSON knows no NaN, which a percentile of nothing is.
    p50, p99 = (1e3 * tally.percentile(share) if tally.predictions else None for share in (0.5, 0.99))
    return {"ok": is_ok, "predictions": tally.predictions, "errors": dict(tally.errors), "p50_ms": p50, "p99_ms": p99}


# More than any model of 60 steps needs before its first window.
_HISTORY = 200


def _train_if_missing(settings: Settings, data: Path, console: Console) -> None:
    if settings.default_model in Registry(settings.registry).names():
        return
    console.print(f"The registry {settings.registry} holds no {settings.default_model}: training one on {data}.")
    train(data=data, registry=settings.registry, name=settings.default_model)


async def _show(target: str, bars: Sequence[Bar], count: int, rate: float, tally: Tally, console: Console) -> None:
    work = run(target, bars, replayed=count, rate=rate, tally=tally)
    if console.is_terminal:
        with Live(console=console, get_renderable=lambda: _render(tally), refresh_per_second=8):
            await work
    else:  # a file or a pipe wants the end result once
        await work
        console.print(_render(tally))


def _render(tally: Tally) -> RenderableType:
    rows = _table("time (UTC)", "close", "sell", "hold", "buy", "return", "queue ms", "engine ms")
    for bar, prediction in list(tally.latest):
        estimate, execution = prediction.regressions["return"], prediction.execution
        rows.add_row(
            f"{bar.start_time:%m-%d %H:%M}",
            f"{bar.close:.5f}",
            *(f"{prediction.classes[label]:.3f}" for label in ("sell", "hold", "buy")),
            f"{estimate.mean:+.5f} ± {estimate.standard_deviation:.5f}",
            _milliseconds(execution.queue_duration),
            _milliseconds(execution.inference_duration),
        )
    calls = _table("call", "answers", "p50 ms", "p99 ms")
    for kind in sorted(tally.latencies):
        calls.add_row(
            kind if kind == "StreamTicks" else f"Predict {kind}",
            str(len(tally.latencies[kind])),
            _milliseconds(tally.percentile(0.5, kind)),
            _milliseconds(tally.percentile(0.99, kind)),
        )
    return Group(rows, calls, f"{tally.bars_sent} bars sent, {sum(tally.errors.values())} errors")


def _table(first: str, *others: str) -> Table:
    """Returns an empty table that fits a terminal of 80 columns."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}"
