"""The chaos report says what was missed, and the page keeps what is around its table."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.chaos import report, soak
from benchmarks.chaos.__main__ import with_table
from benchmarks.chaos.experiment import title
from benchmarks.chaos.faults.catalogue import LONG, SHORT
from benchmarks.chaos.plan import MIXED, CallerPlan

ROW: dict[str, Any] = {
    "name": "replica_killed",
    "title": "`kill -9` of a replica",
    "goal_s": 1.0,
    "sent": 1000,
    "answered": 998,
    "refused": {"QUEUE_FULL": 1},
    "silent": {"UNAVAILABLE": 1},
    "wrong": 0,
    "wrong_examples": [],
    "past_deadline_p999_ms": 12.0,
    "baseline": 1.0,
    "back_after_s": 0.4,
    "real_time_lost": 1,
    "batches_lost": 1,
    "retries": 3,
    "refused_by_budget": 0,
    "reconnects": 2,
    "lost_streams": [],
    "memory_before": {"replica": 1 << 20},
    "memory_after": {"replica": 2 << 20},
    "facts": {},
    "failure": "",
}
MACHINE = {"date": "today", "commit": "abc"}


def document(**changes: Any) -> dict[str, Any]:
    """The document of one row, changed."""
    row = {**ROW, **changes}
    return {"command": "chaos", "machine": MACHINE, "oracle_blindness": 0.0, "rows": [row]}


def test_a_row_that_met_its_goals_misses_none() -> None:
    """And is told in full."""
    assert report.missed(document()) == []
    text = report.write(document())
    assert "All goals were met." in text
    assert (
        "| `kill -9` of a replica | 1,000 | 998 | QUEUE_FULL 1 | UNAVAILABLE 1 | 0 | 12 ms | 0.4 s (1 s) | 1 |" in text
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"back_after_s": 1.01}, "goodput back after 1.01 s, goal 1 s"),
        ({"back_after_s": None}, "goodput back after not back, goal 1 s"),
        ({"past_deadline_p999_ms": 50.0}, "p99.9 past the deadline is 50 ms"),
        ({"batches_lost": 2}, "2 batches lost"),
        ({"wrong": 1, "wrong_examples": ["tick t1:1: probability"]}, "1 wrong answers, such as tick t1:1"),
        ({"failure": "TargetError: gone"}, "TargetError: gone"),
        ({"baseline": 0.9}, "real-time goodput was 90.0 % before the fault"),
        ({"facts": {"a new client is served meanwhile": "no"}}, "no new client was served"),
        ({"skipped": "no root"}, "not run, no root"),
    ],
)
def test_each_missed_goal_is_printed(changes: dict[str, Any], told: str) -> None:
    """None is left out of the report, whatever else went well."""
    [line] = report.missed(document(**changes))
    assert told in line
    assert f"- missed: {line}" in report.write(document(**changes))


def test_only_the_marked_part_of_a_page_changes() -> None:
    """What was written by hand stays; a page without marks is no place for a table."""
    page = "before\n<!-- chaos: begin -->\nold\n<!-- chaos: end -->\nafter\n"
    written = with_table(page, document())
    assert written.startswith("before\n<!-- chaos: begin -->\n")
    assert written.endswith("<!-- chaos: end -->\nafter\n")
    assert "998" in written
    assert "old" not in written
    assert with_table(written, document()) == written
    with pytest.raises(ValueError, match="chaos"):
        with_table("no marks", document())


@pytest.mark.parametrize("faults", [LONG, SHORT], ids=["long", "short"])
def test_each_fault_goes_by_its_own_name(faults: Any) -> None:
    """One table names them all; titles have their figures filled in, and no two are the same."""
    made = {name: make() for name, make in faults.items()}
    assert [fault.name for fault in made.values()] == list(made)
    titles = [title(fault) for fault in made.values()]
    assert len(set(titles)) == len(titles)
    assert not any("{" in each for each in titles)


def test_a_plan_comes_through_a_pipe_as_it_was() -> None:
    """What the harness wants is what the callers do."""
    plan = CallerPlan(target="x:1", unary=MIXED, symbols=(1, 2), bar_interval=3600.0, first_seed=5)
    assert CallerPlan.from_json(plan.to_json()) == plan
    assert [asked.rate for asked in plan.scaled(0.5).unary] == [asked.rate / 2 for asked in MIXED]


def chunks(*, p99: list[float], memory: list[int]) -> list[dict[str, Any]]:
    """A soak's chunks."""
    return [
        {"second": 60.0 * number, "p50": 2.0, "p99": each, "wrong": 0, "memory": {"replica": held}}
        for number, (each, held) in enumerate(zip(p99, memory, strict=True))
    ]


def test_a_soak_that_stays_as_it_was_misses_nothing() -> None:
    """Noise within the bounds is no trend."""
    found = chunks(p99=[5, 6, 5, 6, 5, 6, 5, 6], memory=[100, 101, 100, 101, 100, 101, 100, 101])
    assert soak.missed({"chunks": found, **soak.compared(found)}) == []


def test_a_soak_that_slows_down_or_grows_says_so() -> None:
    """The last quarter is held against the first."""
    slower = chunks(p99=[5, 5, 6, 6, 7, 7, 9, 9], memory=[100] * 8)
    [line] = soak.missed({"chunks": slower, **soak.compared(slower)})
    assert "p99 rose from 5.0 ms to 9.0 ms" in line
    grown = chunks(p99=[5] * 8, memory=[(100 + 10 * number) << 20 for number in range(8)])
    compared = soak.compared(grown)
    assert compared["bytes_per_second"] == pytest.approx((10 << 20) / 60)
    [line] = soak.missed({"chunks": grown, **compared})
    assert "grew from 105 MiB to 165 MiB" in line
