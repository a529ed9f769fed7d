"""Reads names out of PromQL: which series an expression asks for, by which labels. No parser: promtool is one.

What it takes for granted is the form that this repository writes: label lists after `by` and `on`, matchers in braces
right behind the series' name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Labels that Prometheus adds to every series of a target.
TARGET_LABELS = frozenset({"job", "instance"})
# Series that Prometheus writes itself; ALERTS has the labels of our alerts, too.
_PROMETHEUS = {
    "up": frozenset[str](),
    "ALERTS": frozenset({"alertname", "alertstate", "severity", "class", "replica", "model", "version", "arm"}),
}
_SUFFIXES = ("_bucket", "_sum", "_count")
_OURS = r"(?:[a-z_]+:)?tickserve_[a-z0-9_]+(?::[a-z0-9_]+)?"
_SELECTOR = re.compile(rf"(?<![\w:])({_OURS}|up(?=\{{)|ALERTS(?=\{{))\s*(\{{[^}}]*\}})?")
_MATCHER = re.compile(r'([a-z_]+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
_LABEL_LIST = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Selector:
    """One series that an expression asks for, and the values of its labels that it names."""

    name: str
    matchers: Mapping[str, tuple[str, ...]]


def selectors(expr: str) -> Iterator[Selector]:
    """Yields every series of ours, `up` and `ALERTS` that an expression names; a matcher's alternatives are values."""
    for found in _SELECTOR.finditer(expr):
        matchers = {label: tuple(value.split("|")) for label, value in _MATCHER.findall(found[2] or "")}
        yield Selector(found[1], matchers)


def grouping_labels(expr: str) -> set[str]:
    """Returns the labels that an expression groups or joins by."""
    return {label.strip() for names in _LABEL_LIST.findall(expr) for label in names.split(",") if label.strip()}


def labels_of(name: str, metrics: Mapping[str, frozenset[str]], recorded: frozenset[str]) -> frozenset[str] | None:
    """Returns the labels of a series, the target's apart; None if there is no such series.

    Args:
        name: As an expression names it.
        metrics: Labels of every metric, by name; of histograms without suffix.
        recorded: Names of all recorded series; their level, before the first colon, says their labels.
    """
    if name in _PROMETHEUS:
        return _PROMETHEUS[name]
    if ":" in name:
        return frozenset(name.partition(":")[0].split("_")) - {"job"} if name in recorded else None
    if name in metrics:
        return metrics[name]
    for suffix in _SUFFIXES:
        if (family := name.removesuffix(suffix)) != name and family in metrics:
            return metrics[family] | ({"le"} if suffix == "_bucket" else set())
    return None


def mistakes(expr: str, metrics: Mapping[str, frozenset[str]], recorded: frozenset[str]) -> list[str]:
    """Returns a line for every series that does not exist, and every label that no series named beside it has."""
    found, known = [], set(TARGET_LABELS)
    for selector in selectors(expr):
        labels = labels_of(selector.name, metrics, recorded)
        if labels is None:
            found.append(f"{selector.name}: there is no such series")
            continue
        known |= labels
        found += [f"{selector.name} has no label {name}" for name in selector.matchers.keys() - labels - TARGET_LABELS]
    return found + [f"nothing here has a label {label}" for label in grouping_labels(expr) - known]
