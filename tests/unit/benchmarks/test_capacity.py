"""What the capacity benchmark makes of raw results: figures, budgets, the file, the comparison with the plan."""

import json
import tomllib
from functools import cache
from typing import Any

import pytest

from batching import PriorityClass, SchedulerConfig
from benchmarks.capacity import budget_file, live, redis_costs, report, wire
from benchmarks.capacity.figures import new_budgets, summarise
from benchmarks.capacity.length import FULL, QUICK
from benchmarks.capacity.prediction import TOLERANCE, compare, predict, table_of
from benchmarks.load import summary as load_summary
from benchmarks.load.sample import Sample
from planning.budgets import ASSUMED, FILE, budgets_of, read_budgets
from planning.cost_table import CostTable
from planning.demand import Demand
from planning.trial import Trial, run_trial
from tickserve.bench.outcome import Outcome

MIX = {"real_time": 0.2, "standard": 0.5, "background": 0.3}
SLO = {"real_time": 0.1, "standard": 0.5, "background": 5.0}
TABLE = CostTable(
    source="test",
    seconds_by_batch_size={1: 0.004, 64: 0.05},
    jitter=0.05,
    stall_probability=0.0,
    transport_seconds=0.003,
)
# Simulated: few, for the laws are the same.
REQUESTS = 3000


def serving(scale: float, *, loop: float | None = 0.6) -> dict[str, Any]:
    """Returns the raw figures of 1,000 answers; `scale` is what an answer costs beside one replica's."""
    return {
        "answered": 1000,
        "per_second": 500.0 / scale,
        "p50_ms": 3.0,
        "p99_ms": 9.0,
        "outcomes": {"in_time": 1000},
        "server_cpu": {"replica": 1.0 * scale, "haproxy": 0.15 * scale, "controller": 0.1},
        "client_cpu": 0.4,
        "foreign_cpu": 0.01,
        "loop_seconds": loop,
        "bytes_sent": 12_500_000,
        "bytes_received": 700_000,
        "seconds": 2.0,
    }


def raw() -> dict[str, Any]:
    """Returns raw results as the experiment has them; the live run is the simulator's own."""
    idle = {"server_cpu": {"controller": 0.1, "haproxy": 0.01}, "seconds": 5.0}
    more = {"server_cpu": {"controller": 0.2, "haproxy": 0.01}, "seconds": 5.0}
    one = {"unary": serving(1.0), "ticks": serving(0.5, loop=0.3), "idle": idle}
    two = {"unary": serving(1.1), "ticks": serving(0.5, loop=0.3), "idle": more}
    used = {
        "total_commands_processed": 300.0,
        "total_net_input_bytes": 90_000.0,
        "total_net_output_bytes": 10_000.0,
        "used_cpu_user": 0.003,
        "used_cpu_sys": 0.002,
        "calls.evalsha": 90.0,
        "calls.ping": 5.0,
    }
    run = live_run()
    closed = {"answered_per_second": 200.0, "answered": 400, **batches(), "latency_ms": {}, "outcomes": {}}
    return {
        "settings": {"rounds": 2},
        "elapsed": 100.0,
        "small": [{"1": one, "2": two}, {"1": one, "2": two}],
        "redis": {name: {"ticks": 100, "per_second": 50.0, "used": used} for name in redis_costs.RATES},
        "costs": {"1": closed},
        "live": {
            "rate": 120.0,
            "closed_per_second": 300.0,
            "mix": MIX,
            "slo": SLO,
            "calibration": run,
            "runs": [run],
        },
    }


def batches() -> dict[str, Any]:
    """Returns batches that cost what the table says, and a way of 3 ms without noise."""
    sizes = (1, 2, 4, 8, 16, 32, 64)
    return {
        "batches": [(size, 1e3 * TABLE.duration(size) + n * 1e-6) for size in sizes for n in range(10)],
        "transport_ms": {"p50": 2.5, "p90": 2.5},
        "send_lag_ms": {"p50": 0.5, "p90": 0.5},
    }


@cache
def own_trial() -> Trial:
    """Returns what the simulator says of the traffic."""
    names = {priority: priority.name.lower() for priority in PriorityClass if priority.name.lower() in MIX}
    demand = Demand(
        rate=120.0,
        mix={priority: MIX[name] for priority, name in names.items()},
        slo={priority: SLO[name] for priority, name in names.items()},
    )
    return run_trial(demand, rate=60.0, table=TABLE, config=SchedulerConfig(), requests=REQUESTS, seed=3)


