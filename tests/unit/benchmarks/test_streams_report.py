"""From raw results to the report of the tick streams: ratios within a round, goals that can fail, nothing left out."""

import json
from typing import Any

import pytest

from benchmarks.load.sample import Sample
from benchmarks.load.summary import summarise
from benchmarks.streams import figures, report
from benchmarks.streams.scenarios import ALL_SYMBOLS, CLOSED, UNARY_OPEN
from tickserve.bench.outcome import Outcome
from tickserve.bench.percentile import percentiles

TITLES = {shape.name: shape.title for shape in CLOSED} | {UNARY_OPEN: "unary"}
COUNTERPARTS = {shape.name: shape.unary for shape in CLOSED}
DURATION = 2.0
MEGABYTE = 2**20


def scenario(*, per_second: float, latency: float, **more: Any) -> dict[str, Any]:
    """Returns the figures of traffic that was answered so often and so fast, in batches of four that took 8 ms."""
    samples = [
        Sample(i / per_second, 0, i / per_second + latency, Outcome.IN_TIME, "", 4, 0.008 + 1e-9 * (i // 4), 0.01)
        for i in range(round(per_second * DURATION))
    ]
    counted: dict[str, Any] = {"server_cpu": {"replica": 1.0, "haproxy": 0.2, "controller": 9.0}, "replica_threads": []}
    counted |= {"client_cpu": 0.5, "foreign_cpu": 0.1}
    return summarise(samples, start=0, duration=DURATION, is_open=True) | counted | more


def one_round(speed: float, *, durable: bool = False) -> dict[str, Any]:
    """Returns a round on a machine that is so fast: streams answer twice as often as unary calls, in half the time."""
    lag = {"durable_lag_ms": percentiles([1.0, 3.0])} if durable else {}
    closed = {
        shape.name: scenario(per_second=200 * speed, latency=0.02 / speed, **lag)
        if shape.streams
        else scenario(per_second=100 * speed, latency=0.04 / speed)
        for shape in CLOSED
    }
    opened = {name: each for name, each in closed.items() if name.startswith(("streams", "symbols"))}
    return {"closed": closed, "open": opened | {UNARY_OPEN: closed["unary_64"]}, "rate": 100 * speed}


def overload(*, age: float, equal: int, wrong: int = 0) -> dict[str, Any]:
    """Returns an overload whose answers were `age` milliseconds old, and of whose 20 windows so many were exact."""
    ages = {key: percentiles([age] * 100) for key in ("from_due_ms", "from_receipt_ms", "behind_ms")}
    return scenario(
        per_second=100,
        latency=0.02,
        rate=300.0,
        capacity=100.0,
        valid_duration=0.0,
        ticks=900,
        conflated=600,
        ticks_per_second=290.0,
        strays={"gap": 2},
        ages=ages | {"newest_share": 0.9},
        exactness={"compared": 20, "equal": equal, "differences": ["SYM00001: server at 7, sent 8"][: 20 - equal]},
    ) | {"outcomes": {"in_time": 200} | ({"wrong": wrong} if wrong else {})}


def raw(**changes: Any) -> dict[str, Any]:
    """Returns the raw results of two rounds, the machine being half as fast in the second."""
    memory = {
        "before": {"replica": 500 * MEGABYTE, "haproxy": 10 * MEGABYTE},
        "with_symbols": {"replica": 548 * MEGABYTE, "haproxy": 10 * MEGABYTE},
        "with_streams": {"replica": 573 * MEGABYTE, "haproxy": 15 * MEGABYTE},
        "after_streams": {"replica": 553 * MEGABYTE, "haproxy": 15 * MEGABYTE},
        "symbols": 1024,
        "streams": 256,
        "bars": 200,
    }
    settings = {"rounds": 2, "duration": DURATION, "redis_rounds": 1, "overload_factor": 3.0, "overload_streams": 4}
    return {
        "rounds": [one_round(1.0), one_round(0.5)],
        "redis": {"rounds": [one_round(1.0, durable=True)]},
        "overload": {"default": overload(age=10.0, equal=20)},
        "memory": memory,
        "backfill": {"symbols": 1000, "bars": 200, "seconds": 8.0},
        "settings": settings,
    } | changes


def summarised(**changes: Any) -> dict[str, Any]:
    """Returns the document of `raw`."""
    return figures.summarise(raw(**changes), COUNTERPARTS)


def met(document: dict[str, Any]) -> dict[str, bool]:
    """Returns which goals are met."""
    return {goal["name"]: goal["met"] for goal in document["goals"]}


def test_ratios_are_taken_within_a_round() -> None:
    """A machine that slows down between rounds slows both sides and leaves the ratio where it was."""
    document = summarised()
    for loop in ("closed", "open"):
        over = document["memory_store"][loop]["streams_64"]["over_unary"]
        assert over["per_second"] == pytest.approx({"median": 2.0, "min": 2.0, "max": 2.0})
        assert over["p50"] == pytest.approx({"median": 0.5, "min": 0.5, "max": 0.5})
    assert "over_unary" not in document["memory_store"]["closed"]["unary_64"]
    assert "over_unary" not in document["memory_store"]["open"][UNARY_OPEN]


def test_memory_is_told_by_symbol_and_stream() -> None:
    """The replica's growth alone, each part by its own readings."""
    memory = summarised()["memory"]
    assert memory["bytes_per_symbol"] == 48 * 1024
    assert memory["bytes_per_stream"] == 100 * 1024
    assert memory["haproxy_bytes_per_stream"] == 20 * 1024
    assert memory["bytes_kept_per_closed_stream"] == 20 * 1024


def test_only_the_serving_processes_count_for_an_answer() -> None:
    """Ray's own machinery is there without traffic, too."""
    each = summarised()["memory_store"]["closed"]["streams_64"]
    assert each["server_ms_per_answer"]["min"] == pytest.approx(1200 / 400)


def test_every_goal_can_be_met_and_missed() -> None:
    """Each by the figure it is about; a limit itself does not meet it."""
    good = met(summarised())
    stream = "memory of an idle stream"
    assert not good.pop(stream)  # 100 KB is not under 100 KB
    assert all(good.values())
    bad = met(
        summarised(
            overload={"default": overload(age=17.0, equal=19)}, backfill={"symbols": 1000, "bars": 200, "seconds": 11.0}
        )
    )
    assert bad.pop("memory of a symbol")
    assert not any(bad.values())


def test_a_wrong_answer_is_no_exact_window() -> None:
    """Though all windows that were compared are equal."""
    document = summarised(overload={"default": overload(age=10.0, equal=20, wrong=1)})
    assert not met(document)["overload, default: windows or sequences that differ"]


def test_no_age_is_no_met_goal() -> None:
    """Where nothing was answered, nothing was fresh."""
    silent = overload(age=10.0, equal=20)
    silent["ages"]["from_receipt_ms"] = percentiles([])
    assert not met(summarised(overload={"default": silent}))[
        "overload, default: p99 age since the answered tick's receipt, batch times"
    ]


def test_the_report_tells_everything() -> None:
    """Scenarios, faults, differences and what was left out; and the document is JSON."""
    document = summarised(overload={"default": overload(age=10.0, equal=19)})
    document |= {"machine": {"date": "today"}, "command": "python -m benchmarks.streams"}
    assert json.loads(json.dumps(document)) == document
    text = report.write(document, TITLES, plot="streams.png")
    for words in (*(shape.title for shape in CLOSED), "gap 2", "SYM00001: server at 7, sent 8", "](streams.png)"):
        assert words in text
    assert "tick sent to `durable` received" in text
    without = report.write(document | {"redis_store": None}, TITLES, plot="")
    assert "Left out" in without
    assert "](streams.png)" not in without


def test_each_stream_has_a_unary_counterpart() -> None:
    """With as many in flight, in the same round."""
    by_name = {shape.name: shape for shape in CLOSED}
    for shape in CLOSED:
        counterpart = by_name[shape.unary]
        assert (counterpart.streams, counterpart.in_flight) == (0, shape.in_flight)
    assert ALL_SYMBOLS.in_flight == 1000
