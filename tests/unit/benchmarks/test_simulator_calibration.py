"""Cost tables and live figures are read, refused and compared as they are described."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.scheduling.calibration import Comparison, compare, read_live
from benchmarks.scheduling.catalog import WORKLOADS
from benchmarks.scheduling.experiment import Setup, simulate
from planning.cost_table import QUIET, SHARED_CORE, CostTable, read_cost_table
from planning.engine import SimulatedEngine, Slowdown
from planning.measured_costs import read_table, table_from_costs

LIVE = {"background_per_second": 480.0, "probe_p50_ms": 21.0, "probe_p99_ms": 44.0, "probe_goodput": 0.99}


def written(folder: Path, document: object) -> Path:
    """Return a file that holds the document."""
    path = folder / "live.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_durations_lie_on_lines_between_measured_sizes() -> None:
    """Below the first size the first duration holds, above the last it grows in proportion."""
    table = CostTable(source="test", seconds_by_batch_size={8: 0.02, 2: 0.01})
    durations = [table.duration(size) for size in (1, 2, 5, 8, 16)]
    assert durations == pytest.approx([0.01, 0.01, 0.015, 0.02, 0.04])


def test_capacity_is_that_of_the_best_batch_size() -> None:
    """A load of 1 can just be served."""
    table = CostTable(source="test", seconds_by_batch_size={1: 0.010, 4: 0.020, 8: 0.080}, dispatch_seconds=0.0)
    assert table.capacity(8) == pytest.approx(200.0)
    assert table.capacity(1) == pytest.approx(100.0)


@pytest.mark.parametrize("sizes", [{}, {0: 0.1}, {1: 0.0}, {1: 0.2, 2: 0.1}, {1: math.nan}])
def test_a_table_that_cannot_be_is_refused(sizes: dict[int, float]) -> None:
    """Durations are positive and do not fall as the batch grows."""
    with pytest.raises(ValueError, match="seconds_by_batch_size"):
        CostTable(source="test", seconds_by_batch_size=sizes)


def test_noise_that_cannot_be_is_refused() -> None:
    """The message names the field."""
    with pytest.raises(ValueError, match="jitter is -1"):
        CostTable(source="test", seconds_by_batch_size={1: 0.1}, jitter=-1)


@pytest.mark.parametrize("table", [SHARED_CORE, QUIET])
def test_a_table_survives_its_file(table: CostTable, tmp_path: Path) -> None:
    """What is written is what is read, and a live run's costs will do, too."""
    assert read_cost_table(written(tmp_path, table.as_dict())) == table
    assert read_table(written(tmp_path, table.as_dict())) == table
    costs = {"4": {"count": 9, "p50_ms": 7.0}}
    assert read_table(written(tmp_path, {**LIVE, "costs": costs})).seconds_by_batch_size == {4: 0.007}


def test_a_slowdown_stretches_the_calls_that_begin_in_it() -> None:
    """Before and after, the engine is as fast as ever."""
    table = CostTable(source="test", seconds_by_batch_size={1: 0.01}, jitter=0.0, stall_probability=0.0)
    engine = SimulatedEngine(table, max_batch_size=1, seed=1, slowdowns=[Slowdown(start=1.0, end=2.0, factor=3.0)])
    assert [engine.duration(1, now) for now in (0.9, 1.0, 2.0)] == pytest.approx([0.01, 0.03, 0.01])


@pytest.mark.parametrize("document", [LIVE, {"calibration": LIVE, "rounds": []}])
def test_live_figures_are_read(document: object, tmp_path: Path) -> None:
    """The keys stand at the top or in an object of their own."""
    live = read_live(written(tmp_path, document))
    assert (live.background_per_second, live.probe_p99_ms, live.table) == (480.0, 44.0, None)


@pytest.mark.parametrize("key", LIVE)
def test_a_missing_figure_is_named(key: str, tmp_path: Path) -> None:
    """A live run without it cannot be compared."""
    with pytest.raises(ValueError, match=key):
        read_live(written(tmp_path, {**LIVE, key: None}))


def test_costs_of_the_live_run_become_a_table(tmp_path: Path) -> None:
    """Rarely seen sizes are left out, medians never fall, the spread becomes jitter."""
    costs: dict[str, dict[str, Any]] = {
        "1": {"count": 50, "p50_ms": 3.0, "p90_ms": 3.3},
        "2": {"count": 1, "p50_ms": 900.0, "p90_ms": 900.0},
        "8": {"count": 50, "p50_ms": 14.0, "p90_ms": 15.4},
        "9": {"count": 50, "p50_ms": 13.9, "p90_ms": 15.29},
    }
    live = read_live(written(tmp_path, {**LIVE, "costs": costs, "dispatch_ms": 0.5, "transport_ms": 2.0}))
    assert live.table is not None
    assert live.table.seconds_by_batch_size == pytest.approx({1: 0.003, 8: 0.01395, 9: 0.01395})
    assert live.table.jitter == pytest.approx(math.log(1.1) / 1.2816, rel=1e-3)
    assert live.table.dispatch_seconds == pytest.approx(0.0005)
    assert live.table.transport_seconds == pytest.approx(0.002)
    costs["1"] = {"count": 300, "p50_ms": 3.0, "p90_ms": 3.0, "p99_ms": 10.0}
    stalled = table_from_costs({"1": costs["1"]}, source="test")
    durations = [SimulatedEngine(stalled, max_batch_size=1, seed=seed).duration(1, 0.0) for seed in range(3000)]
    assert np.quantile(durations, 0.99) == pytest.approx(0.010, rel=0.15)  # as many stalls as were seen
    only = table_from_costs({"2": {"count": 1, "p50_ms": 5.0}}, source="test")
    assert only.seconds_by_batch_size == {2: 0.005}


@pytest.mark.parametrize(
    ("predicted", "live", "agrees", "says"),
    [
        (110.0, 100.0, True, r"\+10%\): agrees"),
        (79.0, 100.0, False, "-21%.*does not agree within 20%"),
        (0.0, 0.0, True, "agrees"),
        (0.1, 0.0, False, "not comparable"),
        (math.nan, 10.0, False, "not comparable"),
    ],
)
def test_a_comparison_says_by_how_much(predicted: float, live: float, agrees: bool, says: str) -> None:
    """Within 20 % of the live figure it agrees; otherwise it says how far off it is."""
    comparison = Comparison(name="probe p99, ms", predicted=predicted, live=live)
    assert comparison.agrees is agrees
    assert re.search(says, str(comparison))


def test_a_run_agrees_with_itself(tmp_path: Path) -> None:
    """The simulator's own figures, given as live ones, agree."""
    overload = next(workload for workload in WORKLOADS if workload.name == "live overload")
    summary = simulate(overload, "strict priority", Setup(table=QUIET, requests=5000)).summary
    probe = summary.streams["probe"]
    figures = {
        "background_per_second": summary.streams["background"].in_time_per_second,
        "probe_p50_ms": probe.p50 * 1e3,
        "probe_p99_ms": probe.p99 * 1e3,
        "probe_goodput": probe.goodput,
    }
    comparisons = compare(summary, read_live(written(tmp_path, figures)))
    assert len(comparisons) == 4
    assert all(item.agrees and item.error == pytest.approx(0.0) for item in comparisons)
