"""The folder of a node: the living and the dead add up, versions come and go, and files stay few."""

import os
from pathlib import Path

import pytest

from server.telemetry import metric_folder
from server.telemetry.instruments import Instruments
from server.telemetry.metric_catalogue import (
    BATCH_LIMIT,
    BATCHES,
    GOODPUT,
    MODEL_LOADED,
    QUEUE_AGE,
    QUEUE_DURATION,
    SYMBOLS,
)
from server.telemetry.metric_folder import MetricFolder, sweep_folders
from server.telemetry.metric_tally import PAST_VERSIONS, Key

CLASS = "standard"
TOTAL: Key = (GOODPUT.name, (CLASS,))


def replica(path: Path) -> Instruments:
    """Returns what one more replica counts in."""
    instruments = Instruments()
    instruments.open(MetricFolder(path))
    return instruments


def batches(version: int) -> Key:
    """Returns the key of a version's batches."""
    return BATCHES.name, ("m", str(version))


def test_replicas_add_up_and_gauges_merge_as_they_say(tmp_path: Path) -> None:
    """Counters, histograms and most gauges are sums; an age is the greatest one."""
    for number in (1, 2):
        one = replica(tmp_path)
        one.counter(GOODPUT, CLASS).increment(number)
        one.histogram(QUEUE_DURATION, CLASS).observe(0.001)
        one.histogram(QUEUE_DURATION, CLASS).observe(1e6)
        one.gauge(SYMBOLS).set(number)
        one.gauge(QUEUE_AGE, CLASS).set(number)
    found = MetricFolder(tmp_path).read()
    assert found[TOTAL] == [3.0]
    histogram = found[QUEUE_DURATION.name, (CLASS,)]
    assert histogram[0] == 2e6 + 0.002
    assert histogram[1 + QUEUE_DURATION.bounds.index(0.001)] == histogram[-1] == 2
    assert sum(histogram[1:]) == 4
    assert found[SYMBOLS.name, ()] == [3.0]
    assert found[QUEUE_AGE.name, (CLASS,)] == [2.0]


def test_the_dead_keep_their_totals_and_lose_their_gauges(tmp_path: Path) -> None:
    """Twenty replicas come and go: totals only grow, gauges are the living one's, and three files are left."""
    folder = MetricFolder(tmp_path)
    for number in range(1, 21):
        one = replica(tmp_path)
        one.counter(GOODPUT, CLASS).increment()
        one.gauge(SYMBOLS).set(1)
        found = folder.read()
        assert found[TOTAL] == [float(number)]
        assert found[SYMBOLS.name, ()] == [1.0]
        one.close()
        found = folder.read()
        assert found[TOTAL] == [float(number)]
        assert (SYMBOLS.name, ()) not in found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "lock"]


def test_versions_are_told_while_somebody_holds_them(tmp_path: Path) -> None:
    """A version's series vanish when no replica holds it, and are what they were when one does again."""
    folder, one, two = MetricFolder(tmp_path), replica(tmp_path), replica(tmp_path)
    for each in (one, two):
        each.gauge(MODEL_LOADED, "m", "1").set(1)
        each.counter(BATCHES, "m", "1").increment()
    assert folder.read()[batches(1)] == [2.0]
    one.gauge(MODEL_LOADED, "m", "1").set(0)
    assert folder.read()[batches(1)] == [2.0], "the other one holds it, and totals never fall"
    two.gauge(MODEL_LOADED, "m", "1").set(0)
    assert batches(1) not in folder.read()
    for now in (0.0, 61.0):
        one.retire_but([], now)
        two.retire_but([], now)
    assert batches(1) not in folder.read()
    one.gauge(MODEL_LOADED, "m", "1").set(1)
    assert folder.read()[batches(1)] == [2.0]
    one.counter(BATCHES, "m", "1").increment()
    assert folder.read()[batches(1)] == [3.0]


def test_past_versions_are_remembered_up_to_a_number(tmp_path: Path) -> None:
    """A hundred versions pass: the archive keeps the highest, and any that is held now."""
    folder, one = MetricFolder(tmp_path), replica(tmp_path)
    one.gauge(MODEL_LOADED, "m", "1").set(1)
    for version in range(1, 101):
        other = replica(tmp_path)
        other.counter(BATCHES, "m", str(version)).increment()
        other.close()
        folder.read()
    for version in range(1, 101):
        one.gauge(MODEL_LOADED, "m", str(version)).set(1)
    found = folder.read()
    kept = [version for version in range(1, 101) if batches(version) in found]
    assert kept == [1, *range(101 - PAST_VERSIONS, 101)]


def test_other_releases_series_are_passed_over(tmp_path: Path) -> None:
    """Unknown names, other labels and other numbers of cells are no error and in no total."""
    folder = MetricFolder(tmp_path)
    segment = folder.new_segment()
    for key in (
        "",
        "{}",
        "[",
        "[]",
        "[1]",
        '["tickserve_of_tomorrow"]',
        f'["{GOODPUT.name}","a","b"]',
        f'["{QUEUE_DURATION.name}","{CLASS}"]',
    ):
        segment.add(key, 1)[0] = 5.0
    assert folder.read() == {}
    segment.close()
    assert folder.read() == folder.read() == {}


def test_a_folder_that_is_held_is_given_up_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scrape waits for the one before it, but not for ever."""
    monkeypatch.setattr(metric_folder, "_LOCK_TIMEOUT", 0.01)
    folder = MetricFolder(tmp_path)
    with folder._locked(), pytest.raises(TimeoutError, match="held by another process"):
        folder.read()
    assert folder.read() == {}


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is known to all users of the machine: one who took it first gets no figures of ours."""
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(PermissionError, match="another user"):
        MetricFolder(tmp_path / "metrics")


def test_what_a_dying_process_left_half_made_is_swept(tmp_path: Path) -> None:
    """Drafts go at once, for whoever sweeps holds the lock; unnamed segments when nobody can be making them."""
    folder = MetricFolder(tmp_path)
    for name in ("x.draft", ".old.segment.new", ".new.segment.new"):
        (tmp_path / name).write_bytes(b"")
    os.utime(tmp_path / ".old.segment.new", (1, 1))
    folder.read()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".new.segment.new", "lock"]


def test_folders_of_past_starts_are_removed(tmp_path: Path) -> None:
    """One that is old goes, unless somebody counts in it, or it is our own; a young one stays."""
    holders = {name: replica(tmp_path / name) for name in ("own", "old", "counted in", "young")}
    for name in ("own", "old", "young"):
        holders[name].close()
    for name in ("own", "old", "counted in"):
        os.utime(tmp_path / name, (1, 1))
    sweep_folders(tmp_path, kept=tmp_path / "own")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counted in", "own", "young"]


def test_limits_of_batches_are_the_greatest(tmp_path: Path) -> None:
    """Replicas learn their own limits; what a batch may hold on the node is the greatest."""
    one, two = replica(tmp_path), replica(tmp_path)
    for each, limit in ((one, 8), (two, 32)):
        each.gauge(MODEL_LOADED, "m", "1").set(1)
        each.gauge(BATCH_LIMIT, "m", "1").set(limit)
    assert MetricFolder(tmp_path).read()[BATCH_LIMIT.name, ("m", "1")] == [32.0]
