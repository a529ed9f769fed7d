"""The short form of `benchmarks.chaos`: a service is harmed in ten ways, and no caller hears anything wrong.

Times are not judged here: they are figures of a quiet machine, and are in docs/reliability.md.
"""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from benchmarks.chaos import experiment
from benchmarks.chaos.faults.catalogue import SHORT

# The first test to ask waits for all of it.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """What happened."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed; `make test-chaos` installs it where it may")
    return experiment.run(SHORT, experiment.SHORT)


@pytest.fixture(params=SHORT)
def row(document: dict[str, Any], request: pytest.FixtureRequest) -> dict[str, Any]:
    """One fault's figures."""
    [found] = [row for row in document["rows"] if row["name"] == request.param]
    assert isinstance(found, dict)
    return found


def test_the_oracle_would_see_a_mix_up(document: dict[str, Any]) -> None:
    """A judge that takes one window's answer for another's proves nothing."""
    assert document["oracle_blindness"] < 0.02


def test_no_answer_is_wrong(row: dict[str, Any]) -> None:
    """Whatever breaks, what is answered is what the eager network answers, once."""
    assert row["wrong"] == 0, row["wrong_examples"]


def test_every_request_ends(row: dict[str, Any]) -> None:
    """Each call of each class, and each tick, has one end, before and after the fault."""
    assert row["kinds"].keys() == {"background", "real_time", "standard", "tick"}
    assert all(kind["answered"] for kind in row["kinds"].values()), row["kinds"]
    assert "FORGOTTEN" not in row["silent"]
    ended = row["answered"] + sum(row["refused"].values()) + sum(row["silent"].values())
    assert row["sent"] == ended


def test_the_service_comes_to_itself(row: dict[str, Any]) -> None:
    """No operator is needed, and nothing had to be started anew."""
    assert row["failure"] == ""
