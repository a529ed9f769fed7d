"""Owns the way from durations measured in a live run to a cost table. Must not know how they were measured.

The live benchmarks write the engine's milliseconds by batch size, as ``benchmarks.load.summary.cost_table`` does::

    {"1": {"count": 12, "p50_ms": 3.1, "p90_ms": 3.4, "p99_ms": 4.0}, "8": {...}}
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from planning.cost_table import SHARED_CORE, CostTable, read_cost_table

#: The 90th percentile of the standard normal distribution.
_Z90 = 1.2816
#: The 99th.
_Z99 = 2.3263
#: A batch size seen fewer times than this tells more about chance than about the engine.
_LEAST_COUNT = 3
#: Seen fewer times than this, a 99th percentile is just the greatest value.
_LEAST_COUNT_FOR_P99 = 200


def read_table(path: Path) -> CostTable:
    """Read a cost table, or the key ``costs`` of a live run's figures."""
    document = json.loads(path.read_text(encoding="utf-8"))
    costs = document.get("calibration", document).get("costs")
    return table_from_costs(costs, source=f"measured by {path.name}") if costs else read_cost_table(path)


def table_from_costs(costs: Mapping[str, Mapping[str, Any]], *, source: str) -> CostTable:
    """Make a table of what answers told: medians, made monotone in size; jitter and stalls from the spread above."""
    seen = {int(size): row for size, row in costs.items() if row["count"] >= _LEAST_COUNT}
    if not seen:
        seen = {int(size): row for size, row in costs.items()}
    sizes = sorted(seen)
    medians = _monotone([(seen[size]["p50_ms"] / 1e3, float(seen[size]["count"])) for size in sizes])
    spreads = [
        (row["count"], math.log(row["p90_ms"] / row["p50_ms"]) / _Z90) for row in seen.values() if "p90_ms" in row
    ]
    weight = sum(count for count, _ in spreads)
    jitter = sum(count * spread for count, spread in spreads) / weight if weight else SHARED_CORE.jitter
    table = CostTable(source=source, seconds_by_batch_size=dict(zip(sizes, medians, strict=True)), jitter=jitter)
    return _with_stalls(table, max(seen.values(), key=lambda row: int(row["count"])))


def _monotone(values: Sequence[tuple[float, float]]) -> list[float]:
    """Return the closest values, by their weights, that do not fall: neighbours that contradict are pooled."""
    blocks: list[tuple[float, float, int]] = []
    for value, weight in values:
        blocks.append((value, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (left, left_weight, left_count), (right, right_weight, right_count) = blocks.pop(-2), blocks.pop()
            total = left_weight + right_weight
            blocks.append(((left * left_weight + right * right_weight) / total, total, left_count + right_count))
    return [value for value, _, count in blocks for _ in range(count)]


def _with_stalls(table: CostTable, row: Mapping[str, Any]) -> CostTable:
    """Explain what the size seen most often says above the jitter by stalls: 2 % of calls, half of them above p99."""
    if row["count"] < _LEAST_COUNT_FOR_P99 or "p99_ms" not in row:
        return table
    beyond = (row["p99_ms"] - row["p50_ms"] * math.exp(_Z99 * table.jitter)) / 1e3
    if beyond <= 0.0:
        return replace(table, stall_probability=0.0)
    return replace(table, stall_probability=0.02, stall_seconds=beyond / math.log(2.0))
