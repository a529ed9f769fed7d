"""`tickserve bench`: how fast does it answer, seen from here?"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import json as json_module
import math
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from tickserve.async_client import AsyncClient
from tickserve.bench.driver import Ask, Driver, Run
from tickserve.bench.limits import FIGURES, Limit, merged
from tickserve.bench.mix import parse_mix
from tickserve.bench.plan import DEFAULT_LIMITS, PRESETS, BenchPlan
from tickserve.bench.report import report_of
from tickserve.bench.windows import Windows
from tickserve.catalog import Model
from tickserve.cli.bench_compare import compare_results
from tickserve.cli.bench_screen import following, render
from tickserve.cli.options import DEFAULT_TARGET, Json, ModelName, Target, over_tls
from tickserve.cli.output import FAILED, as_json, print_json, reported
from tickserve.prediction import Prediction
from tickserve.priority import Priority
from tickserve.tls import TlsOptions

__all__ = ("app",)

_SUM_TOLERANCE = 5e-3

app = typer.Typer(no_args_is_help=True, help="Measure a service from here: latency, load, and whether it is enough.")


class Preset(enum.StrEnum):
    """The presets, as they are typed."""

    SEQUENTIAL = "sequential"
    CONCURRENT = "concurrent"
    SUSTAINED = "sustained"


class Arrivals(enum.StrEnum):
    """How an open loop's requests are spread, as it is typed."""

    POISSON = "poisson"
    EVEN = "even"


_SAYS = "the preset's"
Requests = Annotated[
    int | None, typer.Option("--requests", "-n", min=1, help="End after so many requests.", show_default=_SAYS)
]
Duration = Annotated[
    float | None, typer.Option("--duration", "-d", help="End after so many seconds.", show_default=_SAYS)
]
Concurrency = Annotated[
    int | None,
    typer.Option("--concurrency", "-c", min=1, help="Closed loop: callers at a time.", show_default=_SAYS),
]
Rate = Annotated[
    float | None,
    typer.Option("--rate", "-r", help="Open loop: requests a second, sent whatever the answers do.", show_default="-"),
]
ArrivalsOption = Annotated[Arrivals, typer.Option("--arrivals", help="Open loop: how requests are spread.")]
Mix = Annotated[
    str, typer.Option("--mix", metavar="CLASS[=SHARE],...", help="Classes: real_time=0.1,standard=0.6,background=0.3.")
]
RequestTimeout = Annotated[float, typer.Option("--timeout", help="Seconds allowed to each request.")]
WarmUp = Annotated[int, typer.Option("--warm-up", min=0, help="Requests before the run that do not count.")]
Connections = Annotated[
    int | None, typer.Option("--connections", min=1, help="Connections.", show_default="one for each 100 requests")
]
Most = Annotated[
    list[str] | None,
    typer.Option(
        "--max",
        metavar="FIGURE=NUMBER",
        help=f"Fail above it; none lifts it; repeat it. Figures: {', '.join(FIGURES)} (ms; errors, late: shares).",
        show_default="mean=100, errors=0",
    ),
]
Least = Annotated[
    list[str] | None,
    typer.Option("--min", metavar="FIGURE=NUMBER", help="Fail below it, as in rate=200 (right answers a second)."),
]
Seed = Annotated[int, typer.Option("--seed", help="Makes other windows, classes and arrivals.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Also write the JSON there.")]

_NOTES = """
Every request has a window of its own and bypasses the cache; nothing is tried again. With --rate, latency counts
from when a request was due, so a service that falls behind cannot hide it; else from when it was sent.

Exit codes: 0 every limit kept; 1 a limit missed, or refused; 2 wrong usage; 3 unreachable.
"""


