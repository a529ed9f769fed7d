"""From samples to the overload report: pooled shares, ratios within a round, goals that can fail."""

import json
from typing import Any

import pytest

from benchmarks.load.sample import Sample
from benchmarks.load.summary import summarise as summarise_samples
from benchmarks.overload import figures, report
from benchmarks.peers import catalogue
from tickserve.bench.outcome import Outcome

DURATION = 4.0


def probes(*, latency: float, missed: int = 0) -> dict[str, Any]:
    """Returns the figures of 100 probes, of which `missed` expired."""
    ends = [Outcome.EXPIRED] * missed + [Outcome.IN_TIME if latency <= 0.05 else Outcome.LATE] * (100 - missed)
    samples = [Sample(0.01 * i, 0.01 * i, 0.01 * i + latency, end, "", 1, 0.004, 0.005) for i, end in enumerate(ends)]
    return summarise_samples(samples, start=0, duration=DURATION, is_open=True)


def background(per_second: float) -> dict[str, Any]:
    """Returns the figures of callers that were answered so often, in batches of two that took 2 ms."""
    count = round(per_second * DURATION)
    samples = [
        Sample(0, 0, DURATION * i / count, Outcome.IN_TIME, "", 2, 0.002 + 1e-9 * (i // 2), 0.3) for i in range(count)
    ]
    return summarise_samples(samples, start=0, duration=DURATION, is_open=False)


def phase(**traffic: dict[str, Any]) -> dict[str, Any]:
    """Returns what a run of the generators gave."""
    return {
        "traffic": traffic,
        "server_cpu": {"replica": 5.0, "haproxy": 0.5},
        "replica_threads": [],
        "client_cpu": 0.5,
        "foreign_cpu": 0.1,
        "stolen_cpu": 0.0,
        "niceness": [0, -10],
    }


def server(probe: dict[str, Any], *, beside: float, alone: float) -> dict[str, Any]:
    """Returns one server's part of a round."""
    return {
        "alone": phase(background=background(alone)),
        "with_probes": phase(background=background(beside), probe=probe),
    }


def document(*, missed: int) -> dict[str, Any]:
    """Returns the figures of two rounds, the machine being half as fast in the second."""
    rounds = [
        {
            catalogue.STOCK: server(probes(latency=1.0 / speed), beside=200 * speed, alone=220 * speed),
            catalogue.AS_SHIPPED: server(probes(latency=0.02, missed=missed), beside=500 * speed, alone=550 * speed),
        }
        for speed in (1.0, 0.5)
    ]
    settings = {"rounds": 2, "duration": DURATION, "callers": 128, "probe_rate": 25, "deadline": 0.05, "threads": 2}
    raw = {
        # As it comes from the generators' processes.
        "rounds": json.loads(json.dumps(rounds)),
        "titles": {catalogue.STOCK: "stock Ray Serve", catalogue.AS_SHIPPED: "tickserve as shipped"},
        "settings": settings | {"warm_up": 1, "cores": 2},
    }
    return figures.summarise(raw) | {"machine": {"processor": "any"}, "command": "python -m benchmarks.overload"}


def test_figures_are_pooled_and_ratios_taken_within_a_round() -> None:
    """A machine that slows down for both changes no ratio."""
    result = document(missed=0)
    shipped = result["targets"][catalogue.AS_SHIPPED]
    assert shipped["probe_goodput"] == 1.0
    assert shipped["background_per_second"] == pytest.approx(375, rel=0.01)
    ratios = result["ratios"][catalogue.AS_SHIPPED]
    assert ratios["background_per_second"] == pytest.approx({"median": 2.5, "min": 2.5, "max": 2.5}, rel=0.02)
    assert ratios["stock_probe_p99_over_own"]["min"] == pytest.approx(50)
    assert shipped["engine_busy_alone"]["max"] == pytest.approx(550 / 2 * 0.002, rel=0.02)
    assert shipped["costs"]["2"]["p50_ms"] == pytest.approx(2, rel=0.01)
    assert [goal["met"] for goal in result["goals"]] == [True] * 4
    assert set(result["calibration"]) >= {
        "background_per_second",
        "probe_p50_ms",
        "probe_p99_ms",
        "probe_goodput",
        "costs",
    }
    assert result["calibration"]["transport_ms"] == pytest.approx(15)


def test_a_missed_probe_is_slower_than_any_answered() -> None:
    """With 3 of 100 expired, the goals of goodput and p99 fail although every answer was fast."""
    result = document(missed=3)
    assert [goal["met"] for goal in result["goals"]] == [False, False, True, True]
    assert result["targets"][catalogue.AS_SHIPPED]["probe_p99_ms"] == pytest.approx(20)


def test_the_report_says_what_was_met_and_what_was_not() -> None:
    """Goals, every server and the machine are in it; others' work is told."""
    good, bad = report.write(document(missed=0), plot="overload.png"), report.write(document(missed=3), plot="")
    assert "**not met**" not in good
    assert bad.count("**not met**") == 2
    assert "![" in good
    assert "![" not in bad
    for text in (good, bad):
        assert "tickserve as shipped" in text
        assert "Other work on the machine took" in text


def test_a_disturbed_run_says_so() -> None:
    """Figures from a machine that others used are marked at the top."""
    result = document(missed=0)
    result["targets"][catalogue.STOCK]["foreign_cpu"] = 16.0
    assert "**Disturbed" in report.write(result, plot="")
