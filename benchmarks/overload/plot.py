"""The plots of the overload comparison. The only file here that imports matplotlib, which a server never needs."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: no display is looked for

from matplotlib import pyplot as plt

_COLOURS = ("#999999", "#3b75af", "#ef8636", "#519e3e")
_OUTCOMES = {
    "in_time": "#519e3e",
    "late": "#e3b23c",
    "expired": "#ef8636",
    "refused": "#c53a32",
    "unanswered": "#7a3f8f",
    "failed": "#5b3a29",
    "wrong": "#000000",
}


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG with latencies, throughput, outcomes and batch costs."""
    targets = document["targets"]
    colours = dict(zip(targets, _COLOURS, strict=False))
    figure, axes = plt.subplots(2, 3, figsize=(17, 9))
    probe, background, throughput, outcomes, seconds, costs = axes.flat
    for name, figures in targets.items():
        _cdf(probe, figures["probe_histogram_ms"], figures["probe_sent"], figures["title"], colours[name])
        beside = figures["background_histogram_ms"]
        _cdf(background, beside, sum(count for _, count in beside), figures["title"], colours[name])
        usual = [(int(size), cost) for size, cost in figures["costs"].items() if cost["count"] >= 3]
        costs.plot(
            [size for size, _ in usual],
            [cost["p50_ms"] for _, cost in usual],
            ".-",
            color=colours[name],
            label=figures["title"],
        )
        shares = [
            row["in_time"] / row["sent"]
            for each in figures["rounds"]
            for row in each["probe_per_second"]
            if row["sent"]
        ]
        seconds.plot(shares, color=colours[name], label=figures["title"], linewidth=1)
    deadline = 1e3 * document["settings"]["deadline"]
    probe.axvline(deadline, color="black", linestyle=":", label=f"deadline, {deadline:g} ms")
    for axis, title in (
        (probe, "Probes: latency, share of all sent"),
        (background, "Background beside probes: latency"),
    ):
        axis.set(title=title, xscale="log", xlabel="ms", ylabel="share answered within", ylim=(0, 1.02))
    seconds.set(
        title="Probes in time, second by second", xlabel="measured second", ylabel="share of sent", ylim=(-0.02, 1.02)
    )
    costs.set(title="Engine time per batch, median", xlabel="batch size", ylabel="ms", xlim=(0, None), ylim=(0, None))
    _throughput(throughput, targets)
    _outcomes(outcomes, targets)
    for axis in axes.flat:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _cdf(axis: Any, histogram: list[list[float]], total: int, label: str, colour: str) -> None:
    shares = [count / total for count in accumulate(count for _, count in histogram)] if total else []
    axis.step([bound for bound, _ in histogram], shares, where="pre", color=colour, label=label)


def _throughput(axis: Any, targets: Mapping[str, Any]) -> None:
    places = range(len(targets))
    for shift, key, label, colour in ((-0.2, "alone_", "alone", "#b5c7dd"), (0.2, "", "beside probes", "#3b75af")):
        field = f"background_{key}per_second"
        axis.bar(
            [place + shift for place in places],
            [each[field] for each in targets.values()],
            0.4,
            label=label,
            color=colour,
        )
        for place, figures in enumerate(targets.values()):
            dots = [each[field] for each in figures["rounds"]]
            axis.plot([place + shift] * len(dots), dots, "k.", markersize=4)
    axis.set_xticks(list(places), [figures["title"] for figures in targets.values()], fontsize=8)
    axis.set(title="Background: answers a second (dots: rounds)")


def _outcomes(axis: Any, targets: Mapping[str, Any]) -> None:
    below = [0.0] * len(targets)
    for outcome, colour in _OUTCOMES.items():
        shares = [each["probe_outcomes"].get(outcome, 0) / each["probe_sent"] for each in targets.values()]
        if any(shares):
            axis.bar(range(len(targets)), shares, 0.6, bottom=below, color=colour, label=outcome.replace("_", " "))
        below = [low + share for low, share in zip(below, shares, strict=True)]
    axis.set_xticks(range(len(targets)), [figures["title"] for figures in targets.values()], fontsize=8)
    axis.set(title="Probes: what became of those sent", ylim=(0, 1.02))
