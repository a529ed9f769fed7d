"""The plots of the tick streams. The only file here that imports matplotlib, which a server never needs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: no display is looked for

from matplotlib import pyplot as plt

_COLOURS = ("#3b75af", "#ef8636", "#519e3e", "#c53a32")
_AGES = {"from_due_ms": "since due", "from_receipt_ms": "since receipt", "behind_ms": "since a newer tick"}


def draw(document: Mapping[str, Any], titles: Mapping[str, str], path: Path) -> None:
    """Writes a PNG with throughput and latency in both loops, and the ages at overload."""
    figure, axes = plt.subplots(2, 2, figsize=(15, 10))
    throughput, closed, opened, ages = axes.flat
    compared = document["memory_store"]
    _throughput(throughput, compared["closed"], titles)
    _latencies(closed, compared["closed"], titles, "Closed loop")
    _latencies(opened, compared["open"], titles, "Open loop, half of the capacity")
    _ages(ages, document["overload"])
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _throughput(axis: Any, scenarios: Mapping[str, Any], titles: Mapping[str, str]) -> None:
    places = range(len(scenarios))
    values = [each["per_second"] for each in scenarios.values()]
    medians = [value["median"] for value in values]
    errors = [
        [value["median"] - value["min"] for value in values],
        [value["max"] - value["median"] for value in values],
    ]
    colours = ["#999999" if name.startswith("unary") else _COLOURS[0] for name in scenarios]
    axis.barh(list(places), medians, color=colours, xerr=errors)
    axis.set_yticks(list(places), [titles[name] for name in scenarios], fontsize=8)
    axis.invert_yaxis()
    axis.set(title="Answers a second, closed loop (bars: least to greatest)")
    axis.grid(alpha=0.3, axis="x")


def _latencies(axis: Any, scenarios: Mapping[str, Any], titles: Mapping[str, str], title: str) -> None:
    streams = [name for name in scenarios if not name.startswith("unary")]
    colours = dict(zip(streams, _COLOURS, strict=False))
    for name, each in scenarios.items():
        histogram = each["histogram_ms"]
        total = sum(count for _, count in histogram)
        shares = [count / total for count in accumulate(count for _, count in histogram)]
        is_stream = name in colours
        axis.step(
            [bound for bound, _ in histogram],
            shares,
            where="pre",
            color=colours.get(name, "#999999"),
            linewidth=1.5 if is_stream else 1,
            label=titles[name],
        )
    axis.set(title=f"{title}: due to answer", xscale="log", xlabel="ms", ylabel="share", ylim=(0, 1.02))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)


def _ages(axis: Any, overload: Mapping[str, Any]) -> None:
    shares = ("p50", "p90", "p99", "max")
    for (name, each), style in zip(overload.items(), ("-", "--"), strict=False):
        for (key, label), colour in zip(_AGES.items(), _COLOURS, strict=False):
            heights = [each["ages"][key][share] for share in shares]
            if None not in heights:
                axis.plot(shares, heights, f"o{style}", color=colour, label=f"{name}: {label}")
        if each["batch_ms"]:
            axis.axhline(2 * each["batch_ms"], color="black", linestyle=":" if style == "-" else "-.", linewidth=1)
    axis.set_yscale("symlog", linthresh=1)
    axis.set(title="Overload: age of the answered bar (black: two batch times)", ylabel="ms", ylim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
