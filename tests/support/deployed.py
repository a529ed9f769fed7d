"""What lies in deploy/: the rules, the dashboard and every expression in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts.layering import ROOT

DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULE_FILES = tuple(sorted((PROMETHEUS / "rules").glob("*.yml")))
RULE_TESTS = tuple(sorted((PROMETHEUS / "tests").glob("*.yml")))

Json = dict[str, Any]


def read_yaml(path: Path) -> Json:
    """Returns the document in a YAML file."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


@cache
def rules() -> tuple[Json, ...]:
    """Returns all recording and alert rules."""
    return tuple(rule for path in RULE_FILES for group in read_yaml(path)["groups"] for rule in group["rules"])


def alerts() -> dict[str, Json]:
    """Returns the alert rules by name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recordings() -> dict[str, str]:
    """Returns the expressions of the recording rules by the name of what they record."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


@cache
def dashboard() -> Json:
    """Returns the committed dashboard."""
    document = json.loads((DEPLOY / "grafana/tickserve.json").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def panel_expressions() -> Iterator[tuple[str, str]]:
    """Yields the title of each panel, or the name of each annotation, with every expression of it."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for annotation in dashboard()["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def filled(expr: str, *, job: str = "tickserve", interval: str = "1m") -> str:
    """Returns a panel's expression as Grafana sends it: with its variables' values."""
    return expr.replace("$job", job).replace("$__rate_interval", interval)


def expressions() -> Iterator[tuple[str, str]]:
    """Yields every expression of rules and dashboard with the name of what it belongs to."""
    for rule in rules():
        yield rule.get("alert") or rule["record"], rule["expr"]
    for title, expr in panel_expressions():
        yield title, filled(expr)
