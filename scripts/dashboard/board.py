"""The whole dashboard: its rows in the order of a reading at 3 a.m., its variables and its marks. Pure.

Grafana's classic schema at its last version, 42: every Grafana from 9 on imports it and provisions it from a file;
those of 13 and later turn it into schema v2 when they load it, which the older ones cannot read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scripts.dashboard.cause import CAUSE
from scripts.dashboard.panel import DATASOURCE, Json, Panel, Row, to_json
from scripts.dashboard.place import PLACE
from scripts.dashboard.sufferers import SUFFERERS
from scripts.dashboard.verdict import VERDICT

SCHEMA_VERSION = 42
COLUMNS = 24
ROWS: tuple[Row, ...] = (VERDICT, SUFFERERS, PLACE, CAUSE)


def dashboard() -> Json:
    """Returns the dashboard as Grafana reads it."""
    return {
        "uid": "tickserve",
        "title": "tickserve",
        "description": "Read from top to bottom: is it us, who suffers, where, why. docs/drill.md reads it aloud.",
        "tags": ["tickserve"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        # One cross-hair in all panels: what happened at that moment?
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "15s",
        "timezone": "browser",
        "templating": {"list": list(_variables())},
        "annotations": {"list": list(_annotations())},
        "links": [],
        "panels": list(_placed(ROWS)),
    }


def _placed(rows: Sequence[Row]) -> Iterator[Json]:
    """Yields headings and panels, each in its place: lines of panels of one height, filled from the left."""
    number, y = 1, 0
    for row in rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
            "panels": [],
        }
        number, y, x, height = number + 1, y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            yield to_json(panel, number=number, x=x, y=y)
            number, x, height = number + 1, x + panel.width, max(height, panel.height)
        y += height


def _variables() -> Iterator[Json]:
    yield {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
    }
    query = "label_values(tickserve_replica_info, job)"
    yield {
        "name": "job",
        "label": "Installation",
        "type": "query",
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "job"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "current": {"text": "tickserve", "value": "tickserve"},
    }


def _annotations() -> Iterator[Json]:
    for name, expr, colour in (
        ("Alerts", 'ALERTS{alertstate="firing", alertname=~"Tickserve.*"}', "red"),
        ("New replicas", 'tickserve_replica_uptime_seconds{job="$job"} < 30', "blue"),
    ):
        yield {
            "name": name,
            "datasource": DATASOURCE,
            "enable": True,
            "iconColor": colour,
            "expr": expr,
            "step": "15s",
            "titleFormat": name,
            "textFormat": "{{alertname}} {{class}} {{replica}}",
        }


def panels() -> list[Panel]:
    """Returns all panels, in order."""
    return [panel for row in ROWS for panel in row.panels]
