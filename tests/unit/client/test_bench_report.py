"""Plans, mixes, limits and figures of `tickserve bench`, and that no two windows are the same."""

import dataclasses
import math

import pytest

from tickserve import Model, ModelState, ModelVersion, Priority
from tickserve.bench.driver import Run, Sample
from tickserve.bench.limits import Limit, checks, merged
from tickserve.bench.mix import parse_mix
from tickserve.bench.outcome import Outcome
from tickserve.bench.percentile import coarser, histogram
from tickserve.bench.plan import DEFAULT_LIMITS, PRESETS, BenchPlan
from tickserve.bench.report import report_of
from tickserve.bench.windows import Windows


def sample(
    milliseconds: float, outcome: Outcome = Outcome.IN_TIME, reason: str = "", priority: Priority = Priority.STANDARD
) -> Sample:
    """Returns a request that was due at 1 s and sent 2 ms later."""
    return Sample(priority, 1.0, 1.002, 1.0 + milliseconds / 1e3, outcome, reason)


def test_the_presets_are_the_originals_tests() -> None:
    """1,000 one after another; 1,000 at 10; 60 s at 100; a mean below 100 ms."""
    assert PRESETS["sequential"] == BenchPlan(requests=1_000, concurrency=1)
    assert PRESETS["concurrent"] == BenchPlan(requests=1_000, concurrency=10)
    assert PRESETS["sustained"] == BenchPlan(duration=60.0, concurrency=100)
    assert Limit("mean", "max", 100.0) in DEFAULT_LIMITS


def test_another_end_or_loop_replaces_the_presets() -> None:
    """What is not named stays."""
    preset = PRESETS["sustained"]
    nothing = {"requests": None, "duration": None, "concurrency": None, "rate": None}
    assert preset.changed(**nothing) == preset
    assert preset.changed(**nothing | {"requests": 5}) == dataclasses.replace(preset, requests=5, duration=None)
    assert preset.changed(**nothing | {"rate": 9.0}) == dataclasses.replace(preset, rate=9.0, concurrency=None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="--rate"):
        preset.changed(requests=None, duration=None, concurrency=3, rate=9.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests": None},
        {"requests": 0},
        {"duration": math.inf},
        {"duration": 0.0},
        {"concurrency": 0},
        {"concurrency": None},
        {"rate": 5.0},
        {"concurrency": None, "rate": 0.0},
        {"timeout": 0.0},
        {"connections": 0},
    ],
)
def test_a_plan_that_measures_nothing_is_refused(wrong: dict[str, float | None]) -> None:
    """Values out of range are refused when the plan is made."""
    with pytest.raises(ValueError, match=r"must|give|ends"):
        BenchPlan(**{"requests": 1, "concurrency": 1} | wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plan", "count"),
    [
        (BenchPlan(requests=1, concurrency=1), 1),
        (BenchPlan(requests=1, concurrency=101), 2),
        (BenchPlan(requests=1, rate=1_000, timeout=0.5), 5),
        (BenchPlan(requests=1, rate=1e6), 16),
        (BenchPlan(requests=1, concurrency=1, connections=3), 3),
    ],
)
def test_connections_suffice_for_the_streams_that_a_proxy_allows(plan: BenchPlan, count: int) -> None:
    """A connection carries 100 requests at a time, of an open loop at the most rate times timeout; there are a few."""
    assert plan.connection_count == count


@pytest.mark.parametrize(
    "text",
    [
        "",
        "urgent",
        "standard=0.5",
        "standard=x,background=0.5",
        "standard,standard",
        "standard=0,background=1",
        "shadow",
    ],
)
def test_a_mix_that_adds_up_to_nothing_is_refused(text: str) -> None:
    """Unknown, repeated or weightless classes and shares that do not add up are refused."""
    with pytest.raises(ValueError, match=r"priority|mix|share"):
        parse_mix(text)


@pytest.mark.parametrize("text", ["p98=1", "p99", "p99=", "p99=x", "p99=nan", "=5"])
def test_a_limit_on_nothing_is_refused(text: str) -> None:
    """A typing error must not make a run pass."""
    with pytest.raises(ValueError, match=r"limit"):
        Limit.parse(text, "max")


