"""When goodput counts as back, and what a row's figures are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.chaos.record import End, Record, from_rows, to_rows
from benchmarks.chaos.recovery import WINDOW, Call, recovery
from benchmarks.chaos.tally import in_flight_silent, quantile, tally

RATE = 50
FAULT = 10.0


def calls(bad_from: float, bad_until: float, *, end: float = 30.0) -> list[Call]:
    """Calls from 0 s on, `RATE` a second, all good but those due in an interval."""
    instants = [number / RATE for number in range(int(end * RATE))]
    return [Call(at, not bad_from <= at < bad_until) for at in instants]


def record(
    kind: str = "real_time", *, sent_at: float, took: float, end: End = End.ANSWERED, reason: str = ""
) -> Record:
    """A request with a deadline of 200 ms; ticks have none."""
    deadline = 0.0 if kind == "tick" else sent_at + 0.2
    return Record(kind, "w1", sent_at, deadline, sent_at + took, end, reason)


def test_a_fault_that_does_nothing_is_over_at_once() -> None:
    """Nothing lost: zero seconds."""
    assert recovery(calls(0, 0), FAULT) == (1.0, 0.0, 0)


@given(outage=st.floats(0.1, 15.0))
def test_an_outage_counts_to_its_end_and_no_further(outage: float) -> None:
    """The window that is looked at does not prolong it; at 50 a second one failure in 2 s is allowed."""
    found = recovery(calls(FAULT, FAULT + outage), FAULT)
    assert found.seconds == pytest.approx(outage, abs=2.5 / RATE)
    assert found.lost == pytest.approx(outage * RATE, abs=1)


def test_a_relapse_counts() -> None:
    """Goodput is back when it stays."""
    relapsed = [call if not 15 <= call.sent_at < 16 else call._replace(good=False) for call in calls(10, 11)]
    assert recovery(relapsed, FAULT).seconds == pytest.approx(6.0, abs=2.5 / RATE)


def test_what_is_not_back_at_the_end_is_not_back() -> None:
    """No whole good window was seen, so no time is given."""
    assert recovery(calls(FAULT, 30), FAULT).seconds is None
    assert recovery(calls(FAULT, 30 - WINDOW / 2), FAULT).seconds is None


def test_a_single_failure_in_a_hundred_is_within_the_goal() -> None:
    """99 % is the goal, not 100 %."""
    assert recovery(calls(FAULT, FAULT + 1 / RATE), FAULT).seconds == 0.0


def test_goodput_is_held_against_what_it_was_before() -> None:
    """A service that answered every other call in time before is back when it does so again."""
    halved = [Call(call.sent_at, call.good and number % 2 == 0) for number, call in enumerate(calls(10, 12))]
    found = recovery(halved, FAULT)
    assert found.baseline == pytest.approx(0.5)
    assert found.seconds == pytest.approx(2.0, abs=5 / RATE)


def test_without_goodput_before_nothing_is_back() -> None:
    """A service that answers nobody in time is not back at once because it goes on like that."""
    assert recovery(calls(0, 30), FAULT) == (0.0, None, 20 * RATE)


@pytest.mark.parametrize("fault_at", [0.0, 29.0, 40.0])
def test_too_little_traffic_is_no_measurement(fault_at: float) -> None:
    """Without calls before, or for a window after, there is nothing to say."""
    with pytest.raises(ValueError, match="fault"):
        recovery(calls(0, 0), fault_at)


@given(values=st.lists(st.floats(0, 1e3), min_size=1), share=st.floats(0.001, 1))
def test_a_quantile_is_a_value_with_that_share_at_or_below(values: list[float], share: float) -> None:
    """Nearest rank: no value between two measurements is made up."""
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_each_request_is_counted_under_what_became_of_it() -> None:
    """Answers, refusals by reason, silence by code; a wrong answer is no answer."""
    steady = [record(sent_at=number / 10, took=0.01) for number in range(200)]
    odd = [
        record("standard", sent_at=9.9, took=0.25, end=End.SILENT, reason="DEADLINE_EXCEEDED"),
        record("standard", sent_at=11, took=0.01, end=End.REFUSED, reason="QUEUE_FULL"),
        record("background", sent_at=12, took=0.3),
        record("tick", sent_at=12, took=9.0),
    ]
    wrong = [(odd[3], "probability")]
    figures = tally([*steady, *odd], wrong=wrong, fault_at=FAULT)
    assert (figures["sent"], figures["answered"], figures["wrong"]) == (204, 201, 1)
    assert figures["refused"] == {"QUEUE_FULL": 1}
    assert figures["silent"] == {"DEADLINE_EXCEEDED": 1}
    assert figures["in_flight_silent"] == 1
    # The tick has no deadline; of the calls the worst ended 100 ms past its own.
    assert figures["past_deadline_p999_ms"] == pytest.approx(100)
    assert figures["back_after_s"] == 0.0
    assert figures["kinds"]["tick"]["sent"] == 1


def test_what_callers_see_while_they_connect_is_no_baseline() -> None:
    """The first calls are slow; a fault is not to be held against them."""
    steady = [record(sent_at=number / 10, took=0.3 if number < 50 else 0.01) for number in range(200)]
    assert tally(steady, wrong=[], fault_at=FAULT, warm_at=5.0)["baseline"] == 1.0
    assert tally(steady, wrong=[], fault_at=FAULT)["baseline"] == 0.5


def test_a_row_without_measurement_still_counts_its_answers() -> None:
    """A harness that came too late to compare must not lose what was asked and answered."""
    figures = tally([record(sent_at=11, took=0.01)], wrong=[], fault_at=FAULT)
    assert (figures["sent"], figures["answered"]) == (1, 1)
    assert (figures["baseline"], figures["back_after_s"]) == (0.0, None)


def test_only_what_was_under_way_went_down_with_a_replica() -> None:
    """Calls that began later, had ended before, or were answered elsewhere were not lost with it."""
    lost = record(sent_at=9.95, took=0.2, end=End.SILENT, reason="UNAVAILABLE")
    others = [
        lost._replace(sent_at=10.01),
        lost._replace(ended_at=9.99),
        lost._replace(end=End.ANSWERED),
        lost._replace(end=End.REFUSED),
    ]
    assert in_flight_silent([lost, *others], FAULT) == 1


def test_records_come_through_a_pipe_as_they_were() -> None:
    """What callers saw is what is judged."""
    records = [record(sent_at=1.5, took=0.1)._replace(values=(0.25, 0.75), digest="ab", replica="r")]
    assert list(from_rows(to_rows(records))) == records
