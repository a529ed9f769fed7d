"""The arithmetic of series, and how long they are kept."""

from __future__ import annotations

from array import array
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from server.telemetry.instruments import Instruments, Version
from server.telemetry.metric import Kind, Metric
from server.telemetry.metric_catalogue import BATCHES, BY_NAME, COST_RATIO, DURATIONS, GOODPUT, METRICS, QUEUE_DURATION
from server.telemetry.metric_folder import MetricFolder
from server.telemetry.series import Counter, Growth, Histogram


def cells(count: int = 1) -> memoryview[float]:
    """Returns fresh cells."""
    return memoryview(array("d", bytes(8 * count)))


@given(totals=st.lists(st.integers(0, 1000)))
def test_a_follower_adds_growth_and_never_falls(totals: list[int]) -> None:
    """What is followed may begin again from zero at any time; the counter only ever gains what was gained."""
    numbers = cells()
    counter, expected, before = Counter(numbers), 0, 0
    for total in totals:
        counter.follow(total)
        expected += total - before if total >= before else total
        before = total
        assert numbers[0] == expected


@given(values=st.lists(st.floats(-1, 40)))
def test_a_value_is_counted_in_the_first_bucket_that_it_fits(values: list[float]) -> None:
    """A bound belongs to its bucket; nothing is lost above the last or below the first one."""
    numbers = cells(2 + len(DURATIONS))
    histogram = Histogram(numbers, DURATIONS)
    for value in (*values, *DURATIONS):
        histogram.observe(value)
    everything = [*values, *DURATIONS]
    for index, bound in enumerate((*DURATIONS, float("inf"))):
        assert sum(numbers[1 : 2 + index]) == sum(value <= bound for value in everything)
    assert numbers[0] == pytest.approx(sum(everything))


@given(steps=st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3)), reset_at=st.integers(0, 10))
def test_growth_adds_up_to_what_was_counted(steps: list[list[int]], reset_at: int) -> None:
    """Read at any moments, growth adds up to all that was counted, though the source began anew in between."""
    growth, source, total = Growth(), [0, 0, 0], 0.0
    found, found_total = [0, 0, 0], 0.0
    for index, step in enumerate(steps):
        if index == reset_at:
            source, total = [0, 0, 0], 0.0
            # Seen at zero: one that has outgrown its past unseen cannot be told from one that went on.
            growth.since_last((0, 0, 0), 0.0)
        source, total = [a + b for a, b in zip(source, step, strict=True)], total + sum(step)
        counts, gained = growth.since_last(tuple(source), total)
        found, found_total = [a + b for a, b in zip(found, counts, strict=True)], found_total + gained
    assert found == [sum(step[i] for step in steps) for i in range(3)]
    assert found_total == sum(map(sum, steps))


def test_a_series_is_made_once(tmp_path: Path) -> None:
    """The same labels are the same series; values that do not fit the metric are refused."""
    instruments = Instruments()
    instruments.open(MetricFolder(tmp_path))
    assert instruments.counter(GOODPUT, "a") is instruments.counter(GOODPUT, "a")
    assert instruments.counter(GOODPUT, "a") is not instruments.counter(GOODPUT, "b")
    with pytest.raises(ValueError, match="has the labels"):
        instruments.counter(GOODPUT)
    instruments.close()


def test_series_of_a_version_outlive_it_by_a_minute(tmp_path: Path) -> None:
    """Requests that end late still count; who comes back within the minute stays; whoever looked them up is told."""
    instruments, told = Instruments(), list[Version]()
    instruments.open(MetricFolder(tmp_path))
    instruments.on_retired(told.append)
    series = instruments.counter(BATCHES, "m", "1")
    for now, loaded in ((0.0, {("m", "1")}), (100.0, ()), (159.0, ()), (160.0, {("m", "1")}), (200.0, ()), (259.9, ())):
        instruments.retire_but(loaded, now)
        assert instruments.counter(BATCHES, "m", "1") is series
    assert told == []
    instruments.retire_but((), 260.0)
    assert told == [("m", "1")]
    assert instruments.versions() == set()
    series.increment()
    assert instruments.counter(BATCHES, "m", "1") is not series
    instruments.close()


def test_what_has_no_folder_or_no_room_is_counted_for_nobody(tmp_path: Path) -> None:
    """Before it is opened, and where no file can be made, counting is no error."""
    instruments = Instruments()
    instruments.counter(GOODPUT, "a").increment()
    instruments.histogram(COST_RATIO, "m", "1").observe(1.0)
    instruments.retire_but((), 0.0)
    instruments.retire_but((), 60.0)
    instruments.open(MetricFolder(tmp_path / "metrics"))
    for version in range(4):  # more than there are files in store
        (tmp_path / "metrics").chmod(0o700)
        instruments.counter(BATCHES, "m", str(version)).increment()
    instruments.close()
    found = MetricFolder(tmp_path / "metrics").read()
    assert (GOODPUT.name, ("a",)) not in found


def test_the_catalogue_keeps_its_rules() -> None:
    """Names are unique and ours, counters end in _total, model and version are a pair, durations begin at 100 us."""
    assert len(BY_NAME) == len(METRICS) > 40
    for metric in METRICS:
        assert metric.name.startswith("tickserve_")
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert metric.help.endswith(".")
        assert ("version" in metric.labels) <= ({"model", "replica"} & set(metric.labels) != set())
        if metric.name.endswith("_duration_seconds"):
            assert metric.bounds[0] == 0.0001
    for objective in (0.05, 0.1):
        assert objective in QUEUE_DURATION.bounds


def test_a_metric_that_makes_no_sense_is_refused() -> None:
    """Bounds belong to histograms alone, and ascend."""
    for kind, bounds in ((Kind.COUNTER, (1.0,)), (Kind.HISTOGRAM, ()), (Kind.HISTOGRAM, (2.0, 1.0))):
        with pytest.raises(ValueError, match="bounds"):
            Metric(name="a", kind=kind, help="", bounds=bounds)