def test_own_limits_replace_and_lift_the_defaults() -> None:
    """The same figure and bound is replaced, `none` lifts it, others join."""
    own = [Limit.parse("mean=none", "max"), Limit.parse("errors=0.01", "max"), Limit.parse("rate=200", "min")]
    assert merged(DEFAULT_LIMITS, own) == (Limit("errors", "max", 0.01), Limit("rate", "min", 200.0))


def test_limits_hold_at_their_value_and_never_for_what_is_not_known() -> None:
    """A run without a single answer passes no limit on latency."""
    limits = [Limit("p99", "max", 5.0), Limit("rate", "min", 5.0)]
    assert [check.ok for check in checks(limits, {"p99": 5.0, "rate": 5.0})] == [True, True]
    assert [check.ok for check in checks(limits, {"p99": 5.1, "rate": 4.9})] == [False, False]
    assert [check.ok for check in checks(limits, {"p99": None, "rate": 5.0})] == [False, True]


def test_figures_of_a_run() -> None:
    """Every request counts once, latency from when it was due, reasons by name."""
    run = Run(
        [
            *(sample(value) for value in range(1, 98)),
            sample(2_000, Outcome.LATE, priority=Priority.BACKGROUND),
            sample(1, Outcome.REFUSED, "QUEUE_FULL", Priority.BACKGROUND),
            sample(1, Outcome.UNANSWERED, "UNAVAILABLE"),
        ],
        elapsed=2.0,
    )
    report = report_of(run, [Limit("errors", "max", 0.02), Limit("late", "max", 0.0)])
    total = report.total
    assert (total.sent, total.in_time, total.late, total.rate) == (100, 97, 1, 49.0)
    assert total.reasons == {"QUEUE_FULL": 1, "UNAVAILABLE": 1}
    assert list(total.latency_ms) == ["mean", "p50", "p90", "p95", "p99", "p99.9", "max"]
    assert (total.latency_ms["p50"], total.latency_ms["max"]) == pytest.approx((49, 2_000))
    # Of all that were sent, two have no answer: slower than any.
    assert total.sent_latency_ms["p50"] == pytest.approx(50)
    assert total.sent_latency_ms["p99"] is None
    assert total.lag_ms["max"] == pytest.approx(2)
    assert total.errors == pytest.approx(0.02)
    assert [check.ok for check in report.checks] == [True, False]
    assert not report.ok
    assert (report.classes["background"].sent, report.classes["background"].errors) == (2, 0.5)
    assert sum(figures.sent for figures in report.classes.values()) == total.sent


def test_a_run_of_nothing_has_no_figures_and_does_not_pass() -> None:
    """Nothing sent is nothing shown."""
    report = report_of(Run([], 0.0), DEFAULT_LIMITS)
    assert report.total.latency_ms["mean"] is None
    assert not report.ok


@pytest.mark.parametrize("rows", [1, 2, 16])
def test_a_coarser_histogram_loses_nothing(rows: int) -> None:
    """It has no more rows than asked for, each value in one, each bound not below what it holds."""
    values = [0.01, 0.3, 0.31, 7.0, 7.1, 90.0, 1e7]
    found = coarser(histogram(values), rows=rows)
    assert len(found) <= rows
    assert sum(count for _, count in found) == len(values)
    bounds = [bound for bound, _ in found]
    assert bounds == sorted(bounds)
    below = 0
    for bound, count in found[:-1]:
        below += count
        assert below == sum(value <= bound for value in values)
    assert coarser([], rows=rows) == []


def test_no_two_windows_are_the_same() -> None:
    """Each number has a window that no other has, of the model's shape and schema; the same seed makes the same."""
    model = Model(
        version=ModelVersion("m", 1, ""),
        state=ModelState.SERVING,
        feature_schema="schema-1",
        feature_count=4,
        time_steps=5,
        class_labels=(),
        regression_names=(),
        bar_interval=60.0,
        prediction_horizon=1,
        engine=None,
        training_metrics={},
        is_default=True,
    )
    windows = Windows(model, seed=3, bases=8)
    made = [windows.make(number) for number in range(20_000)]
    assert len({window.raw_float32 for window in made}) == len(made)
    assert {(window.feature_count, window.time_steps, window.feature_schema) for window in made} == {(4, 5, "schema-1")}
    assert Windows(model, seed=3, bases=8).make(77) == made[77]
    assert Windows(model, seed=4, bases=8).make(77) != made[77]
