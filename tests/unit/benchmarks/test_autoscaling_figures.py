"""Laws of the autoscaling benchmark's pure parts: the ramp, the controller's log, what is made of calls and changes."""

import pytest

from benchmarks.autoscaling.caller import Called
from benchmarks.autoscaling.controller_log import Decision, decisions
from benchmarks.autoscaling.figures import growth, seconds_table, summary
from benchmarks.autoscaling.ramp import Ramp
from benchmarks.outlier.census import Change

RAMP = Ramp(low=10, high=50, calm=5, rise=20, hold=10, fall=10, rest=5)


@pytest.mark.parametrize(("at", "rate"), [(0, 10), (5, 10), (15, 30), (25, 50), (35, 50), (40, 30), (45, 10), (49, 10)])
def test_the_load_rises_holds_and_falls(at: float, rate: float) -> None:
    """Straight lines between the low rate and the high one."""
    assert RAMP.rate(at) == pytest.approx(rate)


def test_calls_follow_the_rate() -> None:
    """As many as the area below it, within what chance explains; in order, and the same for the same seed."""
    instants = list(RAMP.instants(3))
    assert instants == sorted(instants) == list(RAMP.instants(3))
    assert instants[-1] < RAMP.seconds == 50
    # 10 * 10 + 30 * 30 + 50 * 10 = 1500 expected, give or take 39.
    assert 1350 < len(instants) < 1650


def test_decisions_are_read_from_text_and_json() -> None:
    """Whatever else the controller says."""
    words = "Upscaling Deployment(name='predictor', app='tickserve') from 1 to 3 replicas. Current ongoing requests: 9."
    lines = [
        "INFO 2026-11-22 13:00:00,250 controller 12 -- something else",
        f"INFO 2026-11-22 13:00:01,500 controller 12 -- {words}",
        '{"asctime": "2026-11-22 13:00:31,500", "message": "Downscaling Deployment(x) from 3 to 2 replicas. More."}',
    ]
    first, second = decisions(lines)
    assert (first.before, first.after, second.before, second.after) == (1, 3, 3, 2)
    assert second.at - first.at == pytest.approx(30)


def called(at: float, replica: str, seconds: float = 0.1, error: str = "") -> Called:
    """Returns a call."""
    return Called(at=at, seconds=seconds, replica=replica, error=error)


def test_growth_is_from_the_decision_to_the_first_answer() -> None:
    """Of each new replica in turn; those that were there before belong to no decision."""
    decided = [Decision(10.0, 1, 2), Decision(30.0, 2, 3), Decision(90.0, 3, 2)]
    changes = [Change(at=at, role="replica", pid=pid, came=True) for at, pid in ((0.0, 1), (12.0, 2), (33.0, 3))]
    calls = [called(1, "a"), called(17.9, "b"), called(20, "a"), called(37.9, "c"), called(50, "b")]
    assert growth(decided, changes, calls) == [
        {"from": 1, "to": 2, "process_s": 2.0, "answer_s": 8.0},
        {"from": 2, "to": 3, "process_s": 3.0, "answer_s": 8.0},
    ]


def test_growth_that_never_answered_says_so() -> None:
    """A run may end before the last replica has come."""
    assert growth([Decision(10.0, 1, 2)], [], [called(1, "a")]) == [
        {"from": 1, "to": 2, "process_s": None, "answer_s": None}
    ]


def test_seconds_and_summary_count_each_call_once() -> None:
    """By the second in which it was made, failed ones by reason."""
    calls = [called(100.2, "a"), called(100.9, "b", seconds=0.3), called(101.5, "", seconds=5, error="QUEUE_FULL")]
    table = seconds_table(
        calls,
        [Decision(101.0, 2, 3)],
        [Change(at=99, role="replica", pid=1, came=True), Change(at=101.5, role="replica", pid=1, came=False)],
        began=100.0,
        length=2,
    )
    assert [(row["made"], row["failed"], row["wanted"], row["present"], row["answering"]) for row in table] == [
        (2, 0, 2, 1, 2),
        (1, 1, 3, 0, 0),
    ]
    found = summary(calls)
    assert (found["made"], found["answered"], found["failed"]) == (3, 2, {"QUEUE_FULL": 1})
    assert found["max_ms"] == pytest.approx(300)
