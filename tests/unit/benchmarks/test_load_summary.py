"""Percentiles and windows: what counts, what does not, and how a request without an answer weighs."""

import pytest

from benchmarks.figures import ratio, spread
from benchmarks.load.sample import Sample
from benchmarks.load.summary import cost_table, summarise
from tickserve.bench.outcome import Outcome
from tickserve.bench.percentile import BOUNDS_MS, histogram, percentile, percentiles


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 500), (0.9, 900), (0.99, 990), (0.999, 999), (1.0, 1000), (0.0001, 1)]
)
def test_percentiles_are_nearest_rank(share: float, expected: int) -> None:
    """Of 1..1000, the percentile is the value at its rank; no rounding error moves it by one."""
    assert percentile(range(1, 1001), share) == expected


def test_what_has_no_value_counts_as_slower_than_all() -> None:
    """With 2 of 100 unanswered, p90 is a value and p99 is none; with none unanswered it is."""
    answered = [float(value) for value in range(98)]
    figures = percentiles(answered, total=100)
    assert figures["p90"] == 89
    assert figures["p99"] is None
    assert percentiles(answered)["p99"] == 97
    assert percentile([], 0.5) is None


def test_histogram_keeps_every_value() -> None:
    """Each value falls into the bucket whose bound is the least not below it; the last takes the rest."""
    rows = histogram([0.05, 0.1, 0.101, 1e9])
    assert rows == [[0.1, 2], [round(BOUNDS_MS[1], 4), 1], [round(BOUNDS_MS[-1], 4), 1]]


def test_an_open_loop_counts_what_was_due_in_the_window() -> None:
    """A request due before the window is not counted, one that ends long after it is."""
    samples = [
        Sample(9.99, 9.99, 10.2, Outcome.IN_TIME),
        Sample(10.0, 10.1, 10.3, Outcome.IN_TIME),
        Sample(11.9, 11.9, 19.0, Outcome.LATE),
        Sample(12.0, 12.0, 12.1, Outcome.IN_TIME),
    ]
    figures = summarise(samples, start=10, duration=2, is_open=True)
    assert (figures["sent"], figures["in_time"], figures["answered"]) == (2, 1, 2)
    assert figures["goodput"] == 0.5
    # From the scheduled instant, not from the send.
    assert figures["latencies_ms"] == pytest.approx([300, 7100])
    assert figures["send_lag_ms"]["max"] == pytest.approx(100)
    assert [row["sent"] for row in figures["per_second"]] == [1, 1]


def test_a_closed_loop_counts_what_came_out_in_the_window() -> None:
    """Throughput is answers that ended within the window over its length."""
    samples = [Sample(t, t, t + 1.0, Outcome.IN_TIME) for t in (8.5, 9.0, 9.5, 10.5, 11.0)]
    figures = summarise(samples, start=10, duration=2, is_open=False)
    assert figures["answered_per_second"] == 1.5


def test_only_answers_are_goodput_and_withdrawn_requests_were_not_sent() -> None:
    """Refused, expired, unanswered, failed and wrong ones miss; a cancelled one is left out."""
    kinds = list(Outcome)
    samples = [Sample(0.5, 0.5, 0.6, kind, kind.value) for kind in kinds]
    figures = summarise(samples, start=0, duration=1, is_open=True)
    assert figures["sent"] == len(kinds) - 1
    assert figures["cancelled"] == 1
    assert figures["goodput"] == 1 / (len(kinds) - 1)
    assert figures["answered"] == 2
    assert figures["reasons"]["refused/refused"] == 1
    assert figures["sent_latency_ms"]["p50"] is None


def test_members_of_a_batch_are_one_batch() -> None:
    """Equal pairs of size and duration are one batch in the cost table."""
    samples = [Sample(0, 0, 0.1, Outcome.IN_TIME, "", size, cost) for size, cost in [(2, 0.01)] * 2 + [(2, 0.03)] * 2]
    figures = summarise([*samples, Sample(0, 0, 0.1, Outcome.IN_TIME)], start=0, duration=1, is_open=True)
    assert cost_table(figures["batches"]) == {
        "2": pytest.approx({"count": 2, "p50_ms": 10, "p90_ms": 30, "p99_ms": 30})
    }


def test_spreads_leave_out_what_is_missing() -> None:
    """None is no value, and a ratio to nothing is none."""
    assert spread([None, 3.0, 1.0, 2.0]) == {"median": 2, "min": 1, "max": 3}
    assert spread([None]) == {"median": None, "min": None, "max": None}
    assert ratio(4.0, 2.0) == 2
    assert ratio(4.0, 0.0) is None
    assert ratio(None, 2.0) is None
