"""Two results beside each other: which figures moved by more than they vary anyway. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ("Figure", "Moved", "compare", "figures_in")

Verdict = Literal["better", "worse", "same"]

_LESS_IS_BETTER = {"mean", "p50", "p90", "p95", "p99", "p99.9", "max", "errors", "late"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure of one result.

    Attributes:
        value: The median over rounds, or the one value that there is.
        least: Over rounds.
        greatest: Over rounds.
        more_is_better: Or less.
    """

    value: float
    least: float
    greatest: float
    more_is_better: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One figure in both results.

    Attributes:
        name: Of the figure.
        before: In the first result.
        after: In the second.
        ratio: After over before; None where before is zero.
        verdict: "same" unless it moved by more than the tolerance and, where there were rounds, the ranges of both
            results do not touch.
    """

    name: str
    before: Figure
    after: Figure
    ratio: float | None
    verdict: Verdict


def figures_in(document: Mapping[str, Any]) -> dict[str, Figure]:
    """Returns the figures of a result, by name.

    Args:
        document: What `tickserve bench latency|load --out` wrote, or a benchmark of the repository's comparison.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(document.get("scenarios"), Mapping):
        return _of_comparison(document["scenarios"])
    report = document.get("report")
    if isinstance(report, Mapping) and isinstance(report.get("total"), Mapping):
        return _of_bench(report)
    raise ValueError(
        "no result of a benchmark: write one with `tickserve bench load --out FILE`, or take benchmarks/results.json"
    )


def compare(before: Mapping[str, Any], after: Mapping[str, Any], *, tolerance: float) -> list[Moved]:
    """Returns every figure that both results have, in the first one's order.

    Two runs on a machine that others use differ by more than one run's rounds do: only ratios taken within one run are
    safe. This tells where to look.

    Args:
        before: A result; see `figures_in`.
        after: Another.
        tolerance: Share by which a figure may differ and be the same, at least 0.

    Raises:
        ValueError: One is no result, the tolerance is negative, or they have no figure in common.
    """
    if tolerance < 0:
        raise ValueError(f"the tolerance is a share of at least 0, not {tolerance:g}")
    first, second = figures_in(before), figures_in(after)
    moved = [_moved(name, figure, second[name], tolerance) for name, figure in first.items() if name in second]
    if not moved:
        raise ValueError("the two results have no figure in common")
    return moved


def _of_comparison(scenarios: Mapping[str, Any]) -> dict[str, Figure]:
    found = {}
    for name, scenario in scenarios.items():
        for server, figures in scenario["servers"].items():
            spread = figures["value"]
            if spread["median"] is not None:
                found[f"{name} {scenario['figure']}, {server}"] = Figure(
                    value=spread["median"],
                    least=spread["min"],
                    greatest=spread["max"],
                    more_is_better=not scenario["figure"].endswith("_ms"),
                )
    return found


def _of_bench(report: Mapping[str, Any]) -> dict[str, Figure]:
    found = {}
    for label, figures in {"all": report["total"], **report.get("classes", {})}.items():
        named = {**figures["latency_ms"], "rate": figures["rate"]}
        if figures["sent"]:
            named["late"] = figures["late"] / figures["sent"]
            named["errors"] = (figures["sent"] - figures["in_time"] - figures["late"]) / figures["sent"]
        for name, value in named.items():
            if value is not None:
                found[f"{name}, {label}"] = Figure(
                    value=value, least=value, greatest=value, more_is_better=name not in _LESS_IS_BETTER
                )
    return found


def _moved(name: str, before: Figure, after: Figure, tolerance: float) -> Moved:
    return Moved(
        name=name,
        before=before,
        after=after,
        ratio=after.value / before.value if before.value else None,
        verdict=_verdict(before, after, tolerance),
    )


def _verdict(before: Figure, after: Figure, tolerance: float) -> Verdict:
    if abs(after.value - before.value) <= tolerance * abs(before.value):
        return "same"
    # Ranges that touch, of several rounds each, do not tell the two apart.
    have_rounds = before.least < before.greatest or after.least < after.greatest
    if have_rounds and after.least <= before.greatest and before.least <= after.greatest:
        return "same"
    return "better" if (after.value > before.value) == before.more_is_better else "worse"
