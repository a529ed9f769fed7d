"""Totals are exact whenever a process dies: replicas and scrapers are really killed, at random and at each step."""

import json
import subprocess
import sys
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from scripts.layering import ROOT


def run(*arguments: str) -> dict[str, Any]:
    """Runs an experiment of `tests.support.killed_counters` and returns what it says."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed_counters", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_count_is_lost_or_told_twice_when_replicas_and_scrapers_are_killed(seed: int) -> None:
    """After 20 replacements: all that was acknowledged is counted, a killed one's last count perhaps; no file is left.

    Scrapers that looked all the time, some of which were killed at it, never saw a total fall.
    """
    found = run("random", str(seed), "20")
    assert "error" not in found, found["error"]
    assert found["scrapers"] == [-9, -9], "a scraper failed"
    for total in (found["total"], found["buckets"]):
        assert found["acknowledged"] <= total <= found["acknowledged"] + found["killed"]
    assert abs(found["observed"] - 0.001 * found["buckets"]) <= 0.001 * found["killed"] + 1e-6
    assert found["living"] == 0
    # The archive, the lock, and what scrapers left that were killed while they made a file.
    assert found["files"] <= 2 + found["killed"]


def test_a_fold_may_be_killed_at_each_of_its_system_calls() -> None:
    """Whichever system call was its last, totals stay the same, and the next one clears up."""
    found = run("steps")
    assert len(found["totals"]) > 20, "it was not killed in the middle"
    assert found["totals"] == [[6.0, 6.0]] * len(found["totals"])
    assert found["left"] == ["archive", "lock"]
