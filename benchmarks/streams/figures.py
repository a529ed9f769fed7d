"""Figures, ratios and goals from the raw results of all phases. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from benchmarks.figures import ratio, spread
from benchmarks.streams.scenarios import UNARY_OPEN
from tickserve.bench.percentile import percentile

KILOBYTE = 1024
SYMBOL_GOAL = 64 * KILOBYTE
STREAM_GOAL = 100 * KILOBYTE
BACKFILL_GOAL = 10.0
BATCH_TIMES_GOAL = 2.0
_SERVING = ("replica", "haproxy", "proxy")

Round = Mapping[str, Any]


def summarise(raw: Mapping[str, Any], counterparts: Mapping[str, str]) -> dict[str, Any]:
    """Returns the document that is written.

    Args:
        raw: What `experiment.measure` returned.
        counterparts: By name of a closed-loop shape: its unary one.
    """
    document = part(raw, counterparts)
    return document | {"goals": _goals(document)}


def part(raw: Mapping[str, Any], counterparts: Mapping[str, str]) -> dict[str, Any]:
    """Returns the figures of what was measured, without goals; see `summarise`."""
    redis = raw["redis"]
    document: dict[str, Any] = {
        "settings": raw["settings"],
        "redis_store": None if redis is None else _compare(redis["rounds"], counterparts),
    }
    if "rounds" in raw:
        document["memory_store"] = _compare(raw["rounds"], counterparts)
    if "overload" in raw:
        document["overload"] = {name: _overload(each) for name, each in raw["overload"].items()}
    if "memory" in raw:
        document |= {"memory": _memory(raw["memory"]), "backfill": raw["backfill"]}
    return document


def _compare(rounds: Sequence[Round], counterparts: Mapping[str, str]) -> dict[str, Any]:
    """Returns the figures of each scenario in closed and open loop, with the ratios taken within each round."""
    compared: dict[str, Any] = {"rate": spread(each["rate"] for each in rounds)}
    for loop in ("closed", "open"):
        compared[loop] = {}
        for name in rounds[0][loop]:
            unary = UNARY_OPEN if loop == "open" else counterparts[name]
            compared[loop][name] = _scenario([each[loop] for each in rounds], name, unary)
    return compared


def _scenario(rounds: Sequence[Round], name: str, unary: str) -> dict[str, Any]:
    each_round = [each[name] for each in rounds]

    def over_unary(value: Callable[[Mapping[str, Any]], float | None]) -> dict[str, float | None]:
        return spread(ratio(value(each[name]), value(each[unary])) for each in rounds)

    scenario: dict[str, Any] = {
        "per_second": spread(each["answered_per_second"] for each in each_round),
        "latency_ms": {key: spread(each["latency_ms"][key] for each in each_round) for key in ("p50", "p99", "max")},
        "batch_size": spread(_mean_batch(each["batches"]) for each in each_round),
        "server_ms_per_answer": spread(_server_ms(each) for each in each_round),
        "client_cpu": spread(each["client_cpu"] for each in each_round),
        "foreign_cpu": spread(each["foreign_cpu"] for each in each_round),
        "server_cpu": [each["server_cpu"] for each in each_round],
        "replica_threads": [each["replica_threads"] for each in each_round],
        "outcomes": _sum(each["outcomes"] for each in each_round),
        "reasons": _sum(each["reasons"] for each in each_round),
        "strays": _sum(each.get("strays", {}) for each in each_round),
        "histogram_ms": _merge(each["histogram_ms"] for each in each_round),
    }
    if name != unary:
        scenario["over_unary"] = {
            "per_second": over_unary(lambda each: each["answered_per_second"]),
            "p50": over_unary(lambda each: each["latency_ms"]["p50"]),
            "p99": over_unary(lambda each: each["latency_ms"]["p99"]),
        }
    lags = [each["durable_lag_ms"] for each in each_round if each.get("durable_lag_ms")]
    if any(lag["p50"] is not None for lag in lags):
        scenario["durable_lag_ms"] = {key: spread(lag[key] for lag in lags) for key in ("p50", "p99", "max")}
    return scenario


def _overload(raw: Mapping[str, Any]) -> dict[str, Any]:
    batches = sorted(duration for _, duration in raw["batches"])
    batch_ms = percentile(batches, 0.5)
    ages = raw["ages"]
    kept = ("rate", "capacity", "valid_duration", "answered", "answered_per_second", "ticks", "conflated", "outcomes")
    return {
        **{key: raw[key] for key in (*kept, "reasons", "strays", "exactness", "ages", "server_cpu", "client_cpu")},
        "foreign_cpu": raw["foreign_cpu"],
        "ticks_per_second": raw["ticks_per_second"],
        "send_lag_ms": raw["send_lag_ms"],
        "replica_threads": raw["replica_threads"],
        "batch_ms": batch_ms,
        "batch_p99_ms": percentile(batches, 0.99),
        "batch_size": _mean_batch(raw["batches"]),
        # In batch times, at the 99th percentile: since the receipt of the answered tick by the server's clock; since
        # it was due at the client; since a newer one of its symbol was due.
        "batch_times": {
            key: ratio(ages[key]["p99"], batch_ms) for key in ("from_receipt_ms", "from_due_ms", "behind_ms")
        },
    }


def _memory(raw: Mapping[str, Any]) -> dict[str, Any]:
    def growth(earlier: str, later: str, role: str, count: int) -> float:
        return float(raw[later].get(role, 0) - raw[earlier].get(role, 0)) / count

    symbols, streams = raw["symbols"], raw["streams"]
    return {
        "symbols": symbols,
        "streams": streams,
        "bars": raw["bars"],
        "bytes_per_symbol": growth("before", "with_symbols", "replica", symbols),
        "bytes_per_stream": growth("with_symbols", "with_streams", "replica", streams),
        "haproxy_bytes_per_stream": growth("with_symbols", "with_streams", "haproxy", streams),
        "bytes_kept_per_closed_stream": growth("with_symbols", "after_streams", "replica", streams),
        "replica_bytes": {
            key: raw[key]["replica"] for key in ("before", "with_symbols", "with_streams", "after_streams")
        },
    }


def _goals(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    memory, fill = document["memory"], document["backfill"]
    goals = [
        _goal("memory of a symbol", "< 64 KB", memory["bytes_per_symbol"], SYMBOL_GOAL, "bytes"),
        _goal("memory of an idle stream", "< 100 KB", memory["bytes_per_stream"], STREAM_GOAL, "bytes"),
        _goal(f"backfill of {fill['symbols']:,} symbols", "< 10 s", fill["seconds"], BACKFILL_GOAL, "s"),
    ]
    for name, each in document["overload"].items():
        for key, words in (
            ("from_receipt_ms", "since the answered tick's receipt"),
            ("behind_ms", "since a newer tick"),
        ):
            title = f"overload, {name}: p99 age {words}, batch times"
            goals.append(_goal(title, "< 2", each["batch_times"][key], BATCH_TIMES_GOAL, ""))
        exact = each["exactness"]
        wrong = exact["compared"] - exact["equal"] + each["outcomes"].get("wrong", 0)
        goals.append(_goal(f"overload, {name}: windows or sequences that differ", "0", float(wrong), 0.5, ""))
    return goals


def _goal(name: str, wanted: str, value: float | None, below: float, unit: str) -> dict[str, Any]:
    return {"name": name, "wanted": wanted, "value": value, "unit": unit, "met": value is not None and value < below}


def _mean_batch(batches: Sequence[Sequence[float]]) -> float | None:
    return ratio(float(sum(size for size, _ in batches)), len(batches))


def _server_ms(figures: Mapping[str, Any]) -> float | None:
    """Returns the processor milliseconds that replica and proxy spent for each answer."""
    return ratio(1e3 * sum(figures["server_cpu"].get(role, 0.0) for role in _SERVING), figures["answered"])


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _merge(histograms: Iterable[Sequence[Sequence[float]]]) -> list[list[float]]:
    total: Counter[float] = Counter()
    for histogram in histograms:
        for bound, count in histogram:
            total[bound] += int(count)
    return [[bound, total[bound]] for bound in sorted(total)]
