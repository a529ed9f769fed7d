"""The committed dashboard, asked of Prometheus as Grafana asks it: panels, expressions, legends."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.drill.prometheus import SCRAPE_INTERVAL, Prometheus
from benchmarks.drill.screen import Line, Screen

_FILE = Path(__file__).resolve().parent.parent.parent / "deploy/grafana/tickserve.json"
_JOB = "tickserve"
# What Grafana makes of an interval: four scrapes, and one more for what comes late.
_RATE_INTERVAL = f"{5 * SCRAPE_INTERVAL}s"


def targets() -> Iterator[tuple[str, str, str]]:
    """Yields title, expression and legend of everything that the dashboard asks, variables filled in."""
    for panel in json.loads(_FILE.read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", ()):
            expr = target["expr"].replace("$job", _JOB).replace("$__rate_interval", _RATE_INTERVAL)
            yield panel["title"], expr, target["legendFormat"]


def screen(prometheus: Prometheus, *, start: float, end: float) -> Screen:
    """Returns what all panels show between two Unix times.

    Raises:
        OSError: Prometheus refuses one of the expressions.
    """
    shown: dict[str, dict[str, Line]] = {}
    for title, expr, legend in targets():
        lines = shown.setdefault(title, {})
        for labels, line in prometheus.lines(expr, start=start, end=end):
            # A series that has no sample but NaN is nothing to be seen.
            if not all(math.isnan(value) for value in line):
                lines[filled(legend, labels)] = line
    return shown


def filled(legend: str, labels: Mapping[str, str]) -> str:
    """Returns a legend with its labels' values, as Grafana writes it."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)
