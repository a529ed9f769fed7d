"""Owns the report's pictures. Must not run anything; everything shown is in the summaries."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, ScalarFormatter

from benchmarks.scheduling.sweep import SweepPoint
from planning.summary import QUANTILES, TIMELINE_BINS, Summary

#: File and caption of every plot.
PLOTS = {
    "goodput.png": "Goodput by workload and stream: answers within the deadline over requests sent.",
    "latency.png": "Latency of the answers there were; the dotted line is the deadline. "
    "A curve that ends below the top stands for requests that got no answer at all.",
    "timeline.png": "Goodput as the run goes by: a trading day, and an engine that is slow for a third of the time.",
    "tuning.png": "What `max_batch_duration` buys and costs: probes in time, and background throughput, under the live "
    "overload's traffic. The dotted line is the default.",
    "waste.png": "Engine time spent on requests whose answer came too late for anybody.",
}

_COLOURS = {"fifo": "#9aa0a6", "strict priority": "#e8a33d", "early binding": "#c0504d", "tickserve": "#1f6fb4"}

_TICKS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

Table = dict[tuple[str, str], Summary]


def draw_all(summaries: Sequence[Summary], points: Sequence[SweepPoint], folder: Path) -> None:
    """Draw every plot; one whose workloads were not run is empty."""
    folder.mkdir(parents=True, exist_ok=True)
    table = {(summary.workload, summary.policy): summary for summary in summaries}
    drawers: dict[str, Callable[[Table, Path], None]] = {
        "goodput.png": _draw_goodput,
        "latency.png": _draw_latency,
        "timeline.png": _draw_timeline,
        "waste.png": _draw_waste,
    }
    for file, draw in drawers.items():
        draw(table, folder / file)
    _draw_tuning(points, folder / "tuning.png")


def _names(table: Table) -> tuple[list[str], list[str]]:
    return list(dict.fromkeys(workload for workload, _ in table)), list(dict.fromkeys(policy for _, policy in table))


def _colour(policy: str) -> str:
    return _COLOURS.get(policy, "#333333")


def _save(path: Path, title: str) -> None:
    figure = plt.gcf()
    figure.suptitle(title)
    # No time stamp or version inside: the same figures give the same file.
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)


def _draw_goodput(table: Table, path: Path) -> None:
    workloads, policies = _names(table)
    # A stream of its own has all the engine: nothing to see.
    workloads = [name for name in workloads if len(table[name, policies[0]].streams) > 1] or workloads
    columns = 3
    rows = -(-len(workloads) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(12, 2.6 * rows + 0.8), squeeze=False, layout="constrained")
    for axes in grid.flat[len(workloads) :]:
        axes.set_axis_off()
    for axes, workload in zip(grid.flat, workloads, strict=False):
        streams = list(table[workload, policies[0]].streams)
        width = 0.8 / len(policies)
        for index, policy in enumerate(policies):
            values = [table[workload, policy].streams[stream].goodput for stream in streams]
            places = np.arange(len(streams)) + (index - (len(policies) - 1) / 2) * width
            axes.bar(places, values, width, color=_colour(policy), label=policy)
        axes.set_xticks(range(len(streams)), [name.replace(", ", "\n") for name in streams], fontsize=8)
        axes.set_ylim(0, 1.03)
        axes.set_title(workload, fontsize=10)
        axes.grid(axis="y", alpha=0.3)
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(policies))
    _save(path, "Goodput: answers in time over requests sent")


def _draw_latency(table: Table, path: Path) -> None:
    _, policies = _names(table)
    wanted = [
        ("live overload", "probe", 50.0),
        ("flash crash", "crash, traded", 250.0),
        ("overload", "standard", 250.0),
    ]
    wanted = [item for item in wanted if (item[0], policies[0]) in table]
    _, grid = plt.subplots(1, max(1, len(wanted)), figsize=(12, 4), squeeze=False, layout="constrained")
    for axes, (workload, stream, deadline) in zip(grid.flat, wanted, strict=False):
        for policy in policies:
            entry = table[workload, policy].streams[stream]
            answered = entry.outcomes.get("answered", 0) / entry.sent if entry.sent else 0.0
            latencies = np.array(entry.latency_quantiles) * 1e3
            axes.plot(latencies, np.array(QUANTILES) * answered, color=_colour(policy), label=policy, marker=".")
        axes.axvline(deadline, color="black", linestyle=":")
        _decorate(axes, f"{workload}: {stream}", "latency at the client, ms")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks([tick for tick in _TICKS_MS if axes.get_xlim()[0] <= tick <= axes.get_xlim()[1]])
        axes.set_ylabel("part of requests sent")
    if wanted:
        grid.flat[0].legend(fontsize=8)
    for axes in grid.flat[len(wanted) :]:
        axes.set_axis_off()
    _save(path, "Latency of answers")


def _draw_timeline(table: Table, path: Path) -> None:
    _, policies = _names(table)
    wanted = [(name, stream) for name in ("diurnal", "slow engine") for stream in ("real-time", "background")]
    wanted = [item for item in wanted if (item[0], policies[0]) in table]
    _, grid = plt.subplots(2, 2, figsize=(12, 6), squeeze=False, layout="constrained")
    for axes, (workload, stream) in zip(grid.flat, wanted, strict=False):
        for policy in policies:
            values = table[workload, policy].streams[stream].timeline
            places = (np.arange(TIMELINE_BINS) + 0.5) / TIMELINE_BINS
            axes.plot(places, values, color=_colour(policy), label=policy, linewidth=1.2)
        _decorate(axes, f"{workload}: {stream}", "part of the run")
        axes.set_ylabel("goodput")
    if wanted:
        grid.flat[0].legend(fontsize=8)
    for axes in grid.flat[len(wanted) :]:
        axes.set_axis_off()
    _save(path, "Goodput over time")


def _decorate(axes: Axes, title: str, x_label: str) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(x_label)
    axes.set_ylim(0, 1.03)
    axes.grid(alpha=0.3)


def _draw_tuning(points: Sequence[SweepPoint], path: Path) -> None:
    points = [point for point in points if point.sweep.field == "max_batch_duration"]
    _, (left, right) = plt.subplots(1, 2, figsize=(12, 3.4), layout="constrained")
    seconds = [1e3 * point.sweep.values[point.value] for point in points]
    probes = [point.summary.streams["probe"].goodput for point in points]
    background = [point.summary.streams["background"].in_time_per_second for point in points]
    left.plot(seconds, probes, marker="o", color=_colour("tickserve"))
    right.plot(seconds, background, marker="o", color=_colour("tickserve"))
    _decorate(left, "probes answered within 50 ms, part of those sent", "max_batch_duration, ms")
    _decorate(right, "background answers a second", "max_batch_duration, ms")
    right.set_ylim(0, 1.1 * max(background, default=1.0))
    for point, at in zip(points, seconds, strict=True):
        if point.is_default:
            left.axvline(at, color="black", linestyle=":")
            right.axvline(at, color="black", linestyle=":")
    _save(path, "The longest batch")


def _draw_waste(table: Table, path: Path) -> None:
    workloads, policies = _names(table)
    _, axes = plt.subplots(figsize=(12, 3.4), layout="constrained")
    width = 0.8 / len(policies)
    for index, policy in enumerate(policies):
        values = [100 * table[workload, policy].wasted for workload in workloads]
        places = np.arange(len(workloads)) + (index - (len(policies) - 1) / 2) * width
        axes.bar(places, values, width, color=_colour(policy), label=policy)
    axes.set_xticks(range(len(workloads)), workloads, fontsize=9)
    axes.set_ylabel("% of the engine's running time")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    _save(path, "Wasted engine time")
