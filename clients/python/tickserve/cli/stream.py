"""`tickserve stream`: replays a file of bars through a tick stream and shows what comes back."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tickserve.cli.bar_file import read_bars
from tickserve.cli.options import DEFAULT_TARGET, Json, ModelName, PriorityChoice, PriorityOption, Target, over_tls
from tickserve.cli.output import FAILED, fail, milliseconds, print_json, reported, table
from tickserve.cli.replay import Replay, replay_symbols
from tickserve.cli.tally import Pace, Tally
from tickserve.client import Client
from tickserve.events import Opened, TickEvent, TickFailure, TickPrediction
from tickserve.market import Bar
from tickserve.reconnect import ResumePolicy
from tickserve.tls import TlsOptions

__all__ = ("stream",)

_ROWS = 12
_INTERRUPTED = 130  # what shells give to a program that Ctrl-C ended


@over_tls
def stream(
    csv: Annotated[
        Path,
        typer.Option(
            "--csv",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Bars: Time (dd.mm.yyyy HH:MM:SS.fff, UTC, bar start), Open, High, Low, Close, Volume.",
        ),
    ],
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Symbol to send them as.")] = "EURUSD",
    speed: Annotated[
        str, typer.Option("--speed", help="100x: times real time; 50/s: bars a second; max: as fast as it goes.")
    ] = "20/s",
    symbols: Annotated[
        int, typer.Option("--symbols", min=1, help="Replay the file as so many symbols: EURUSD-1, EURUSD-2, ...")
    ] = 1,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, help="Bars of each symbol to send after the warm-up; 0: all.")
    ] = 200,
    reset: Annotated[bool, typer.Option("--reset", help="Empty the symbols' windows on the service first.")] = False,
    patience: Annotated[
        float, typer.Option("--patience", min=0.0, help="Seconds to try to come back after a break; 0: not at all.")
    ] = 30.0,
    conflate: Annotated[bool, typer.Option("--conflate", help="Let newer predictions replace pending ones.")] = False,
    model: ModelName = None,
    priority: PriorityOption = PriorityChoice.STANDARD,
    target: Target = DEFAULT_TARGET,
    json: Json = False,
    *,
    tls: TlsOptions,
) -> None:
    """Replay a file of bars through a tick stream, with a live table and a summary.

    The first bars fill the symbols' windows; each later one is answered with a prediction. Where the connection breaks,
    the stream comes back and goes on.

    Example: tickserve stream --csv data/eurusd_1h.csv --speed 50/s --limit 500 --symbols 10

    Exit codes: 0 every bar answered; 1 an error among the answers, or refused; 2 wrong usage; 3 unreachable;
    130 Ctrl-C.
    """
    with reported(target, as_json=json), Client(target, **tls) as client:
        pace = Pace(speed)
        bars = read_bars(csv)
        names = replay_symbols(symbol, symbols)
        resume = ResumePolicy(give_up_after=patience) if patience else None
        with client.stream_ticks(
            names, model=model, priority=priority.value, conflate=conflate, resume=resume
        ) as ticks:
            if not reset:
                _refuse_kept_windows(ticks.opened)
            replay = Replay(ticks, names, bars, pace=pace, limit=limit or None, reset=reset)
            interrupted = _follow(replay, json=json)
    if json:
        print_json({"summary": _summary(replay.tally)})
    else:
        Console().print(_summary_table(replay.tally))
    if interrupted:
        raise typer.Exit(_INTERRUPTED)
    if replay.tally.errors:
        raise typer.Exit(FAILED)


def _refuse_kept_windows(opened: Opened) -> None:
    for symbol, state in opened.symbols.items():
        if state.sequence or state.have:
            raise fail(
                f"The service already keeps a window of {symbol} (sequence {state.sequence}, {state.have} of"
                f" {state.need} bars); old bars behind it would be refused.",
                hint="--reset, which empties it, or another --symbol",
            )


def _follow(replay: Replay, *, json: bool) -> bool:
    """Shows the events as they come; tells whether Ctrl-C cut them short."""
    try:
        if json:
            for event in replay.events():
                print_json({"event": type(event).__name__, "data": event})
            return False
        screen = _Screen(replay)
        # The table is drawn a few times a second, not once an event: drawing must not slow the reader down.
        with Live(get_renderable=screen.render, refresh_per_second=8) as live:
            for event in replay.events():
                screen.take(event)
        if not live.console.is_terminal:
            live.console.line()  # rich ends the last table with a new line on terminals only
    except KeyboardInterrupt:
        return True
    return False


class _Screen:
    """The latest predictions, as a table."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay
        self._latest: deque[tuple[Bar | None, TickPrediction | TickFailure]] = deque(maxlen=_ROWS)

    def take(self, event: TickEvent) -> None:
        if isinstance(event, TickPrediction | TickFailure):
            self._latest.append((self._replay.bar(event.symbol, event.sequence), event))

    def render(self) -> RenderableType:
        rows = table(
            "Symbol", "Time", ">Close", "Call", ">sell", ">hold", ">buy", ">Return", ">Queue", ">Inference", ">Batch"
        )
        for bar, event in list(self._latest):
            when = [event.symbol, *([f"{bar.start_time:%Y-%m-%d %H:%M}", f"{bar.close:.5f}"] if bar else ["-", "-"])]
            if isinstance(event, TickFailure):
                rows.add_row(*when, Text(event.error.reason or event.error.code.name, style="red"))
                continue
            prediction = event.prediction
            estimate = prediction.regressions.get("return")
            rows.add_row(
                *when,
                Text(prediction.label, style="bold"),
                *(f"{prediction.classes.get(label, float('nan')):.3f}" for label in ("sell", "hold", "buy")),
                f"{estimate.mean:+.5f} ± {estimate.standard_deviation:.5f}" if estimate else "-",
                milliseconds(prediction.execution.queue_duration),
                milliseconds(prediction.execution.inference_duration),
                str(prediction.execution.batch_size),
            )
        tally = self._replay.tally
        line = f"{tally.bars_sent:,} bars sent, {tally.predictions:,} predictions, {tally.errors.total():,} errors"
        return Group(rows, Text(line, style="dim"))


