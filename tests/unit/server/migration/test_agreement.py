"""Laws of the comparison: what is compared, what it comes to, and when that is good enough."""

import json
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.migration.agreement import Agreement, Limits, as_dict, read_report
from server.migration.original_answers import (
    BATCH,
    COMPARED_PATHS,
    PREDICT,
    SINGLE,
    Difference,
    OriginalResult,
    UnreadableAnswerError,
    differences,
    results_of,
)

SAME = Difference(same_class=True, probability=0.0, regression=0.0)
UNLIMITED = Limits(windows=0, agreement=0.0, difference=1.0, failures=1.0)


def result(probabilities: list[float], regressions: tuple[float, ...] = (1e-3, 2e-3)) -> dict[str, Any]:
    """Returns a result as the original's."""
    return {"classification_probs": probabilities, "regression_pred": list(regressions), "processing_time_ms": 1.0}


def body(path: str, *results: dict[str, Any]) -> bytes:
    """Returns an answer with these results."""
    name = {PREDICT: "predictions", SINGLE: "result", BATCH: "results"}[path]
    return json.dumps({name: list(results) if path == BATCH else results[0], "processing_time_ms": 3.0}).encode()


@pytest.mark.parametrize("path", sorted(COMPARED_PATHS))
def test_results_are_found_in_every_answer(path: str) -> None:
    """Each of the original's three forms."""
    [found] = results_of(path, body(path, result([0.2, 0.5, 0.3])))
    assert found == OriginalResult(probabilities=(0.2, 0.5, 0.3), regressions=(1e-3, 2e-3))
    assert found.likeliest == 1


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"predictions": null}',
        b'{"predictions": {"classification_probs": [], "regression_pred": []}}',
        b'{"predictions": {"classification_probs": [1e999], "regression_pred": []}}',
        b'{"predictions": {"classification_probs": ["x"], "regression_pred": []}}',
        b'{"predictions": {"classification_probs": [1]}}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_answer_is_told(text: bytes) -> None:
    """Nothing else escapes: a mirror lives through whatever it is sent."""
    with pytest.raises(UnreadableAnswerError):
        results_of(PREDICT, text)


@given(st.binary(max_size=60) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(repr).map(str.encode))
def test_nothing_but_that_error_comes_of_any_bytes(text: bytes) -> None:
    """As above, of anything."""
    for path in COMPARED_PATHS:
        try:
            assert results_of(path, text) is not None
        except UnreadableAnswerError:
            continue


def test_differences_are_the_largest() -> None:
    """Of all classes, of all regressions, window by window."""
    old = results_of(BATCH, body(BATCH, result([0.2, 0.5, 0.3]), result([0.4, 0.35, 0.25])))
    new = results_of(BATCH, body(BATCH, result([0.2, 0.45, 0.35], (1e-3, 4e-3)), result([0.35, 0.4, 0.25])))
    first, second = differences(old, new)
    assert (first.same_class, second.same_class) == (True, False)
    assert first.probability == pytest.approx(0.05)
    assert first.regression == pytest.approx(2e-3)


@pytest.mark.parametrize("new", [[], [OriginalResult(probabilities=(1.0,), regressions=(1e-3, 2e-3))]])
def test_answers_of_another_form_are_not_compared(new: list[OriginalResult]) -> None:
    """As many windows, classes and regressions, or none."""
    with pytest.raises(UnreadableAnswerError):
        differences([OriginalResult(probabilities=(0.5, 0.5), regressions=(1e-3, 2e-3))], new)


@given(
    st.lists(st.builds(Difference, same_class=st.booleans(), probability=st.floats(0, 1), regression=st.floats(0, 9)))
)
def test_the_figures_are_those_of_all_windows(found: list[Difference]) -> None:
    """Count, share, mean and largest; the report survives its file."""
    agreement = Agreement()
    for each in found:
        agreement.compared([each], old_seconds=0.02, new_seconds=0.01)
    report = agreement.report()
    assert (report.windows, report.same_class) == (len(found), sum(each.same_class for each in found))
    assert report.largest_probability_difference == max((each.probability for each in found), default=0.0)
    assert report.mean_probability_difference <= report.largest_probability_difference + 1e-12
    assert read_report(json.dumps(as_dict(report)).encode()) == report
    assert report.misses(UNLIMITED) == []


def test_latencies_are_told_by_side() -> None:
    """In milliseconds, within a tenth."""
    agreement = Agreement()
    for _ in range(99):
        agreement.compared([SAME], old_seconds=0.020, new_seconds=0.005)
    agreement.compared([SAME], old_seconds=0.5, new_seconds=0.005)
    report = agreement.report()
    assert report.old_latency.p50 == pytest.approx(20, rel=0.11)
    assert report.old_latency.p99 == pytest.approx(20, rel=0.11)
    assert report.new_latency.p99 == pytest.approx(5, rel=0.11)


def seen(agreement: Agreement, windows: int) -> None:
    """Counts windows on which both agree."""
    agreement.compared([SAME] * windows, old_seconds=0.01, new_seconds=0.01)


def test_each_limit_can_be_missed_and_says_so() -> None:
    """One at a time; all else within."""
    limits = Limits(windows=100, agreement=0.99, difference=0.01, failures=0.5)
    agreement = Agreement()
    seen(agreement, 99)
    assert [miss for miss in agreement.report().misses(limits) if "fewer than 100" in miss]
    seen(agreement, 1)
    assert agreement.report().misses(limits) == []
    agreement.compared([replace(SAME, probability=0.02)], old_seconds=0.01, new_seconds=0.01)
    assert "differs by 0.02" in " ".join(agreement.report().misses(limits))
    agreement.compared([replace(SAME, same_class=False)] * 2, old_seconds=0.01, new_seconds=0.01)
    assert "likeliest class" in " ".join(agreement.report().misses(limits))


def test_failures_of_the_new_service_count_and_those_of_the_old_do_not() -> None:
    """What the old service cannot answer says nothing of the new one."""
    limits = msgspec.structs.replace(UNLIMITED, failures=0.1)
    agreement = Agreement()
    for _ in range(9):
        seen(agreement, 1)
        agreement.old_failed("500")
    agreement.new_failed("503")
    assert agreement.report().misses(limits) == []
    agreement.unreadable()
    assert "failed 2 of 11" in " ".join(agreement.report().misses(limits))
    assert agreement.report().new_failures == {"503": 1}
