"""Writes the figures of docs/capacity.md from planning/budgets.toml and from plans made of it.

`write` renews what lies between the page's markers, `check` fails where it has drifted. The words around it are the
page's own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping

from batching import PriorityClass
from benchmarks.markdown import table
from planning.budgets import Budgets, Figure, read_budgets
from planning.capacity_plan import CapacityPlan, make_plan
from planning.demand import Demand, name_of
from scripts.layering import ROOT

PAGE = ROOT / "docs/capacity.md"
_MARKER = re.compile(r"(<!-- (\w+): written by scripts/capacity_page\.py -->\n).*?(<!-- end -->)", re.DOTALL)
# Enough for the page; `tickserve plan` takes more.
_REQUESTS = 4_000
_MIX = {PriorityClass.REAL_TIME: 0.1, PriorityClass.STANDARD: 0.6, PriorityClass.BACKGROUND: 0.3}
_SLO = {PriorityClass.REAL_TIME: 0.1, PriorityClass.STANDARD: 1.0, PriorityClass.BACKGROUND: 30.0}
_RATE = 50_000.0
_STREAMS = 50_000


def examples(budgets: Budgets) -> dict[str, CapacityPlan]:
    """Returns the plans that the page shows, by what they are called there."""
    unary = Demand(rate=_RATE, mix=_MIX, slo=_SLO)
    ticks = Demand(rate=0.0, mix={}, slo=_SLO, streams=_STREAMS, ticks_per_stream=1.0)
    return {
        "unary calls, OpenVINO": make_plan(unary, budgets, engine=budgets.engine("openvino"), requests=_REQUESTS),
        "unary calls, TorchScript": make_plan(unary, budgets, engine=budgets.engine("torchscript"), requests=_REQUESTS),
        "ticks, OpenVINO, windows in a Redis": make_plan(
            ticks, budgets, engine=budgets.engine("openvino"), requests=_REQUESTS, redis=True
        ),
    }


def fresh_page(text: str) -> str:
    """Returns the page's text with new figures between its markers."""
    budgets = read_budgets()
    plans = examples(budgets)
    blocks: Mapping[str, Callable[[], Iterator[str]]] = {
        "budgets": lambda: _budgets(budgets),
        "engines": lambda: _engines(budgets),
        "examples": lambda: _examples(plans),
        "bottlenecks": lambda: _bottlenecks(plans),
        "price": lambda: _price(plans),
    }
    seen = [match[2] for match in _MARKER.finditer(text)]
    if sorted(seen) != sorted(blocks):
        raise SystemExit(f"{PAGE.name} must have each of {', '.join(blocks)} once between markers, not {seen}")
    return _MARKER.sub(lambda match: match[1] + "\n".join(blocks[match[2]]()) + "\n" + match[3], text)


def _budgets(budgets: Budgets) -> Iterator[str]:
    rows = [[figure.title, f"`{name}`", _value(figure), _origin(figure)] for name, figure in budgets.figures.items()]
    yield table(["what", "name", "value", "from"], rows)


def _engines(budgets: Budgets) -> Iterator[str]:
    sizes = sorted({size for engine in budgets.engines.values() for size in engine.table.seconds_by_batch_size})
    shown = [size for size in sizes if size & (size - 1) == 0]
    rows = [
        [
            f"`{engine.name}`",
            *(f"{1e3 * engine.table.duration(size):.3g}" for size in shown),
            f"{engine.cpus:g} vCPU",
            f"{engine.table.source}; `{engine.method}`, {engine.date}",
        ]
        for engine in budgets.engines.values()
    ]
    yield table(["ms by batch size", *map(str, shown), "a replica", "from"], rows)


def _examples(plans: Mapping[str, CapacityPlan]) -> Iterator[str]:
    rows = []
    for name, plan in plans.items():
        classes = "; ".join(
            f"{name_of(entry.priority)} {1e3 * entry.p50:.1f} / {1e3 * entry.p99:.1f} ms, {entry.miss_share:.2%} missed"
            for entry in plan.expected.classes
        )
        config = plan.replica.config
        rows.append(
            [
                name,
                f"{plan.replicas} of {plan.engine.cpus:g} vCPU",
                f"{plan.replica.rate:.0f}/s, bound by: {plan.replica.bound}",
                f"{config.max_batch_size}, {1e3 * config.max_batch_duration:.1f} ms",
                classes,
            ]
        )
    header = ["50,000/s of", "replicas, 1 spare", "one replica", "`max_batch_size`, `max_batch_duration`"]
    yield table([*header, "p50 / p99"], rows)


def _bottlenecks(plans: Mapping[str, CapacityPlan]) -> Iterator[str]:
    rows = []
    for name, plan in plans.items():
        for outlook in plan.outlook:
            first = outlook.first
            parts = ", ".join(f"{part.name} {part.needed} ({part.utilisation:.0%} of one)" for part in outlook.parts)
            rows.append(
                [
                    f"{name}, {outlook.rate:,.0f}/s",
                    f"{outlook.replicas:,}",
                    f"{outlook.nodes:,}",
                    first.name if first else "none",
                    parts,
                ]
            )
    yield table(["", "replicas", "nodes", "first bottleneck", "needed of each"], rows)
    yield ""
    for name, plan in plans.items():
        carried = "; ".join(f"{part.name} {part.carries:,.0f}/s = {part.arithmetic}" for part in plan.here.parts)
        yield f"- {name}: {carried}"


def _price(plans: Mapping[str, CapacityPlan]) -> Iterator[str]:
    for name, plan in plans.items():
        yield f"- {name}: {plan.price.per_million:.3g} USD a million. {plan.price.arithmetic}"


def _value(figure: Figure) -> str:
    if figure.unit == "s" and figure.value < 1:
        return f"{1e3 * figure.value:.3g} ms"
    value = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.4g}"
    return f"{value} {figure.unit}"


def _origin(figure: Figure) -> str:
    origin = "assumed" if figure.is_assumed else f"`{figure.method}`, {figure.date}, {figure.machine}"
    return f"{origin}: {figure.note}" if figure.note else origin


def main() -> None:
    """Writes or checks."""
    match sys.argv[1:]:
        case ["write"]:
            PAGE.write_text(fresh_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        case ["check"]:
            text = PAGE.read_text(encoding="utf-8")
            if fresh_page(text) != text:
                raise SystemExit("docs/capacity.md is out of date; run python -m scripts.capacity_page write")
        case _:
            raise SystemExit("usage: python -m scripts.capacity_page write|check")


if __name__ == "__main__":
    main()
