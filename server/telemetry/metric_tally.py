"""Adds up series of many segments. Owns how values merge and which versions' series are kept; knows no file."""

from __future__ import annotations

import json
from collections.abc import Iterable

from server.telemetry.metric import Kind, Merge
from server.telemetry.metric_catalogue import BY_NAME, MODEL_LOADED

Key = tuple[str, tuple[str, ...]]
"""A metric's name and the values of its labels."""

# Of versions that no replica holds any more, how many are remembered of one model: the highest ones.
PAST_VERSIONS = 32


def encode(key: Key) -> str:
    """Returns the text that a key is in a segment."""
    return json.dumps([key[0], *key[1]], separators=(",", ":"), ensure_ascii=False)


def decode(text: str) -> Key | None:
    """Returns the key of a text; None if it is none."""
    try:
        parts = json.loads(text)
    except ValueError:
        return None
    if not isinstance(parts, list) or not parts or not all(isinstance(part, str) for part in parts):
        return None
    return parts[0], tuple(parts[1:])


class Tally:
    """Sums, by series.

    Attributes:
        values: Cells by series.
    """

    def __init__(self) -> None:
        self.values: dict[Key, list[float]] = {}

    def add(self, key: Key, cells: list[float], *, gauges: bool) -> None:
        """Adds one series; one that the catalogue does not have, or not so, is passed over: another release wrote it.

        Args:
            key: Of the series.
            cells: Its numbers; kept.
            gauges: Whether it counts if it is a gauge: what the dead said of themselves is past.
        """
        metric = BY_NAME.get(key[0])
        if metric is None or len(cells) != metric.cell_count or len(key[1]) != len(metric.labels):
            return
        if metric.kind is Kind.GAUGE and not gauges:
            return
        before = self.values.get(key)
        if before is None:
            self.values[key] = cells
        elif metric.kind is Kind.GAUGE and metric.merge is Merge.MAX:
            before[0] = max(before[0], cells[0])
        else:
            self.values[key] = [a + b for a, b in zip(before, cells, strict=True)]

    def add_all(self, series: Iterable[tuple[Key, list[float]]], *, gauges: bool) -> None:
        """Adds many."""
        for key, cells in series:
            self.add(key, cells, gauges=gauges)

    def loaded_versions(self) -> set[tuple[str, str]]:
        """Returns name and version of every model that some replica holds in memory."""
        return {
            (labels[0], labels[1])
            for (name, labels), cells in self.values.items()
            if name == MODEL_LOADED.name and cells[0] > 0
        }

    def without_versions_but(self, kept: set[tuple[str, str]]) -> dict[Key, list[float]]:
        """Returns the series that are about one of the versions `kept`, or about none."""
        return {key: cells for key, cells in self.values.items() if (v := _version(key)) is None or v in kept}

    def forget_past_versions(self, *, kept: set[tuple[str, str]]) -> None:
        """Keeps, of the series about a version, those `kept` and those of each model's highest others."""
        past: dict[str, set[str]] = {}
        for key in self.values:
            if (version := _version(key)) is not None and version not in kept:
                past.setdefault(version[0], set()).add(version[1])
        remembered = {
            (name, version)
            for name, versions in past.items()
            for version in sorted(versions, key=_number, reverse=True)[:PAST_VERSIONS]
        }
        self.values = self.without_versions_but(kept | remembered)


def _version(key: Key) -> tuple[str, str] | None:
    return BY_NAME[key[0]].version_of(key[1])


def _number(version: str) -> int:
    return int(version) if version.isdecimal() else -1
