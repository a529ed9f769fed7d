"""`tickserve backfill`: fills windows with past bars, without predictions."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress as ProgressBar

from tickserve.cli.bar_file import read_bars
from tickserve.cli.options import DEFAULT_TARGET, Json, ModelName, Target, over_tls
from tickserve.cli.output import FAILED, print_json, reported, table
from tickserve.cli.replay import replay_symbols
from tickserve.client import Client
from tickserve.errors import TickserveError
from tickserve.events import Progress, TickFailure
from tickserve.market import Bar
from tickserve.reconnect import ResumePolicy
from tickserve.tick_stream import TickStream
from tickserve.tls import TlsOptions

__all__ = ("backfill",)


@over_tls
def backfill(
    file: Annotated[
        Path,
        typer.Option(
            "--file",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Bars: Time (dd.mm.yyyy HH:MM:SS.fff, UTC, bar start), Open, High, Low, Close, Volume.",
        ),
    ],
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Symbol to send them as.")] = "EURUSD",
    symbols: Annotated[
        int, typer.Option("--symbols", min=1, help="Fill so many symbols from the file: EURUSD-1, EURUSD-2, ...")
    ] = 1,
    bars: Annotated[
        int | None,
        typer.Option(
            "--bars", "-n", min=1, help="Newest bars of the file to send.", show_default="as many as a window needs"
        ),
    ] = None,
    patience: Annotated[
        float, typer.Option("--patience", min=0.0, help="Seconds to try to come back after a break; 0: not at all.")
    ] = 30.0,
    model: ModelName = None,
    target: Target = DEFAULT_TARGET,
    json: Json = False,
    *,
    tls: TlsOptions,
) -> None:
    """Fill symbols' windows with the newest bars of a file, so that their next bar is answered.

    Bars that a window has passed already are left out by the service, so that it may be run again.

    Example: tickserve backfill --file data/eurusd_1h.csv --symbols 1000

    Exit codes: 0 all applied; 1 an error among the answers, or refused; 2 wrong usage; 3 unreachable.
    """
    names = replay_symbols(symbol, symbols)
    resume = ResumePolicy(give_up_after=patience) if patience else None
    with reported(target, as_json=json), Client(target, **tls) as client:
        started = time.perf_counter()
        with client.stream_ticks(names, model=model, resume=resume) as stream:
            need = max(state.need for state in stream.opened.symbols.values())
            history = list(deque(read_bars(file), maxlen=bars or need))
            filling = _Backfill(stream, names, history)
            with ProgressBar(console=Console(stderr=True), transient=True, disable=json) as bar:
                task = bar.add_task("symbols", total=len(names))
                filling.run(lambda: bar.advance(task))
        elapsed = time.perf_counter() - started
    summary = {
        "symbols": len(names),
        "bars": len(history) * len(names),
        "warm": filling.warm_count,
        "errors": dict(filling.errors),
        "reconnects": stream.reconnect_count,
        "elapsed": elapsed,
    }
    if json:
        print_json({"summary": summary})
    else:
        rows = table(">Symbols", ">Warm", ">Bars", ">Errors", ">Reconnects", ">Seconds", title="Summary")
        rows.add_row(
            f"{len(names):,}",
            f"{filling.warm_count:,}",
            f"{summary['bars']:,}",
            f"{filling.errors.total():,}",
            f"{stream.reconnect_count:,}",
            f"{elapsed:.2f}",
        )
        Console().print(rows)
    if filling.errors:
        raise typer.Exit(FAILED)


class _Backfill:
    """Sends the same history for all symbols in a thread, while the caller hears what became of each."""

    def __init__(self, stream: TickStream, symbols: list[str], history: list[Bar]) -> None:
        self._stream = stream
        self._symbols = symbols
        self._history = history
        self._failure: BaseException | None = None
        self._have: dict[str, Progress] = {}
        self.errors: Counter[str] = Counter()
        """Errors by reason."""

    @property
    def warm_count(self) -> int:
        """Symbols whose next bar is answered."""
        return sum(progress.have + 1 >= progress.need for progress in self._have.values())

    def run(self, on_symbol: Callable[[], None]) -> None:
        """Runs until all is applied; calls `on_symbol` once a symbol.

        Raises:
            TickserveError: The stream broke for good.
        """
        sender = threading.Thread(target=self._send, name="tickserve-backfill", daemon=True)
        sender.start()
        try:
            for event in self._stream:
                match event:
                    case Progress(symbol=symbol):
                        if symbol not in self._have:
                            on_symbol()
                        self._have[symbol] = event
                    case TickFailure(error=error):
                        self.errors[error.reason or error.code.name] += 1
        finally:
            self._stream.close()
            sender.join()
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        try:
            for symbol in self._symbols:
                self._stream.history(symbol, self._history)
            self._stream.finish()
        except TickserveError as error:  # the reader is told, too, unless it was the reader that ended it
            self._failure = error
        except Exception as error:  # any: it is raised again, where the events are read
            self._failure = error
            self._stream.close()
