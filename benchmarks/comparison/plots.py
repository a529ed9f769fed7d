"""The pictures of the comparison. The only file here that imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: no display is looked for

from matplotlib import pyplot as plt

from benchmarks.comparison.scenarios import PROBE_DEADLINE
from benchmarks.peers import catalogue

_COLOURS = {
    catalogue.AS_SHIPPED: "#2c7a3f",
    catalogue.SAME_ENGINE: "#8fc99b",
    catalogue.STOCK: "#999999",
    catalogue.STOCK_HAPROXY: "#ef8636",
    catalogue.TRITON: "#3b75af",
    catalogue.BARE: "#7a3f8f",
    catalogue.ECHO: "#000000",
    catalogue.INGRESS_ECHO: "#c0a000",
}
_LOADS = ("unary_1", "unary_8", "unary_64")
_CLASSES = ("real_time", "standard", "background")


def draw(document: Mapping[str, Any], folder: Path) -> list[str]:
    """Writes the pictures there is material for, and returns their file names."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    scenarios = document["scenarios"]
    for name, needs, picture in (
        ("latency.png", ("saturated",), _latency),
        ("throughput.png", ("unary_1", "unary_64"), _throughput),
        ("overload.png", ("overload",), _overload),
        ("overhead.png", ("null_1",), _overhead),
    ):
        if all(each in scenarios for each in needs):
            figure = picture(scenarios, document["titles"])
            figure.tight_layout()
            figure.savefig(folder / name, dpi=100)
            plt.close(figure)
            drawn.append(name)
    return drawn


def _latency(scenarios: Mapping[str, Any], titles: Mapping[str, str]) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(14, 5))
    for axis, traffic, title in zip(
        axes, ("probe", "background"), ("Real-time probes, share of all sent", "Background beside them"), strict=True
    ):
        for server, figures in scenarios["saturated"]["servers"].items():
            told = figures["traffic"][traffic]
            total = max(1, told["sent"])
            bounds = [bound for bound, _ in told["histogram_ms"]]
            shares = [count / total for count in accumulate(count for _, count in told["histogram_ms"])]
            axis.step(bounds, shares, where="post", color=_COLOURS[server], label=titles[server])
        axis.set(title=title, xscale="log", xlabel="ms", ylabel="answered within", ylim=(0, 1.02))
        axis.grid(alpha=0.3)
    axes[0].axvline(1e3 * PROBE_DEADLINE, color="black", linestyle=":")
    axes[0].legend(fontsize=8)
    return figure


def _throughput(scenarios: Mapping[str, Any], titles: Mapping[str, str]) -> Any:
    figure, axis = plt.subplots(figsize=(8, 5))
    loads = [load for load in _LOADS if load in scenarios]
    for server in scenarios[loads[0]]["servers"]:
        told = [scenarios[load]["servers"][server]["traffic"]["calls"] for load in loads]
        axis.plot(
            [each["per_second"]["median"] for each in told],
            [each["latency_ms"]["p50"]["median"] for each in told],
            "o-",
            color=_COLOURS[server],
            label=titles[server],
        )
    title = f"Unary, {' and '.join(load.partition('_')[2] for load in loads)} in flight"
    axis.set(title=title, xlabel="answers a second", ylabel="p50, ms", yscale="log", xlim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure


def _overload(scenarios: Mapping[str, Any], titles: Mapping[str, str]) -> Any:
    figure, axis = plt.subplots(figsize=(9, 5))
    servers = scenarios["overload"]["servers"]
    width = 0.8 / len(servers)
    for place, (server, figures) in enumerate(servers.items()):
        shares = [figures["traffic"][name]["goodput"]["median"] or 0.0 for name in _CLASSES]
        spots = [index + place * width for index in range(len(_CLASSES))]
        axis.bar(spots, shares, width, color=_COLOURS[server], label=titles[server])
    axis.set(title="Answered in time at twice its own capacity, share of sent", ylim=(0, 1.02))
    axis.set_xticks([index + 0.4 for index in range(len(_CLASSES))], _CLASSES)
    axis.grid(alpha=0.3, axis="y")
    axis.legend(fontsize=8)
    return figure


def _overhead(scenarios: Mapping[str, Any], titles: Mapping[str, str]) -> Any:
    figure, axis = plt.subplots(figsize=(8, 4))
    servers = scenarios["null_1"]["servers"]
    order = sorted(servers, key=lambda server: servers[server]["value"]["median"] or 0.0)
    values = [servers[server]["value"]["median"] or 0.0 for server in order]
    axis.barh([titles[server] for server in order], values, color=[_COLOURS[server] for server in order])
    for place, value in enumerate(values):
        axis.text(value, place, f" {value:.2f} ms", va="center", fontsize=8)
    axis.set(title="What each hop costs: one call at a time, hardly a network, p50", xlabel="ms")
    axis.grid(alpha=0.3, axis="x")
    return figure
