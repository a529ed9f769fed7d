"""What `tickserve bench` shows: a bar while it runs, then tables, a histogram and the verdict."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.console import Console, Group, RenderableType
from rich.progress import Progress
from rich.text import Text

from tickserve.bench.driver import Driver
from tickserve.bench.limits import Check
from tickserve.bench.percentile import coarser
from tickserve.bench.plan import BenchPlan
from tickserve.bench.report import Figures, Report
from tickserve.cli.output import table

__all__ = ("following", "render")

_ROWS = 16
_WIDTH = 40
_LOOKS = 0.25
"""Seconds between two looks at the run; drawing takes the processor from the generator, so few are enough."""


@asynccontextmanager
async def following(driver: Driver, plan: BenchPlan, *, quiet: bool) -> AsyncIterator[None]:
    """Shows a progress bar on standard error meanwhile, unless `quiet` or where it is no terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    started = time.monotonic()
    with Progress(console=console, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("requests", total=1.0)

        async def look() -> None:
            while True:
                spent = (time.monotonic() - started) / plan.duration if plan.duration else 0.0
                sent = len(driver.samples) / plan.requests if plan.requests else 0.0
                text = f"{len(driver.samples):,} requests"
                bar.update(task, completed=min(1.0, max(spent, sent)), description=text, refresh=True)
                await asyncio.sleep(_LOOKS)

        looks = asyncio.create_task(look())
        try:
            yield
        finally:
            looks.cancel()
            await asyncio.gather(looks, return_exceptions=True)


def render(report: Report, plan: BenchPlan) -> RenderableType:
    """Returns a report for a terminal."""
    total = report.total
    parts: list[RenderableType] = [_requests(report), _latencies(report)]
    if total.reasons:
        rows = table("Without a right answer", ">Requests")
        for reason, count in total.reasons.items():
            rows.add_row(Text(reason), f"{count:,}")
        parts.append(rows)
    parts.append(_plot(total))
    lag = total.lag_ms["p99"]
    loop = (
        f"open loop, {plan.rate:g}/s {plan.arrivals}"
        if plan.rate
        else f"closed loop, {_counted(plan.concurrency or 1, 'caller')}"
    )
    connections = _counted(plan.connection_count, "connection")
    facts = f"{loop}, {report.elapsed:.2f} s, {connections}; sent late by {_number(lag)} ms (p99)"
    parts.append(Text(facts, style="dim"))
    if plan.rate and lag is not None and lag > 10:
        words = "this generator fell behind its schedule: part of the latency is its own (use a machine of its own)"
        parts.append(Text(words, style="yellow"))
    parts += map(_verdict, report.checks)
    verdict = Text("bench: ok", style="bold green") if report.ok else Text("bench: failed", style="bold red")
    return Group(*parts, verdict)


def _verdict(check: Check) -> RenderableType:
    limit = check.limit
    sign = "<=" if limit.bound == "max" else ">="
    words = f"{limit.figure} {_number(check.value)} {sign} {limit.value:g}"
    return Text(f"{'kept  ' if check.ok else 'missed'} {words}", style="green" if check.ok else "bold red")


def _requests(report: Report) -> RenderableType:
    rows = table("Class", ">Sent", ">In time", ">Late", ">Refused", ">Expired", ">Other", ">Answers/s")
    for name, figures in _groups(report):
        refused, expired = figures.outcomes.get("refused", 0), figures.outcomes.get("expired", 0)
        other = figures.sent - figures.in_time - figures.late - refused - expired
        counts = (figures.sent, figures.in_time, figures.late, refused, expired, other)
        rows.add_row(name, *(f"{count:,}" for count in counts), f"{figures.rate:,.1f}")
    return rows


def _latencies(report: Report) -> RenderableType:
    names = list(report.total.latency_ms)
    rows = table("Latency, ms", *(f">{name}" for name in names))
    for name, figures in _groups(report):
        rows.add_row(name, *(_number(figures.latency_ms[figure]) for figure in names))
    return rows


def _groups(report: Report) -> list[tuple[str, Figures]]:
    """Returns the classes, and all together where there are several."""
    groups = list(report.classes.items())
    return groups if len(groups) == 1 else [*groups, ("all", report.total)]


def _plot(figures: Figures) -> RenderableType:
    rows = table(">Up to, ms", ">Answers", "")
    found = coarser(figures.histogram_ms, rows=_ROWS)
    most = max((count for _, count in found), default=1)
    for bound, count in found:
        # What is rare must not look like what never was.
        bar = "█" * max(1, round(_WIDTH * count / most)) if count else ""
        rows.add_row(_number(bound), f"{count:,}", bar)
    return rows


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if value < 1 else f"{value:,.2f}"