def _summary(tally: Tally) -> dict[str, Any]:
    elapsed = time.perf_counter() - tally.started
    known = bool(tally.latencies)
    return {
        "history_bars": tally.history_bars,
        "bars_sent": tally.bars_sent,
        "predictions": tally.predictions,
        "conflated": tally.conflated,
        "gaps": tally.gaps,
        "reconnects": tally.reconnects,
        "errors": dict(tally.errors),
        "elapsed": elapsed,
        "predictions_per_second": tally.predictions / elapsed if elapsed > 0 else 0.0,
        # JSON knows no NaN.
        "p50": tally.percentile(0.5) if known else None,
        "p99": tally.percentile(0.99) if known else None,
    }


def _summary_table(tally: Tally) -> RenderableType:
    summary = _summary(tally)
    figures = (">Errors", ">Gaps", ">Breaks", ">Per second", ">p50", ">p99")
    rows = table(">Warm-up", ">Ticks", ">Predictions", *figures, title="Summary")
    rows.add_row(
        f"{tally.history_bars:,}",
        f"{tally.bars_sent:,}",
        f"{tally.predictions:,}",
        f"{tally.errors.total():,}",
        f"{tally.gaps:,}",
        f"{tally.reconnects:,}",
        f"{summary['predictions_per_second']:.1f}",
        *(milliseconds(summary[name]) if summary[name] is not None else "-" for name in ("p50", "p99")),
    )
    parts: list[RenderableType] = [rows]
    if tally.errors:
        parts.append(Text(", ".join(f"{reason}: {count}" for reason, count in tally.errors.most_common()), style="red"))
    return Group(*parts)
