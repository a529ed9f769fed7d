"""Owns the report's text and data. Must not run anything or draw."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.scheduling.calibration import Comparison
from benchmarks.scheduling.experiment import Run, Setup
from benchmarks.scheduling.plots import PLOTS
from benchmarks.scheduling.sweep import SweepPoint
from planning.summary import StreamSummary, Summary
from planning.workload import Workload

_MILLION = 1_000_000


def write_json(
    path: Path, runs: Sequence[Run], points: Sequence[SweepPoint], setup: Setup, comparisons: Sequence[Comparison]
) -> None:
    """Write every figure; what was never seen (NaN) becomes null."""
    document = {
        "setup": {
            "requests": setup.requests,
            "seed": setup.seed,
            "reply_margin": setup.reply_margin,
            "cost_table": setup.table.as_dict(),
            "config": {name: str(value) for name, value in asdict(setup.config).items()},
        },
        "calibration": [{**asdict(item), "error": item.error, "agrees": item.agrees} for item in comparisons],
        "sweeps": [
            {"field": point.sweep.field, "value": point.value, "summary": asdict(point.summary)} for point in points
        ],
        "runs": [asdict(run.summary) for run in runs],
        "wall_seconds": {f"{run.summary.workload} / {run.summary.policy}": round(run.wall_seconds, 2) for run in runs},
    }
    path.write_text(_lines(_plain(document)), encoding="utf-8")


def _lines(document: dict[str, Any]) -> str:
    """Return JSON with a line for each entry of the second level: a change of one run is a change of one line."""
    parts = []
    for key, value in document.items():
        if isinstance(value, dict):
            entries = [f"{json.dumps(name)}: {json.dumps(item, allow_nan=False)}" for name, item in value.items()]
            body = "{\n  " + ",\n  ".join(entries) + "\n }"
        else:
            body = "[\n  " + ",\n  ".join(json.dumps(item, allow_nan=False) for item in value) + "\n ]"
        parts.append(f" {json.dumps(key)}: {body}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def markdown(
    runs: Sequence[Run],
    points: Sequence[SweepPoint],
    workloads: Sequence[Workload],
    setup: Setup,
    comparisons: Sequence[Comparison],
    *,
    command: str,
) -> str:
    """Return the report."""
    by_workload = {
        workload.name: [run.summary for run in runs if run.summary.workload == workload.name] for workload in workloads
    }
    lines = [*_head(runs, setup, command), *_overview(by_workload)]
    lines += ["", "## Plots", ""]
    lines += [f"![{caption}](plots/{file})\n\n{caption}\n" for file, caption in PLOTS.items()]
    lines += _calibration(comparisons)
    lines += _sweeps(points)
    for workload in workloads:
        lines += _workload(workload, by_workload[workload.name])
    return "\n".join(lines) + "\n"


def _head(runs: Sequence[Run], setup: Setup, command: str) -> Iterator[str]:
    table = setup.table
    size = setup.config.max_batch_size
    slowest = max(runs, key=lambda run: run.wall_seconds / run.summary.requests)
    pace = slowest.wall_seconds / slowest.summary.requests
    costs = ", ".join(f"{n}: {1e3 * seconds:.4g}" for n, seconds in table.seconds_by_batch_size.items())
    yield "# Scheduling policies, simulated"
    yield ""
    yield f"Written by `{command}`; the same command gives the same figures, save the speed."
    yield "The simulator drives `batching.Scheduler` itself with a virtual clock;"
    yield "[docs/scheduling.md](../../docs/scheduling.md) explains the policy."
    yield ""
    yield f"- About {setup.requests:,} requests a run, seed {setup.seed}; every policy gets the same arrivals."
    yield f"- Engine: {table.source}. Milliseconds by batch size: {costs}. Jitter {table.jitter:.2g} (lognormal),"
    yield f"  {table.stall_probability:.2%} of calls stall for {1e3 * table.stall_seconds:.3g} ms on average. Load 1 is"
    yield f"  {table.capacity(size):.0f} requests/s, in batches of at most {size}."
    yield f"- Outside the scheduler: {1e3 * table.transport_seconds:.3g} ms a request,"
    yield f"  {1e3 * table.dispatch_seconds:.3g} ms a batch; reply margin {1e3 * setup.reply_margin:.3g} ms."
    yield "- `fifo` and `strict priority` bind batches late, as tickserve does, and skip requests whose clients have"
    yield "  hung up. `early binding` freezes a batch at 64 requests or after 10 ms, as `@serve.batch` does."
    yield "- Goodput: answers within the deadline over requests sent; refused, expired and late ones count against it."
    yield "  Latencies are at the client, of the answers there were, late ones included: read them beside goodput."
    yield "- Wasted: part of the engine's running time spent on requests whose answer came too late for anybody."
    yield f"- Speed: the slowest run, {slowest.summary.policy} on {slowest.summary.workload}, took"
    yield f"  {1e6 * pace:.1f} us a request on one core, {pace * _MILLION:.0f} s for a million."
    yield ""


def _overview(by_workload: dict[str, list[Summary]]) -> Iterator[str]:
    policies = [summary.policy for summary in next(iter(by_workload.values()))]
    yield "## Real-time goodput, and goodput of all"
    yield ""
    yield f"| workload | {' | '.join(policies)} |"
    yield f"|---|{'---|' * len(policies)}"
    for name, summaries in by_workload.items():
        cells = []
        for summary in summaries:
            urgent = [entry for entry in summary.streams.values() if entry.priority == "REAL_TIME"]
            sent = sum(entry.sent for entry in urgent)
            mine = f"{_percent(sum(entry.in_time for entry in urgent) / sent)} / " if sent else ""
            cells.append(f"{mine}{_percent(summary.goodput)}")
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield "## Engine time wasted, and the worst wait of a background request that was run"
    yield ""
    yield f"| workload | {' | '.join(policies)} |"
    yield f"|---|{'---|' * len(policies)}"
    for name, summaries in by_workload.items():
        cells = [f"{_percent(summary.wasted)}, {summary.worst_background_wait:.2f} s" for summary in summaries]
        yield f"| {name} | {' | '.join(cells)} |"


def _calibration(comparisons: Sequence[Comparison]) -> Iterator[str]:
    yield "## Calibration against the live overload run"
    yield ""
    if not comparisons:
        yield "No live run was given (`--live FILE`): the figures are the model's alone."
    for item in comparisons:
        yield f"- {item}"
    yield ""


def _sweeps(points: Sequence[SweepPoint]) -> Iterator[str]:
    yield "## What one setting does"
    yield ""
    yield "One setting of tickserve moved at a time, the others at their defaults; the default is in bold."
    yield ""
    yield "| setting | value | workload | stream: goodput, p99 ms, in time/s | worst background wait s | wasted |"
    yield "|---|---|---|---|---|---|"
    for point in points:
        summary = point.summary
        streams = "; ".join(
            f"{name}: {_percent(entry.goodput)}, {_milliseconds(entry.p99)}, {entry.in_time_per_second:.1f}"
            for name, entry in summary.streams.items()
        )
        value = f"**{point.value}**" if point.is_default else point.value
        wait = f"{summary.worst_background_wait:.2f}"
        figures = (f"`{point.sweep.field}`", value, point.sweep.workload, streams, wait, _percent(summary.wasted))
        yield f"| {' | '.join(figures)} |"
    yield ""


def _workload(workload: Workload, summaries: Sequence[Summary]) -> Iterator[str]:
    yield f"## {workload.name.capitalize()}: {workload.description}"
    yield ""
    yield "| policy | stream | sent | goodput | in time/s | p50 ms | p99 ms | p99.9 ms | worst wait s | ends |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for summary in summaries:
        for name, entry in summary.streams.items():
            yield f"| {summary.policy} | {name} | {_stream(entry)} |"
    yield ""
    yield "| policy | engine busy | wasted | mean batch | longest batch ms | worst background wait s |"
    yield "|---|---|---|---|---|---|"
    for summary in summaries:
        figures = (
            summary.policy,
            _percent(summary.utilisation),
            _percent(summary.wasted),
            f"{summary.mean_batch_size:.1f}",
            f"{1e3 * summary.longest_batch:.0f}",
            f"{summary.worst_background_wait:.2f}",
        )
        yield f"| {' | '.join(figures)} |"
    yield ""


def _stream(entry: StreamSummary) -> str:
    ends = ", ".join(f"{name.removesuffix('Error')} {count}" for name, count in entry.outcomes.items())
    figures = (
        str(entry.sent),
        _percent(entry.goodput),
        f"{entry.in_time_per_second:.1f}",
        *(_milliseconds(value) for value in (entry.p50, entry.p99, entry.p999)),
        f"{entry.worst_wait:.2f}",
        ends,
    )
    return " | ".join(figures)


def _percent(part: float) -> str:
    return f"{part:.2%}" if math.isfinite(part) else "-"


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f}" if math.isfinite(seconds) else "-"
