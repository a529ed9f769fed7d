"""The plot: load, replicas and latency over time. The only file here that imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: no display is looked for

from matplotlib import pyplot as plt


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG with three panels that share their time."""
    rows = document["seconds"]
    at = [row["at"] for row in rows]
    figure, (load, replicas, latency) = plt.subplots(3, 1, figsize=(11, 9), sharex=True)
    load.plot(at, [row["made"] for row in rows], color="#3b75af", label="calls made")
    load.plot(at, [row["failed"] for row in rows], color="#c53a32", label="calls failed")
    load.set(ylabel="calls a second", title="Load")
    for name, colour in (("wanted", "#ef8636"), ("present", "#999999"), ("answering", "#519e3e")):
        replicas.step(at, [row[name] for row in rows], color=colour, label=name, where="post")
    replicas.set(ylabel="replicas", title="Replicas: wanted by the policy, present as processes, answering")
    latency.plot(at, [row["max_ms"] for row in rows], color="#c53a32", label="slowest", linewidth=0.8)
    latency.plot(at, [row["p50_ms"] for row in rows], color="#3b75af", label="median")
    latency.set(ylabel="ms", xlabel="seconds", yscale="log", title="Latency of each second's calls")
    for axis in (load, replicas, latency):
        axis.grid(alpha=0.3)
        axis.legend(loc="upper right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)