def live_run() -> dict[str, Any]:
    """Returns a run in which each class had what the simulator says it has."""
    classes = {
        entry.priority.name.lower(): {
            "sent": entry.sent,
            "answered": entry.sent,
            "in_time": round(20.0 * entry.good_per_second),
            "goodput": 1.0,
            "answered_per_second": entry.good_per_second,
            "latency_ms": {"p50": 1e3 * entry.p50, "p99": 1e3 * entry.p99},
            **batches(),
        }
        for entry in own_trial().classes
    }
    return {"classes": classes, "foreign_cpu": 0.1, "seconds": 10.0}


def test_costs_come_from_the_answers() -> None:
    """Batches by size, and what a client waits beside queue and engine: being sent late, and the way."""
    table = table_of(live_run()["classes"], source="here")
    for size in (1, 8, 64):
        assert table.duration(size) == pytest.approx(TABLE.duration(size), rel=1e-3)
    assert table.transport_seconds == pytest.approx(0.003)
    assert table.transport_jitter == 0.0
    uneven = {"x": {**live_run()["classes"]["standard"], "transport_ms": {"p50": 2.5, "p90": 5.5}}}
    assert table_of(uneven, source="here").transport_jitter == pytest.approx(0.541, abs=1e-3)  # ln 2 / 1.2816


def test_what_is_kept_of_a_run_is_enough_for_its_costs() -> None:
    """Answers as the generator notes them: a batch told by two of its members is one."""
    samples = [
        Sample(at, at + 0.001, at + 0.010, Outcome.IN_TIME, batch_size=2, inference=0.005, served=0.007)
        for at in (0.0, 0.0, 0.5)
    ]
    figures = load_summary.summarise(samples, start=0.0, duration=1.0, is_open=True)
    table = table_of({"standard": live.kept(figures)}, source="here")
    assert table.duration(2) == pytest.approx(0.005, rel=1e-3)
    assert table.transport_seconds == pytest.approx(0.003)  # 1 ms late, 9 ms till the answer, 7 of them served


def test_a_run_that_went_as_simulated_agrees() -> None:
    """Medians and throughput within the tolerance; a rate that is not the run's does not."""
    ran = raw()["live"]
    rows = {row["name"]: row for row in compare(ran, predict(ran, TABLE, requests=REQUESTS))}
    assert rows.keys() == {f"{name} {key}, ms" for name in MIX for key in ("p50", "p99")} | {"answers in time, /s"}
    assert all(rows[name]["agrees"] for name in rows if "p99" not in name)
    slow = CostTable(source="slow", seconds_by_batch_size={1: 0.012, 64: 0.2})
    off = {row["name"]: row for row in compare(ran, predict(ran, slow, requests=REQUESTS))}
    assert not off["standard p50, ms"]["agrees"]
    assert off["standard p50, ms"]["error"] > TOLERANCE


def test_a_class_that_was_never_answered_agrees_with_nothing() -> None:
    """There is no live figure to compare with."""
    ran = raw()["live"]
    ran["runs"][0]["classes"]["standard"]["latency_ms"] = {"p50": None, "p99": None}
    rows = {row["name"]: row for row in compare(ran, predict(ran, TABLE, requests=REQUESTS))}
    assert (rows["standard p50, ms"]["live"], rows["standard p50, ms"]["agrees"]) == (None, False)


def test_the_budgets_are_costs_of_one_answer() -> None:
    """Processor time and bytes over answers, of one replica; the controller by the slope to two; Redis while busy."""
    results = raw()
    assert new_budgets(results["small"], results["redis"]) == pytest.approx(
        {
            "loop_unary_seconds": 6e-4,
            "loop_tick_seconds": 3e-4,
            "haproxy_unary_seconds": 1.5e-4,
            "haproxy_tick_seconds": 7.5e-5,
            "unary_bytes": 13_200.0,
            "tick_bytes": 13_200.0,
            "controller_replica_seconds": 0.02,
            "redis_tick_commands": 3.0,
            "redis_tick_bytes": 1000.0,
            "redis_tick_seconds": 5e-5,
        }
    )


def test_what_was_not_measured_is_no_budget() -> None:
    """Without a profiler there is no figure of the loop, without a Redis none of it, and no slope below zero."""
    results = raw()
    for each in results["small"]:
        each["1"]["unary"]["loop_seconds"] = None
        each["1"]["idle"] = {"server_cpu": {"controller": 0.3}, "seconds": 5.0}
    found = new_budgets(results["small"], None)
    assert found.keys() == {
        "loop_tick_seconds",
        "haproxy_unary_seconds",
        "haproxy_tick_seconds",
        "unary_bytes",
        "tick_bytes",
    }


