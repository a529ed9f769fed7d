"""The Markdown report of the overload comparison. Pure: figures in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.markdown import number, percent, spread, table

_LEAST_BATCHES = 5
# A share of the machine that others may use before figures are not to be relied on.
_QUIET = 0.05


def write(document: Mapping[str, Any], *, plot: str) -> str:
    """Returns the report.

    Args:
        document: What `figures.summarise` returned, with `machine` and `command` added.
        plot: File name of the plots beside the report; empty: there are none.
    """
    return "\n".join(_lines(document, plot)) + "\n"


def _lines(document: Mapping[str, Any], plot: str) -> Iterator[str]:
    settings, targets = document["settings"], document["targets"]
    yield "# Urgent calls beside saturating background work"
    yield ""
    yield (
        f"{settings['callers']} closed-loop background callers, and {settings['probe_rate']:g} real-time probes a "
        f"second (open loop) with a deadline of {1e3 * settings['deadline']:g} ms. {settings['rounds']} interleaved "
        f"rounds of {len(targets)} servers in one run, {settings['duration']:g} s each with and without probes, "
        f"{settings['threads']} engine threads, every window distinct, every answer checked. The servers share the "
        "machine with the load generators. Latency counts from the instant at which a request was due."
    )
    yield ""
    yield f"Made by `{document['command']}`; the figures are in `results.json`."
    yield ""
    yield _disturbance(document)
    yield ""
    yield from _goals(document)
    yield from _probes(targets, document.get("ratios", {}))
    yield from _background(targets, document.get("ratios", {}))
    if plot:
        yield f"![probe and background latency, throughput, outcomes, batch costs]({plot})"
        yield ""
    yield from _outcomes(targets)
    yield from _rounds(targets)
    yield from _costs(targets)
    yield from _machine(document, targets)


def _disturbance(document: Mapping[str, Any]) -> str:
    """Returns how much of the machine others used meanwhile, and a warning where that was much."""
    settings, targets = document["settings"], document["targets"]
    capacity = settings["rounds"] * 2 * settings["duration"] * settings["cores"]
    shares = {figures["title"]: figures["foreign_cpu"] / capacity for figures in targets.values()}
    told = ", ".join(f"{percent(share)} while {title} was measured" for title, share in shares.items())
    if max(shares.values()) > _QUIET:
        return f"**Disturbed: other work on the machine took {told}. Measure again on a quiet machine.**"
    return f"Other work on the machine took {told}."


def _goals(document: Mapping[str, Any]) -> Iterator[str]:
    if "goals" not in document:
        return
    yield "## Goals, tickserve as shipped"
    yield ""
    rows = []
    for goal in document["goals"]:
        value = percent(goal["value"]) if goal["unit"] == "percent" else number(goal["value"])
        if goal["value"] is None:
            value = "none: more than 1 % of the probes missed"
        rows.append([goal["name"], goal["wanted"], value, "met" if goal["met"] else "**not met**"])
    yield table(["", "goal", "measured", ""], rows)
    yield ""


def _probes(targets: Mapping[str, Any], ratios: Mapping[str, Any]) -> Iterator[str]:
    yield "## Real-time probes"
    yield ""
    yield table(
        ["", "sent", "in time", "by round", "p50", "p99", "max", "p99 of all sent", "stock's p99 over its own"],
        [
            [
                figures["title"],
                str(figures["probe_sent"]),
                percent(figures["probe_goodput"]),
                " to ".join(percent(figures["probe_goodput_rounds"][end]) for end in ("min", "max")),
                number(figures["probe_p50_ms"], unit="ms"),
                number(figures["probe_p99_ms"], unit="ms"),
                number(figures["probe_max_ms"], unit="ms"),
                number(figures["probe_sent_latency_ms"]["p99"], unit="ms"),
                spread(ratios[name]["stock_probe_p99_over_own"]) if name in ratios else "1",
            ]
            for name, figures in targets.items()
        ],
    )
    yield ""
    yield (
        "p50, p99 and max are of the answered probes, late ones included. *Of all sent* counts a probe that was "
        "refused, expired or left unanswered as slower than any that was answered; a dash: more than 1 % were. "
        "Ratios: median (least to greatest) over rounds."
    )
    yield ""


def _background(targets: Mapping[str, Any], ratios: Mapping[str, Any]) -> Iterator[str]:
    yield "## Background work"
    yield ""
    yield table(
        [
            "",
            "beside probes, /s",
            "alone, /s",
            "share kept",
            "p50 beside probes",
            "p99",
            "over stock's, beside probes",
            "alone",
            "engine busy beside probes",
        ],
        [
            [
                figures["title"],
                spread(figures["background_per_second_rounds"]),
                spread(figures["background_alone_per_second_rounds"]),
                percent(figures["background_share"]["median"]),
                number(figures["background_latency_ms"]["p50"], unit="ms"),
                number(figures["background_latency_ms"]["p99"], unit="ms"),
                spread(ratios[name]["background_per_second"]) if name in ratios else "1",
                spread(ratios[name]["background_alone_per_second"]) if name in ratios else "1",
                percent(figures["engine_busy"]["median"]),
            ]
            for name, figures in targets.items()
        ],
    )
    yield ""


def _outcomes(targets: Mapping[str, Any]) -> Iterator[str]:
    yield "## What became of them"
    yield ""
    rows = []
    for figures in targets.values():
        for label, key in (("probes", "probe"), ("background", "background")):
            counts = {**figures[f"{key}_outcomes"], **figures[f"{key}_reasons"]}
            told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda item: -item[1]))
            rows.append([figures["title"], label, told])
    yield table(["", "", "outcomes; with a slash: of these, for this reason"], rows)
    yield ""


def _rounds(targets: Mapping[str, Any]) -> Iterator[str]:
    yield "## Rounds"
    yield ""
    rows = [
        [
            f"{index + 1}, {figures['title']}",
            percent(each["probe_goodput"]),
            number(each["probe_p99_ms"], unit="ms"),
            number(each["background_per_second"]),
            number(each["background_alone_per_second"]),
            number(each["foreign_cpu"], unit="s"),
        ]
        for index in range(len(next(iter(targets.values()))["rounds"]))
        for figures in targets.values()
        for each in [figures["rounds"][index]]
    ]
    yield table(
        ["round", "probes in time", "p99 of the answered", "background, /s", "alone, /s", "processor time of others"],
        rows,
    )
    yield ""


def _costs(targets: Mapping[str, Any]) -> Iterator[str]:
    yield "## Engine time per batch size"
    yield ""
    yield (
        "Median (p90) in ms under this load, as the answers tell, of the batch sizes seen at least "
        f"{_LEAST_BATCHES} times."
    )
    yield ""
    sizes = sorted(
        {
            int(size)
            for figures in targets.values()
            for size, cost in figures["costs"].items()
            if cost["count"] >= _LEAST_BATCHES
        }
    )
    # Enough to read the curve; all sizes are in the JSON.
    shown = [size for size in sizes if size in (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 56, 63, 64)]
    rows = []
    for size in shown:
        cells = []
        for figures in targets.values():
            cost = figures["costs"].get(str(size))
            seen = cost is not None and cost["count"] >= _LEAST_BATCHES
            cells.append(f"{number(cost['p50_ms'])} ({number(cost['p90_ms'])})" if seen else "-")
        rows.append([str(size), *cells])
    yield table(["batch size", *[figures["title"] for figures in targets.values()]], rows)
    yield ""


def _machine(document: Mapping[str, Any], targets: Mapping[str, Any]) -> Iterator[str]:
    yield "## Machine and processor time"
    yield ""
    yield table(["", ""], [[name, value] for name, value in document["machine"].items()])
    yield ""
    measured = document["settings"]["rounds"] * 2 * document["settings"]["duration"]
    roles = sorted({role for figures in targets.values() for role in figures["server_cpu"]})
    yield f"Processor seconds within the {measured:g} s measured of each server:"
    yield ""
    rows = [[role, *[number(figures["server_cpu"].get(role, 0.0)) for figures in targets.values()]] for role in roles]
    rows.append(["load generators", *[number(figures["client_cpu"]) for figures in targets.values()]])
    rows.append(["everything else on the machine", *[number(figures["foreign_cpu"]) for figures in targets.values()]])
    rows.append(["kept back by the host", *[number(figures["stolen_cpu"]) for figures in targets.values()]])
    yield table(["", *[figures["title"] for figures in targets.values()]], rows)
    yield ""
    lag = ", ".join(
        f"{figures['title']} {number(figures['probe_send_lag_ms']['max'], unit='ms')}" for figures in targets.values()
    )
    yield (
        "Ray runs replicas, proxies and HAProxy at niceness 15, stock's and ours alike: on a machine with other work "
        "they come last. "
        f"The probes' generator ran at niceness {next(iter(targets.values()))['probe_niceness']}: a caller with a "
        "deadline has a machine of its own, and must not wait here for the server to leave a core. Its own lag behind "
        f"the schedule (p99 of the worst round) is part of every latency: {lag}."
    )
