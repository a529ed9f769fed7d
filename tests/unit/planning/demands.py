"""What the tests of planning share: a demand, an engine without noise, budgets with round figures."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batching import PriorityClass
from planning.budgets import Budgets, EngineBudget, read_budgets
from planning.cost_table import CostTable
from planning.demand import Demand

REAL_TIME, STANDARD, BACKGROUND = PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND
SLO = {REAL_TIME: 0.03, STANDARD: 0.2, BACKGROUND: 5.0}
MIX = {REAL_TIME: 0.1, STANDARD: 0.6, BACKGROUND: 0.3}
#: 5 ms for one, 1 ms for each more.
TABLE = CostTable(source="test", seconds_by_batch_size={1: 0.005, 64: 0.068}, jitter=0.05, stall_probability=0.0)
ENGINE = EngineBudget(name="test", table=TABLE, cpus=2.0, gpus=0.0, method="assumed")


def demand(**changes: Any) -> Demand:
    """Returns the demand of the tests, changed."""
    return replace(Demand(rate=1000.0, mix=MIX, slo=SLO), **changes)


def budgets(**values: float) -> Budgets:
    """Returns the budgets that come with the package, some figures changed."""
    known = read_budgets()
    return replace(known, figures=_changed(known, values))


def _changed(known: Budgets, values: Mapping[str, float]) -> dict[str, Any]:
    return dict(known.figures) | {name: replace(known.figures[name], value=value) for name, value in values.items()}