def test_the_file_takes_new_figures_and_stays_whole() -> None:
    """Values, origin, date and machine are new; what was not measured is as it was; doing it again changes nothing."""
    text = FILE.read_text(encoding="utf-8")
    values = {"redis_tick_seconds": 7.77e-5, "loop_unary_seconds": 5.5e-4}
    once = budget_file.updated(text, values, costs=TABLE.as_dict(), date="2027-01-02", machine="a machine")
    known, fresh = read_budgets(), budgets_of(tomllib.loads(once))
    for name, figure in fresh.figures.items():
        if name in values:
            assert (figure.value, figure.date, figure.machine) == (values[name], "2027-01-02", "a machine")
            assert figure.method != ASSUMED
            assert figure.title == known.figures[name].title
            assert figure.note == ""
        else:
            assert figure == known.figures[name]
    assert fresh.engine("openvino").table == TABLE
    assert fresh.engine("openvino").date == "2027-01-02"
    assert fresh.engine("torchscript") == known.engine("torchscript")
    again = budget_file.updated(once, values, costs=TABLE.as_dict(), date="2027-01-02", machine="a machine")
    assert again == once
    assert [line for line in once.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if line.startswith("#")
    ]
    kept = budget_file.updated(text, {}, costs=None, date="2027-01-02", machine="a machine")
    assert kept == text


def test_a_figure_that_the_file_lacks_is_told() -> None:
    """Silently dropping what was measured would leave the old figure in force."""
    with pytest.raises(ValueError, match=r"\[figures\.speed\] is not in the file"):
        budget_file.updated("", {"speed": 1.0}, costs=None, date="", machine="")


def test_the_document_and_the_report_are_whole() -> None:
    """JSON can hold the document, and the report names what it is about, with no figure missing."""
    document = summarise(raw(), requests=REQUESTS)
    document |= {"machine": {"processor": "x"}, "command": "python -m benchmarks.capacity"}
    json.dumps(document, allow_nan=False)
    assert document["scale"]["unary"]["server_seconds"]["median"] == pytest.approx(1.1)
    assert document["serving"]["1"]["unary"]["haproxy_per_core"]["median"] == pytest.approx(1000 / 0.15)
    text = report.write(document)
    for word in ("Two live replicas against the plan", "real_time p99, ms", "Redis", "2 replicas", "agrees"):
        assert word in text
    assert "nan" not in text
    assert "Disturbed" not in text
    assert "**Disturbed: other work took up to 41.0 %" in report.write(document | {"foreign_share": 0.41})
    without = report.write(document | {"redis": None})
    assert "No Redis is installed." in without


def test_bytes_are_summed_over_connections() -> None:
    """Both ways; a socket that has sent nothing yet has no figure."""
    text = (
        "ESTAB 0 0 127.0.0.1:1 127.0.0.1:9000\n\t cubic bytes_sent:100 bytes_acked:101 bytes_received:7 segs_out:3\n"
        "ESTAB 0 0 127.0.0.1:2 127.0.0.1:9000\n\t cubic bytes_sent:20 bytes_acked:21 bytes_received:5\n"
        "ESTAB 0 0 127.0.0.1:3 127.0.0.1:9000\n\t cubic rto:200\n"
    )
    assert wire.parse(text) == (120, 12)


def test_bytes_of_a_window_come_from_the_readings_in_it() -> None:
    """At their rate, whatever lies outside; from a closed connection on the counts are of no use."""
    readings = [(second, wire.Bytes(100.0 * second, 10.0 * second)) for second in (0.0, 1.5, 2.0, 3.5, 9.0)]
    assert wire.between(readings, 1.0, 5.0) == (400.0, 40.0)
    closed = [*readings[:4], (4.0, wire.Bytes(0.0, 0.0)), (4.5, wire.Bytes(50.0, 5.0))]
    assert wire.between(closed, 1.0, 5.0) == (400.0, 40.0)
    with pytest.raises(ValueError, match="fewer than two readings"):
        wire.between(readings, 3.0, 5.0)


def test_what_a_redis_says_is_read() -> None:
    """Counters and calls by command; figures that do not only grow are left out."""
    text = (
        "# Stats\r\ntotal_commands_processed:42\r\ntotal_net_input_bytes:1000\r\nused_memory:5\r\n"
        "# CPU\r\nused_cpu_sys:0.25\r\nused_cpu_sys_children:9\r\n"
        "# Commandstats\r\ncmdstat_evalsha:calls=7,usec=70,usec_per_call=10.00\r\ncmdstat_config|get:calls=1,usec=2\r\n"
    )
    assert redis_costs.parse(text) == {
        "total_commands_processed": 42.0,
        "total_net_input_bytes": 1000.0,
        "used_cpu_sys": 0.25,
        "calls.evalsha": 7.0,
        "calls.config|get": 1.0,
    }


def test_a_quick_run_is_the_shorter_one() -> None:
    """In every respect."""
    assert QUICK.rounds <= FULL.rounds
    assert QUICK.duration < FULL.duration
    assert QUICK.live * QUICK.live_runs < FULL.live * FULL.live_runs
