"""Which of a replica's own figures is which metric, and that copying them again and again counts nothing twice."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from batching import CostAccuracy, PriorityClass, Scheduler, SchedulerConfig, Statistics
from server.health.deep_health import DeepHealth, DeepState
from server.replica_figures import ReplicaFigures, Telling
from server.results.known_results import SharedResultsStatistics
from server.results.request_ledger import LedgerStatistics
from server.results.result_cache import ResultCacheStatistics
from server.routes.arm_statistics import ArmStatistics, Outcome
from server.routes.disagreement import Disagreement
from server.routes.route_snapshot import ArmSnapshot, ArmState, RouteSnapshot
from server.routes.router import Arm
from server.statistics.replica_snapshot import CacheFigures, ReplicaSnapshot
from server.telemetry.device_figures import DeviceFigures, ProcessFigures
from server.telemetry.instruments import Instruments
from server.telemetry.metric_folder import MetricFolder
from server.telemetry.metrics import Exposition
from server.ticks.tick_counters import TickCounters
from tests.support.fakes import served_model
from tests.support.registry import NAME
from tests.support.scraped import Scraped

REPLICA = "replica-1"
SERVED = served_model()
LOADED = {SERVED.key: SERVED}


class Written:
    """A replica's figures, and what others see of them.

    Attributes:
        figures: What writes them.
    """

    def __init__(self, path: Path) -> None:
        folder, instruments = MetricFolder(path), Instruments()
        instruments.open(folder)
        self.figures = ReplicaFigures(instruments, REPLICA)
        self._page = Exposition(folder, pause=lambda _: None)

    def scrape(self) -> Scraped:
        """Reads what was written."""
        return Scraped(self._page()[0])


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Figures in a folder of the test's."""
    return Written(tmp_path)


def snapshot(**fields: Any) -> ReplicaSnapshot:
    """Returns a replica that has just begun; given fields are replaced."""
    values: dict[str, Any] = {
        "replica_id": REPLICA,
        "scheduler": statistics(),
        "uptime": 5.0,
        "open_streams": 0,
        "symbols": 7,
        "profile": "",
        "cache": CacheFigures(
            results=ResultCacheStatistics(entries=1, size_bytes=2, hits=3, misses=4, expirations=5, evictions=6),
            shared=None,
            request_ids=LedgerStatistics(entries=1, size_bytes=2, replays=3, reused=4),
        ),
    }
    return ReplicaSnapshot(**values | fields)


def statistics(**fields: Any) -> Statistics:
    """Returns those of an idle scheduler; given fields are replaced."""
    scheduler: Scheduler[int, int] = Scheduler(SchedulerConfig())
    return dataclasses.replace(scheduler.statistics(0.0), **fields)


def test_a_snapshot_is_told_as_it_is(written: Written) -> None:
    """Gauges are the snapshot's values, counters its totals, however often it is written."""
    shared = SharedResultsStatistics(
        available=True, hits=1, misses=2, timeouts=3, skipped=4, failures=5, writes=6, dropped=7
    )
    now = snapshot(
        scheduler=statistics(
            queue_size={PriorityClass.REAL_TIME: 3, PriorityClass.SHADOW: 1},
            oldest_age={PriorityClass.REAL_TIME: 0.25},
            promoted=11,
            idle_with_queue=0.5,
            batch_limit={SERVED.sha256: 16, "of a version that is not loaded": 64},
        ),
        cache=dataclasses.replace(snapshot().cache, shared=shared),
        ticks=TickCounters(applied=5, duplicates=6, refused=7, conflated=8, resumed=9),
        store_failures=10,
        deep_health=DeepHealth(state=DeepState.DEGRADED),
        loop_lag=0.125,
    )
    for _ in range(3):
        written.figures.write(now, LOADED, 0.0)
    page = written.scrape()
    version = {"model": NAME, "version": "1"}
    expected: list[tuple[str, dict[str, str], float]] = [
        ("replica_info", {"replica": REPLICA}, 1),
        ("replica_uptime_seconds", {"replica": REPLICA}, 5),
        ("deep_health_state", {"replica": REPLICA}, 2),
        ("event_loop_lag_seconds", {"replica": REPLICA}, 0.125),
        ("symbols", {}, 7),
        ("queue_size", {"class": "real_time"}, 3),
        ("queue_size", {"class": "shadow"}, 1),
        ("queue_age_seconds", {"class": "real_time"}, 0.25),
        ("promoted_total", {}, 11),
        ("idle_with_queue_seconds_total", {}, 0.5),
        ("model_loaded", version, 1),
        ("batch_limit", version, 16),
        ("batch_limit", {}, 16),
        ("cache_requests_total", {"level": "memory", "result": "hit"}, 3),
        ("cache_requests_total", {"level": "memory", "result": "miss"}, 4),
        ("cache_requests_total", {"level": "shared", "result": "hit"}, 1),
        ("cache_requests_total", {"level": "shared", "result": "miss"}, 2),
        ("cache_requests_total", {"level": "shared", "result": "error"}, 7),
        ("cache_bytes", {}, 2),
        ("ticks_total", {"result": "applied"}, 5),
        ("ticks_total", {"result": "duplicate"}, 6),
        ("ticks_total", {"result": "refused"}, 7),
        ("conflated_total", {}, 8),
        ("resumed_total", {}, 9),
        ("window_store_failures_total", {}, 10),
    ]
    assert [page.value(f"tickserve_{name}", **labels) for name, labels, _ in expected] == [v for _, _, v in expected]


