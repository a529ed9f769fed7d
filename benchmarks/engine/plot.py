"""The plots of the engine comparison. The only file here that imports matplotlib, which a server never needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: no display is looked for

from matplotlib import pyplot as plt

_COLOURS = ("#999999", "#3b75af", "#ef8636", "#519e3e")
_STYLES = ("-", "--", ":", "-.")


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Writes a PNG with time per window, speed-up and share of the floor by batch size."""
    figure, axes = plt.subplots(1, 3, figsize=(17, 5))
    per_window, speed_up, floor = axes.flat
    for colour, name in zip(_COLOURS, document["engines"], strict=False):
        for style, threads in zip(_STYLES, document["settings"]["threads"], strict=False):
            cells = [each for each in document["cells"] if (each["engine"], each["threads"]) == (name, threads)]
            sizes = [each["size"] for each in cells]
            look = {"color": colour, "linestyle": style, "marker": ".", "label": f"{name}, threads: {threads}"}
            per_window.plot(sizes, [each["window_ms"] for each in cells], **look)
            floor.plot(sizes, [100 * each["floor_share"] for each in cells], **look)
            median = [each["speed_up"]["median"] for each in cells]
            speed_up.plot(sizes, median, **look)
            low, high = ([each["speed_up"][end] for each in cells] for end in ("min", "max"))
            speed_up.fill_between(sizes, low, high, color=colour, alpha=0.12)
    per_window.set(title="Time per window, median", ylabel="ms", yscale="log")
    speed_up.set(title="Speed-up over eager (band: least to greatest round)", ylabel="times", ylim=(0, None))
    floor.set(title="Bare arithmetic's share of the time", ylabel="percent", ylim=(0, None))
    for axis in axes.flat:
        axis.set(xlabel="batch size", xscale="log")
        axis.set_xticks(document["settings"]["sizes"], [str(size) for size in document["settings"]["sizes"]])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
