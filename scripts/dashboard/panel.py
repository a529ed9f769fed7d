"""What a panel shows and says, and its form in Grafana's JSON. Pure; knows no metric by name."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Sequence
from typing import Any, Literal

Json = dict[str, Any]
Kind = Literal["stat", "timeseries", "state-timeline", "table", "text"]

DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
# The same colour wherever a class is shown; by the beginning of the legend.
_CLASS_COLOURS = {"real_time": "blue", "standard": "green", "background": "orange", "shadow": "purple"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One PromQL expression of a panel.

    Attributes:
        expr: The expression.
        legend: Name of each series; `{{label}}` stands for a label's value.
    """

    expr: str
    legend: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One panel.

    Attributes:
        title: Three words or so; unique within the dashboard.
        description: How to read it: what is normal, what is not, and what that says.
        queries: What it asks; none for text.
        unit: Grafana's name of the unit.
        kind: Grafana's name of the panel.
        width: Of 24 columns.
        height: In grid units.
        steps: Threshold colours: from which value on which colour; the first value is the base.
        stacked: Whether series are piled on each other.
        log: Whether the axis is logarithmic: latencies are.
        decimals: Digits after the point; None lets Grafana choose.
        least: Lower end of the axis; None where values may be negative or the axis is logarithmic.
        most: Upper end of the axis; None lets Grafana choose.
        names: Words for values, for states.
        text: Markdown of a text panel.
    """

    title: str
    description: str
    queries: Sequence[Query] = ()
    unit: str = "short"
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 8
    steps: Sequence[tuple[float | None, str]] = ()
    stacked: bool = False
    log: bool = False
    decimals: int | None = None
    least: float | None = 0
    most: float | None = None
    names: Sequence[tuple[int, str, str]] = ()
    text: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Panels under one question.

    Attributes:
        title: The question.
        panels: From left to right, top to bottom.
    """

    title: str
    panels: Sequence[Panel]


def to_json(panel: Panel, *, number: int, x: int, y: int) -> Json:
    """Returns the panel as Grafana reads it.

    Args:
        panel: The panel.
        number: Its id.
        x: Its left column.
        y: Its upper edge.
    """
    document: Json = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y},
    }
    if panel.kind == "text":
        return document | {"options": {"mode": "markdown", "content": panel.text}}
    return document | {
        "datasource": DATASOURCE,
        "targets": [_target(query, string.ascii_uppercase[index], panel) for index, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
    }


def _target(query: Query, letter: str, panel: Panel) -> Json:
    # A stat or a table is about now; asked over a range it would read a whole history for one figure.
    is_instant = panel.kind in ("stat", "table")
    return {
        "refId": letter,
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend,
        "instant": is_instant,
        "range": not is_instant,
    } | ({"format": "table"} if panel.kind == "table" else {})


def _defaults(panel: Panel) -> Json:
    defaults: Json = {
        "unit": panel.unit,
        "color": {"mode": "thresholds" if panel.kind == "stat" or panel.names else "palette-classic"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in panel.steps or [(None, "green")]],
        },
        "mappings": [],
        "custom": {},
    }
    if panel.names:
        shown = {
            str(value): {"text": text, "color": colour, "index": index}
            for index, (value, text, colour) in enumerate(panel.names)
        }
        defaults["mappings"] = [{"type": "value", "options": shown}]
    if panel.least is not None and not panel.log:
        defaults["min"] = panel.least
    if panel.most is not None:
        defaults["max"] = panel.most
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 0,
            "showPoints": "never",
            # A line over a gap would tell of what nobody measured.
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "scaleDistribution": {"type": "log", "log": 10} if panel.log else {"type": "linear"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    return defaults


def _overrides(panel: Panel) -> list[Json]:
    if panel.kind != "timeseries" or not any(query.legend.startswith("{{class}}") for query in panel.queries):
        return []
    return [
        {
            "matcher": {"id": "byRegexp", "options": f"/^{name}/"},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in _CLASS_COLOURS.items()
    ]


def _options(panel: Panel) -> Json:
    match panel.kind:
        case "stat":
            return {
                "colorMode": "background",
                "graphMode": "none",
                "textMode": "auto",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm"}
        case "state-timeline":
            return {"showValue": "auto", "mergeValues": True, "rowHeight": 0.8, "legend": {"showLegend": False}}
    return {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