def test_a_route_is_told_by_arm(written: Written) -> None:
    """Ends, comparisons and disagreements count by arm; another candidate's counters, from zero, go on top."""
    for _ in range(2):
        arm = ArmStatistics(window=60.0, clock=time.monotonic)
        arm.count(Outcome.ANSWERED)
        arm.count(Outcome.LATE)
        for other_class in (True, False, False):
            found = Disagreement(other_class=other_class, probability_difference=0.0, regression_difference=0.0)
            arm.count_comparison(found)
        candidate = ArmSnapshot(arm=Arm.CANDIDATE, version=2, sha256="", state=ArmState.LIVE, statistics=arm)
        route = RouteSnapshot(model=NAME, percent=5, effective_percent=5, window=60.0, arms=(candidate,))
        fresh = dataclasses.replace(candidate, statistics=ArmStatistics(window=60.0, clock=time.monotonic))
        written.figures.write(snapshot(routes=(route,)), LOADED, 0.0)
        written.figures.write(snapshot(routes=(dataclasses.replace(route, arms=(fresh,)),)), LOADED, 0.0)
    page = written.scrape()
    labels = {"model": NAME, "arm": "candidate"}
    assert page.value("tickserve_route_requests_total", outcome="answered", **labels) == 2
    assert page.value("tickserve_route_requests_total", outcome="late", **labels) == 2
    assert page.value("tickserve_route_requests_total", outcome="error", **labels) == 0
    assert page.value("tickserve_route_comparisons_total", **labels) == 6
    assert page.value("tickserve_route_disagreements_total", **labels) == 2


def test_cost_ratios_are_counted_once_though_their_version_comes_and_goes(written: Written) -> None:
    """The scheduler's ratios are totals since the start; a version's series begin anew when it comes back."""

    def write(counts: list[int], loaded: dict[tuple[str, int], Any], now: float) -> None:
        padded = tuple(counts + [0] * (len(CostAccuracy.BOUNDS) + 1 - len(counts)))
        accuracy = {SERVED.sha256: CostAccuracy(counts=padded, total=float(sum(counts)))}
        written.figures.write(snapshot(scheduler=statistics(cost_accuracy=accuracy)), loaded, now)

    write([1, 2], LOADED, 0.0)
    write([1, 4], LOADED, 1.0)
    write([1, 4], {}, 2.0)
    assert written.scrape().labels("tickserve_cost_ratio_count") == [], "nobody holds it"
    write([1, 4], {}, 100.0)
    write([2, 4], LOADED, 200.0)
    page = written.scrape()
    version = {"model": NAME, "version": "1"}
    assert page.value("tickserve_cost_ratio_bucket", le="0.1", **version) == 2
    assert page.value("tickserve_cost_ratio_count", **version) == page.value("tickserve_cost_ratio_sum", **version) == 6


def test_process_streams_and_telemetry_are_told(written: Written) -> None:
    """What the system says of the process, how many streams are open, and what telemetry lost."""
    devices = (DeviceFigures(name="gpu0", utilisation=0.5, memory_bytes=1024),)
    written.figures.write_process(ProcessFigures(memory_bytes=4096, cpu_seconds=1.5, devices=devices))
    written.figures.write_process(ProcessFigures(memory_bytes=2048, cpu_seconds=2.5, devices=devices))
    written.figures.write_streams({"StreamTicks": 2, "StreamPredict": 1})
    telling = Telling(observer_failures=1, spans_exported=2, spans_dropped=3, decisions_written=4, decisions_dropped=5)
    written.figures.write_telling(telling)
    written.figures.note_lag(0.0002)
    page = written.scrape()
    assert page.value("tickserve_replica_memory_bytes", replica=REPLICA) == 2048
    assert page.value("tickserve_replica_cpu_seconds_total") == 2.5
    assert page.value("tickserve_device_utilisation_ratio", device="gpu0") == 0.5
    assert page.value("tickserve_device_memory_bytes", device="gpu0") == 1024
    assert page.value("tickserve_streams", method="StreamTicks") == 2
    assert page.value("tickserve_observer_failures_total") == 1
    assert page.value("tickserve_spans_exported_total") == 2
    assert page.value("tickserve_spans_dropped_total") == 3
    assert page.value("tickserve_decision_log_records_total", result="written") == 4
    assert page.value("tickserve_decision_log_records_total", result="dropped") == 5
    assert page.value("tickserve_event_loop_delay_seconds_bucket", le="0.0001") == 0
    assert page.value("tickserve_event_loop_delay_seconds_bucket", le="0.00025") == 1
