"""From raw times to the stage report: what adds up, goals that can fail, and nothing left out in silence."""

import json
from typing import Any

import pytest

from benchmarks.stages import figures, report
from benchmarks.stages.spots import ENGINE_STAGES, LOOP_STAGES, WAITS

TITLES = {"unary_1": "unary call"}


def inside(*, loops: tuple[float, ...] = (100.0, 300.0, 200.0)) -> dict[str, Any]:
    """Returns raw results of a scenario: each loop stage takes 1 us, each other one 5 us, the whole loop `loops`."""
    stages = {stage: {"cpu_us": 1.0, "wall_us": 2.0} for stage in LOOP_STAGES}
    stages |= {stage: {"cpu_us": 5.0, "wall_us": 6.0} for stage in ENGINE_STAGES}
    stages |= {stage: {"cpu_us": 0.0, "wall_us": 7.0} for stage in WAITS}
    rounds = [
        {
            "stages": stages,
            "loop_cpu_us": loop,
            "harness_cpu_us": 3.0,
            "wall_us": 2000.0,
            "timing_overhead": 0.1,
        }
        for loop in loops
    ]
    return {
        "scenarios": {"unary_1": rounds},
        "empty_stretch_us": 0.3,
        "engine": "FakeEngine",
        "settings": {"rounds": len(loops)},
    }


def live(*, loop_seconds: float = 0.5, p99: float = 50.0, foreign: float = 0.0) -> dict[str, Any]:
    """Returns raw results of two rounds with 1000 answers each, the second one twice as dear."""
    rounds = [
        {
            name: {
                "answered": 1000,
                "outcomes": {"in_time": 1000},
                "p50_ms": 20.0,
                "loop_seconds": slow * loop_seconds * share,
                "engine_seconds": 1.0,
                "replica_seconds": 2.0,
                "foreign_share": foreign,
            }
            for name, share in (("unary", 1.0), ("item", 0.5))
        }
        for slow in (1.0, 1.2)
    ]
    latencies = [1.0] * 98 + [p99] * 2
    return {
        "settings": {"rounds": 2, "duration": 4.0},
        "rounds": rounds,
        "profiles": {"unary": {"Ray Serve": 30, "tickserve: encode": 10}, "item": {"Ray Serve": 20}},
        "missing": "",
        "features": {"1": {"with": latencies, "without": latencies}, "8": {"with": latencies[2:], "without": []}},
    }


def document(**changes: Any) -> dict[str, Any]:
    """Returns the whole document."""
    raw = json.loads(json.dumps(live(**changes)))
    return figures.summarise(inside(), raw) | {
        "titles": TITLES,
        "machine": {"processor": "any"},
        "command": "python -m benchmarks.stages",
    }


def test_stages_and_what_lies_beside_them_are_the_whole() -> None:
    """What no stage has is the rest of the event loop's time; the engine's thread and waits are no part of it."""
    scenario = document()["scenarios"]["unary_1"]
    assert scenario["beside_us"] == pytest.approx(200 - len(LOOP_STAGES))
    assert scenario["loop_cpu_us"] == {"median": 200, "min": 100, "max": 300}


@pytest.mark.parametrize(
    ("loop_seconds", "p99", "met"),
    [(0.5, 99.0, [True, True, True]), (0.55, 99.0, [False, False, True]), (0.5, 100.0, [True, True, False])],
)
def test_goals_can_fail(loop_seconds: float, p99: float, met: list[bool]) -> None:
    """0.6 ms a unary call, 0.3 ms an item, 100 ms with features: at them and above they are missed, and it is said."""
    result = document(loop_seconds=loop_seconds, p99=p99)
    assert [goal["met"] for goal in result["goals"][:3]] == met
    assert report.write(result).count("**not met**") == met.count(False) + 1  # too few calls 8 in flight


def test_a_p99_needs_a_hundred_calls() -> None:
    """Of fewer there is a median and no p99, and a goal without a figure is not met."""
    result = document()
    assert result["features"]["8"]["with"]["p50_ms"] == 1.0
    assert result["features"]["8"]["with"]["p99_ms"] is None
    assert result["features"]["8"]["without"] == {"calls": 0, "p50_ms": None, "p99_ms": None}
    assert not result["goals"][-1]["met"]


def test_without_a_profiler_the_report_says_so() -> None:
    """What could not be measured is named with its reason; its goals are not met."""
    raw = live() | {"rounds": [], "profiles": {}, "missing": "py-spy is not installed"}
    result = figures.summarise(inside(), raw) | {"titles": TITLES, "machine": {}, "command": "c"}
    text = report.write(result)
    assert "Not measured: py-spy is not installed." in text
    assert [goal["met"] for goal in result["goals"][:2]] == [False, False]


def test_the_report_has_every_stage_and_says_that_the_machine_was_busy() -> None:
    """No stage is left out, every one is explained, and a busy machine's figures do not pass for a quiet one's."""
    text = report.write(document(foreign=0.2))
    for stage in (*LOOP_STAGES, *ENGINE_STAGES, *WAITS):
        assert f"| {stage} |" in text
        assert f"- {stage}: " in text
    for words in ("Disturbed", "75.0 %", "100.0 %", "beside the stages"):
        assert words in text
    assert "Disturbed" not in report.write(document())
