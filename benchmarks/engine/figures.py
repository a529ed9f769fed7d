"""Figures, ratios and goals from the raw results of all rounds. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.engine.subjects import BASE, PRECISIONS, SHIPPED, cell, product
from benchmarks.figures import ratio, spread
from model.engine import Precision
from tickserve.bench.percentile import percentile

# Below so many calls the slowest of a hundred was not seen.
_LEAST_CALLS_FOR_P99 = 100
_GOAL = 2.0
_GOAL_SIZES = (1, 64)


def summarise(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the document that is written: a figure for each engine, batch size and thread count, and the goals.

    Args:
        raw: What `experiment.measure` returned.
    """
    settings = raw["settings"]
    products: dict[str, Any] = {
        precision: {str(threads): _product(raw, precision, threads) for threads in settings["threads"]}
        for precision in PRECISIONS
    }
    cells = [
        _cell(raw, products, name, size, threads)
        for threads in settings["threads"]
        for name in raw["engines"]
        for size in settings["sizes"]
    ]
    kept = ("engines", "missing", "settings", "operations", "elapsed", "foreign_share")
    return {key: raw[key] for key in kept} | {"products": products, "cells": cells, "goals": list(_goals(cells))}


def find(cells: Sequence[Mapping[str, Any]], name: str, size: int, threads: int) -> Mapping[str, Any] | None:
    """Returns the figures of one engine at one batch size and thread count; None: it was not measured."""
    wanted = (name, size, threads)
    return next((each for each in cells if (each["engine"], each["size"], each["threads"]) == wanted), None)


def _cell(raw: Mapping[str, Any], products: Mapping[str, Any], name: str, size: int, threads: int) -> dict[str, Any]:
    rounds = [each[cell(name, size, threads)] for each in raw["rounds"]]
    base = [each[cell(BASE.name, size, threads)] for each in raw["rounds"]]
    durations = sorted(duration for each in rounds for duration in each)
    ordered = [1e3 * duration for duration in durations]
    median = statistics.median(ordered)
    precision = name.split()[-1]
    floor = 1e3 * size * raw["operations"]["as_written"] / products[precision][str(threads)]["per_second"]
    return {
        "engine": name,
        "size": size,
        "threads": threads,
        "calls": len(ordered),
        "p50_ms": percentile(ordered, 0.5),
        "p99_ms": percentile(ordered, 0.99) if len(ordered) >= _LEAST_CALLS_FOR_P99 else None,
        "window_ms": median / size,
        # Of medians within a round, so that a round in which the machine was slow counts for both.
        "speed_up": spread(
            ratio(statistics.median(its), statistics.median(own)) for own, its in zip(rounds, base, strict=True)
        ),
        "floor_share": floor / median,
    }


def _product(raw: Mapping[str, Any], precision: Precision, threads: int) -> dict[str, float]:
    """Returns what a bare matrix product reaches in its quickest call: a floor is what nothing disturbed."""
    seconds = min(duration for each in raw["rounds"] for duration in each[cell(product(precision), 1, threads)])
    return {"per_second": raw["operations"]["product"] / seconds}


def _goals(cells: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    goals = []
    for threads in sorted({each["threads"] for each in cells}):
        for size in _GOAL_SIZES:
            figures = find(cells, SHIPPED.name, size, threads)
            if figures is None:
                continue
            value = figures["speed_up"]["median"]
            goals.append(
                {
                    "name": f"{SHIPPED.name} over {BASE.name}, batches of {size}, threads: {threads}",
                    "wanted": f">= {_GOAL:g}",
                    "value": value,
                    "met": value is not None and value >= _GOAL,
                }
            )
    return goals
