"""Figures, ratios and goals from the raw results of all rounds. Pure."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.figures import Spread, ratio, spread
from benchmarks.load.summary import cost_table
from benchmarks.peers import catalogue
from tickserve.bench.percentile import histogram, percentiles


def summarise(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the document that is written: figures per server, ratios to stock, goals, and what calibrates a model.

    Args:
        raw: What `experiment.measure` returned.
    """
    duration = raw["settings"]["duration"]
    targets = {
        name: _target(title, [each[name] for each in raw["rounds"]], duration) for name, title in raw["titles"].items()
    }
    document: dict[str, Any] = {"settings": raw["settings"], "targets": targets}
    stock = targets.get(catalogue.STOCK)
    document["ratios"] = {
        name: _ratios(figures, stock) for name, figures in targets.items() if stock and figures is not stock
    }
    shipped = targets.get(catalogue.AS_SHIPPED)
    if shipped:
        document["calibration"] = _calibration(shipped)
    if shipped and stock:
        document["goals"] = _goals(shipped, stock, document["ratios"][catalogue.AS_SHIPPED])
    return document


def _target(title: str, rounds: Sequence[Mapping[str, Any]], duration: float) -> dict[str, Any]:
    probes = [each["with_probes"]["traffic"]["probe"] for each in rounds]
    beside = [each["with_probes"]["traffic"]["background"] for each in rounds]
    alone = [each["alone"]["traffic"]["background"] for each in rounds]
    beside_all = [each["with_probes"]["traffic"] for each in rounds]
    sent = sum(each["sent"] for each in probes)
    latencies = _pooled(probes, "latencies_ms")
    answered, all_sent = percentiles(latencies), percentiles(latencies, total=sent)
    background = [each["answered_per_second"] for each in beside]
    without = [each["answered_per_second"] for each in alone]
    batches = _pooled(beside, "batches") + _pooled(alone, "batches")
    phases = [each[phase] for each in rounds for phase in ("alone", "with_probes")]
    return {
        "title": title,
        "probe_sent": sent,
        "probe_goodput": sum(each["in_time"] for each in probes) / sent,
        "probe_goodput_rounds": spread(each["goodput"] for each in probes),
        "probe_p50_ms": answered["p50"],
        "probe_p99_ms": answered["p99"],
        "probe_max_ms": answered["max"],
        "probe_latency_ms": answered,
        "probe_sent_latency_ms": all_sent,
        "probe_outcomes": _counted(each["outcomes"] for each in probes),
        "probe_reasons": _counted(each["reasons"] for each in probes),
        "probe_send_lag_ms": spread(each["send_lag_ms"]["p99"] for each in probes),
        "probe_transport_ms": spread(each["transport_ms"]["p50"] for each in probes),
        "probe_histogram_ms": histogram(latencies),
        "background_per_second": statistics.median(background),
        "background_per_second_rounds": spread(background),
        "background_alone_per_second": statistics.median(without),
        "background_alone_per_second_rounds": spread(without),
        "background_share": spread(map(ratio, background, without)),
        # Of the window's length; what is missing to one is time between batches.
        "engine_busy": spread(_busy((each["background"], each["probe"]), duration) for each in beside_all),
        "engine_busy_alone": spread(_busy((each,), duration) for each in alone),
        "background_outcomes": _counted(each["outcomes"] for each in beside),
        "background_alone_outcomes": _counted(each["outcomes"] for each in alone),
        "background_reasons": _counted(each["reasons"] for each in beside),
        "background_latency_ms": percentiles(_pooled(beside, "latencies_ms")),
        "background_histogram_ms": histogram(_pooled(beside, "latencies_ms")),
        "background_alone_histogram_ms": histogram(_pooled(alone, "latencies_ms")),
        "costs": cost_table([(size, milliseconds) for size, milliseconds in batches]),
        "batch_sizes": dict(sorted(Counter(size for size, _ in batches).items())),
        "server_cpu": _counted(each["server_cpu"] for each in phases),
        "client_cpu": sum(each["client_cpu"] for each in phases),
        "foreign_cpu": sum(each["foreign_cpu"] for each in phases),
        "stolen_cpu": sum(each["stolen_cpu"] for each in phases),
        "probe_niceness": rounds[0]["with_probes"]["niceness"][-1],
        "rounds": [
            {
                "background_per_second": background[index],
                "background_alone_per_second": without[index],
                "probe_goodput": probes[index]["goodput"],
                "probe_p50_ms": probes[index]["latency_ms"]["p50"],
                "probe_p99_ms": probes[index]["latency_ms"]["p99"],
                "probe_per_second": probes[index]["per_second"],
                "foreign_cpu": each["with_probes"]["foreign_cpu"],
            }
            for index, each in enumerate(rounds)
        ],
    }


def _busy(results: Sequence[Mapping[str, Any]], duration: float) -> float:
    """Returns the share of a window during which the engine computed batches of which any member was answered in it."""
    batches: set[tuple[int, float]] = {(size, cost) for each in results for size, cost in each["batches"]}
    return sum(cost for _, cost in batches) / 1e3 / duration


def _ratios(figures: Mapping[str, Any], stock: Mapping[str, Any]) -> dict[str, Spread]:
    """Returns the ratios to stock of the same round: what drifts over a run drifts for both."""
    pairs = list(zip(figures["rounds"], stock["rounds"], strict=True))
    return {
        "background_per_second": spread(
            ratio(own["background_per_second"], its["background_per_second"]) for own, its in pairs
        ),
        "background_alone_per_second": spread(
            ratio(own["background_alone_per_second"], its["background_alone_per_second"]) for own, its in pairs
        ),
        "stock_probe_p50_over_own": spread(ratio(its["probe_p50_ms"], own["probe_p50_ms"]) for own, its in pairs),
        "stock_probe_p99_over_own": spread(ratio(its["probe_p99_ms"], own["probe_p99_ms"]) for own, its in pairs),
    }


def _goals(shipped: Mapping[str, Any], stock: Mapping[str, Any], ratios: Mapping[str, Spread]) -> list[dict[str, Any]]:
    p99, stock_p99 = shipped["probe_sent_latency_ms"]["p99"], stock["probe_latency_ms"]["p99"]
    speed_up = ratio(stock_p99, p99)
    share = shipped["background_share"]["median"]
    gain = ratios["background_per_second"]["median"]
    return [
        _goal("sent probes answered in time", ">= 99 %", shipped["probe_goodput"], 0.99, "percent"),
        # Over all sent probes: one that was refused, expired or left unanswered is slower than any that was answered.
        _goal("stock's probe p99 over ours, all sent probes", ">= 20", speed_up, 20.0, "times"),
        _goal("background beside probes, share of our own without", ">= 85 %", share, 0.85, "percent"),
        _goal("background beside probes over stock's", ">= 2", gain, 2.0, "times"),
    ]


def _goal(name: str, wanted: str, value: float | None, least: float, unit: str) -> dict[str, Any]:
    return {"name": name, "wanted": wanted, "value": value, "unit": unit, "met": value is not None and value >= least}


def _calibration(shipped: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what `python -m benchmarks.scheduling --live` reads."""
    keys = ("background_per_second", "probe_p50_ms", "probe_p99_ms", "probe_goodput", "costs")
    return {key: shipped[key] for key in keys} | {"transport_ms": shipped["probe_transport_ms"]["median"]}


def _pooled(results: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    return [value for result in results for value in result[key]]


def _counted(tables: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for table in tables:
        for key, value in table.items():
            total[key] = total.get(key, 0) + value
    return total
