"""The report of what telemetry costs: computed figures, pairs within a round, goals by their intervals."""

from typing import Any

import pytest

from benchmarks.telemetry import report
from benchmarks.telemetry.variants import OFF, TRACES_100, VARIANTS


def _turn(*, rate: float, p99: float) -> dict[str, Any]:
    return {
        "answered_per_second": rate,
        "answered": int(rate),
        "latency_ms": {"p50": p99 / 2, "p99": p99},
        "server_cpu": {"replica": rate * 0.002},
    }


def _raw(rate_of: dict[str, float]) -> dict[str, Any]:
    """Returns rounds in which the machine gets slower and slower, the same for all."""
    rounds = []
    for index in range(6):
        slow = 1 + index / 5
        rounds.append(
            {
                variant.name: {
                    kind: _turn(rate=rate_of.get(variant.name, 500.0) / slow, p99=20.0 * slow)
                    for kind in ("closed", "open")
                }
                for variant in VARIANTS
            }
        )
    return {"rounds": rounds, "settings": {"rounds": 6, "duration": 1.5, "rate": 250.0}}


def test_a_machine_that_slows_down_costs_nobody_anything() -> None:
    """Costs are taken within a round, so that what all rounds suffer is nobody's."""
    document = report.summarise(_raw({}))
    assert all(abs(each["mean"] - 1) < 1e-9 for costs in document["costs"].values() for each in costs.values())
    assert {goal["verdict"] for goal in document["goals"]} == {"met"}


def test_a_cost_beyond_its_goal_is_told() -> None:
    """A fifth of the throughput is a quarter more time an answer, and beyond 15 %."""
    document = report.summarise(_raw({TRACES_100: 400.0}))
    assert document["costs"][TRACES_100]["throughput"]["mean"] == pytest.approx(1.25)
    [goal] = [each for each in document["goals"] if each["verdict"] == "not met"]
    assert goal["name"] == "metrics, traces of 100 %: time an answer, 64 in flight"
    text = report.write(document | {"machine": {"processor": "two"}, "command": "python -m benchmarks.telemetry"})
    [row] = [line for line in text.splitlines() if "not met" in line]
    assert row.split(" | ")[1:3] == ["< 15 %", "25 %"]
    assert OFF in document["variants"]