def _command(preset: Preset, about: str) -> Callable[..., None]:
    """Makes the command that runs `preset` unless told otherwise."""

    def measure(
        preset: Annotated[Preset, typer.Option("--preset", help="What to send, unless said otherwise.")] = preset,
        requests: Requests = None,
        duration: Duration = None,
        concurrency: Concurrency = None,
        rate: Rate = None,
        arrivals: ArrivalsOption = Arrivals.POISSON,
        mix: Mix = "standard",
        timeout: RequestTimeout = 1.0,
        warm_up: WarmUp = 10,
        connections: Connections = None,
        most: Most = None,
        least: Least = None,
        seed: Seed = 0,
        out: Out = None,
        model: ModelName = None,
        target: Target = DEFAULT_TARGET,
        json: Json = False,
        *,
        tls: TlsOptions,
    ) -> None:
        with reported(target, as_json=json):
            plan = dataclasses.replace(
                PRESETS[preset].changed(requests=requests, duration=duration, concurrency=concurrency, rate=rate),
                arrivals=_ARRIVALS[arrivals],
                mix=parse_mix(mix),
                timeout=timeout,
                warm_up=warm_up,
                connections=connections,
                seed=seed,
            )
            limits = merged(
                DEFAULT_LIMITS,
                [
                    *(Limit.parse(text, "max") for text in most or ()),
                    *(Limit.parse(text, "min") for text in least or ()),
                ],
            )
            if out is not None:
                out.touch()  # what cannot be written is said before the run, not after it
            described, run = asyncio.run(_run(plan, target, model, tls, quiet=json))
            report = report_of(run, limits)
            document = {
                "preset": preset.value,
                "target": target,
                "model": described.version,
                "plan": as_json(plan)
                | {
                    "connections": plan.connection_count,
                    "mix": {priority.name.lower(): share for priority, share in plan.mix.items()},
                },
                "report": report,
                "ok": report.ok,
            }
            if out is not None:
                out.write_text(json_module.dumps(as_json(document), indent=1) + "\n", encoding="utf-8")
        if json:
            print_json(document)
        else:
            Console().print(render(report, plan))
        if not report.ok:
            raise typer.Exit(FAILED)

    measure.__doc__ = about + _NOTES
    return over_tls(measure)


_ARRIVALS: dict[Arrivals, Literal["poisson", "even"]] = {Arrivals.POISSON: "poisson", Arrivals.EVEN: "even"}


async def _run(plan: BenchPlan, target: str, model: str | None, tls: Any, *, quiet: bool) -> tuple[Model, Run]:
    """Runs a plan against a service.

    Raises:
        TickserveError: The service did not describe the model.
    """
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(AsyncClient(target, retry=None, **tls))
            for _ in range(plan.connection_count)
        ]
        described = await clients[0].model(model, timeout=max(plan.timeout, 2.0))
        driver = Driver(plan, _asking(clients, Windows(described, seed=plan.seed), model))
        async with following(driver, plan, quiet=quiet):
            return described, await driver.run()


def _asking(clients: Sequence[AsyncClient], windows: Windows, model: str | None) -> Ask:
    """Returns what sends one request, over the connections in turn."""

    async def ask(number: int, priority: Priority, timeout: float) -> str:
        client = clients[number % len(clients)]
        window = windows.make(number)
        return fault_of(
            await client.predict(window, model=model, priority=priority, timeout=timeout, bypass_cache=True)
        )

    return ask


def fault_of(prediction: Prediction) -> str:
    """Returns what is wrong with an answer in a word or two; empty: nothing."""
    probabilities = prediction.classes.values()
    if not all(math.isfinite(value) for value in probabilities) or abs(sum(probabilities) - 1) > _SUM_TOLERANCE:
        return "PROBABILITIES"
    if not all(math.isfinite(estimate.mean) for estimate in prediction.regressions.values()):
        return "REGRESSIONS"
    return "CACHED" if prediction.execution.cached else ""


app.command("latency")(
    _command(
        Preset.SEQUENTIAL,
        """Measure latency: 1,000 requests one after another, unless told otherwise.

Example: tickserve bench latency --max p99=50
""",
    )
)
app.command("load")(
    _command(
        Preset.SUSTAINED,
        """Measure under load: 60 s of 100 callers, unless told otherwise.

Example: tickserve bench load --rate 200 --duration 30 --mix real_time=0.1,standard=0.6,background=0.3

Example: tickserve bench load --preset concurrent --json
""",
    )
)
app.command("compare")(compare_results)
