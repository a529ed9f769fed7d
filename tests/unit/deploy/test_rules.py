"""Recording and alert rules: understood by Prometheus, tested by promtool, and of one pattern."""

import itertools
import re
from pathlib import Path

import pytest

from tests.support.deployed import PROMETHEUS, RULE_FILES, RULE_TESTS, alerts, read_yaml, recordings, rules
from tests.support.promtool import promtool

ALERT_TESTS = [test for path in RULE_TESTS for group in read_yaml(path)["tests"] for test in group["alert_rule_test"]]
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds(duration: str) -> int:
    """Returns a duration of Prometheus's in seconds."""
    return sum(int(count) * SECONDS[unit] for count, unit in re.findall(r"(\d+)([smhd])", duration))


def test_prometheus_takes_its_configuration() -> None:
    """Promtool reads the configuration and every rule file that it names: all there are."""
    told = promtool("check", "config", PROMETHEUS / "prometheus.yml")
    assert f"{len(RULE_FILES)} rule files found" in told
    counts = [int(count) for count in re.findall(r"SUCCESS: (\d+) rules found", told)]
    assert sum(counts) == len(rules()) > 30


@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_the_rules_do_what_their_tests_say(path: Path) -> None:
    """Promtool plays each test's series and compares which alerts fire, with which words."""
    assert "SUCCESS" in promtool("test", "rules", path)


@pytest.mark.parametrize("name", sorted(alerts()))
def test_every_alert_is_seen_to_fire_to_be_silent_and_to_resolve(name: str) -> None:
    """Each has, among promtool's tests, one in which it fires and is silent again later, and one of silence before."""
    fires, is_silent, resolves = False, False, False
    for path in RULE_TESTS:
        for group in read_yaml(path)["tests"]:
            history = sorted(
                (seconds(str(test["eval_time"])), bool(test["exp_alerts"]))
                for test in group["alert_rule_test"]
                if test["alertname"] == name
            )
            states = [state for _, state in history]
            fires |= True in states
            is_silent |= states[:1] == [False]
            resolves |= (True, False) in itertools.pairwise(states)
    assert (fires, is_silent, resolves) == (True, True, True)


def test_no_test_is_about_an_alert_that_does_not_exist() -> None:
    """Promtool takes a misspelt name for an alert that does not fire."""
    assert {test["alertname"] for test in ALERT_TESTS} - alerts().keys() == set()


def test_recorded_names_follow_the_convention() -> None:
    """level:metric:operations; the level is what the expression aggregates by."""
    for name, expr in recordings().items():
        level, metric, operations = name.split(":")
        assert metric.startswith("tickserve_"), name
        assert operations, name
        grouped = {label.strip() for label in re.findall(r"by \(([^)]*)\)", expr)[0].split(",")} - {"le"}
        assert sorted(grouped) == sorted(level.split("_")), name


def test_every_window_of_an_objective_is_recorded_alike() -> None:
    """The recordings of one ratio differ in their windows alone."""
    families: dict[str, set[str]] = {}
    windows: dict[str, list[str]] = {}
    for name, expr in recordings().items():
        family, _, window = name.rpartition("ratio_rate")
        if family:
            assert expr.count(f"[{window}]") == 2, name
            families.setdefault(family, set()).add(expr.replace(f"[{window}]", "[]"))
            windows.setdefault(family, []).append(window)
    assert sorted(families) == [
        "job_class:tickserve_admitted_misses_per_admitted:",
        "job_class:tickserve_misses_per_request:",
    ]
    assert all(len(shapes) == 1 for shapes in families.values())
    assert all(each == ["5m", "30m", "1h", "2h", "6h", "1d", "3d"] for each in windows.values())


@pytest.mark.parametrize(
    ("name", "budget", "pairs"),
    [
        ("TickserveRealTimeLateFast", "0.001", {("14.4", "1h", "5m"), ("6", "6h", "30m")}),
        ("TickserveRealTimeLateSlow", "0.001", {("3", "1d", "2h"), ("1", "3d", "6h")}),
        ("TickserveRealTimeGoodputFast", "0.01", {("14.4", "1h", "5m"), ("6", "6h", "30m")}),
        ("TickserveRealTimeGoodputSlow", "0.01", {("3", "1d", "2h"), ("1", "3d", "6h")}),
    ],
)
def test_each_burn_rate_is_asked_over_a_long_and_a_short_window(
    name: str, budget: str, pairs: set[tuple[str, str, str]]
) -> None:
    """Both windows of a pair are held to the same rate of the same budget; the long one is twelve times the short."""
    terms = re.findall(r'ratio_rate(\w+)\{class="real_time"\} > ([\d.]+) \* ([\d.]+)', alerts()[name]["expr"])
    assert {share for *_, share in terms} == {budget}
    found = {(rate, long, short) for (long, rate, _), (short, other, _) in zip(terms[::2], terms[1::2], strict=True)}
    assert found == pairs
    assert all(seconds(long) == 12 * seconds(short) for _, long, short in found)
    assert all(first[1] == second[1] for first, second in zip(terms[::2], terms[1::2], strict=True))
