"""The Markdown report: where a call's time goes. Pure: figures in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.markdown import number, percent, spread, table
from benchmarks.stages.spots import ENGINE_STAGES, LOOP_STAGES, WAITS

# A share of the machine that others may use before figures are not to be relied on.
_QUIET = 0.05

_MEANINGS = {
    "seam": "deadline, routing key and trace from the call's context; once for a stream",
    "parse": "bytes to message",
    "validate": "priority, times, shape, finite values; the window as a view of the message's bytes",
    "find model": "route and loaded version",
    "hash": "SHA-256 of the window",
    "result cache": "looked for before, kept after",
    "admit and submit": "admission, and a place in the queue",
    "choose": "a batch is bound",
    "hand over": "the batch goes to the engine's thread",
    "complete": "outcomes to whoever waits; the cost model learns",
    "range check": "window against the training range",
    "encode": "answer to message",
    "serialise": "message to bytes",
    "gather": "windows into the batch's buffer",
    "inference": "the engine",
    "scatter": "rows checked and parted",
    "queue": "waiting for the engine",
    "engine wakes": "from the hand-over until the engine's thread runs",
    "loop wakes": "from the last row until the event loop knows",
}


def write(document: Mapping[str, Any]) -> str:
    """Returns the report of what `figures.summarise` returned, with `machine`, `command` and `titles` added."""
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield "# Where a call's time goes"
    yield ""
    yield f"Made by `{document['command']}`; the figures are in `results.json`."
    yield ""
    yield from _disturbance(document)
    yield "## Goals"
    yield ""
    rows = [
        [goal["name"], goal["wanted"], number(goal["value"], unit="ms"), "met" if goal["met"] else "**not met**"]
        for goal in document["goals"]
    ]
    yield table(["", "goal", "measured", ""], rows)
    yield ""
    yield from _served(document)
    yield from _profiles(document)
    yield from _stages(document)
    yield from _features(document)
    yield "## Machine"
    yield ""
    yield table(["", ""], [[name, value] for name, value in document["machine"].items()])


def _disturbance(document: Mapping[str, Any]) -> Iterator[str]:
    if not document["served"]:
        return
    share = max(figures["foreign_share"] for figures in document["served"].values())
    if share > _QUIET:
        yield f"**Disturbed: other work took {percent(share)} of the machine. Measure again on a quiet machine.**"
    else:
        yield f"Other work took {percent(share)} of the machine."
    yield ""


def _served(document: Mapping[str, Any]) -> Iterator[str]:
    settings = document["settings"]["live"]
    yield "## A served call"
    yield ""
    if document["missing"]:
        yield f"Not measured: {document['missing']}."
        yield ""
        return
    yield (
        f"`tickserve serve` as shipped, 16 unary calls in flight and 16 StreamPredict streams with one item each, "
        f"{settings['rounds']} rounds of {settings['duration']:g} s that take turns; processor time of the "
        "replica's threads over the answers of the same seconds. Every call bypasses the result cache. Median "
        "(least to greatest)."
    )
    yield ""
    rows = [
        [_KINDS[name], *(spread(figures[key], unit="ms") for key in ("loop_ms", "engine_ms", "replica_ms", "p50_ms"))]
        for name, figures in document["served"].items()
    ]
    yield table(["for one answer", "event loop", "engine's thread", "whole replica", "p50, wall"], rows)
    yield ""


_KINDS = {"unary": "unary call", "item": "streamed item"}


def _profiles(document: Mapping[str, Any]) -> Iterator[str]:
    if not document["profiles"]:
        return
    yield "## Profile of the event loop"
    yield ""
    yield (
        "Samples of the loop's thread under the same load (py-spy), by the part that the innermost frame of ours or of "
        "Ray Serve's belongs to: libraries are charged to whoever calls them. What has no Python frame above the loop "
        "is uvloop with its system calls, and gRPC's compiled part."
    )
    yield ""
    profiles = document["profiles"]
    totals = {name: sum(counts.values()) for name, counts in profiles.items()}
    parts = sorted(
        {part for counts in profiles.values() for part in counts},
        key=lambda part: -sum(counts.get(part, 0) / max(1, totals[name]) for name, counts in profiles.items()),
    )
    rows = [
        [part, *(percent(counts.get(part, 0) / max(1, totals[name])) for name, counts in profiles.items())]
        for part in parts
    ]
    rows.append(["samples", *(str(total) for total in totals.values())])
    yield table(["part", *(_KINDS[name] for name in profiles)], rows)
    yield ""


def _stages(document: Mapping[str, Any]) -> Iterator[str]:
    settings = document["settings"]["inside"]
    scenarios, titles = document["scenarios"], document["titles"]
    yield "## Stages, inside the process"
    yield ""
    yield (
        f"A replica without transport, its real engine ({document['engine']}) on one thread, distinct windows, the "
        f"result cache on; {settings['rounds']} rounds over all columns. Microseconds of processor time / wall time "
        "for one call, the median of rounds; of a batch's work a call bears its share. What lies beside the stages "
        "(coroutines, tasks, futures, the loop) is the loop's whole time, measured without timers, less its stages."
    )
    yield ""
    header = ["stage", *titles.values()]

    def row(stage: str) -> list[str]:
        cells = (scenarios[name]["stages"][stage] for name in titles)
        if stage in WAITS:
            return [stage, *(f"- / {number(each['wall_us'])}" for each in cells)]
        return [stage, *(f"{number(each['cpu_us'])} / {number(each['wall_us'])}" for each in cells)]

    rows = [row(stage) for stage in LOOP_STAGES]
    rows.append(["beside the stages", *(f"{number(scenarios[name]['beside_us'])} / -" for name in titles)])
    rows.append(["**event loop, whole**", *(f"{spread(scenarios[name]['loop_cpu_us'])} / -" for name in titles)])
    rows += [row(stage) for stage in ENGINE_STAGES]
    rows += [row(stage) for stage in WAITS]
    rows.append(["**wall time, whole**", *(f"- / {number(scenarios[name]['wall_us'])}" for name in titles)])
    yield table(header, rows)
    yield ""
    yield (
        "Waits are those of one call (queue) or one batch (the others), not shared. At a batch of one everything runs "
        "from cold caches: between two calls the engine has used them."
    )
    yield ""
    yield from (f"- {stage}: {meaning}" for stage, meaning in _MEANINGS.items())
    yield ""


def _features(document: Mapping[str, Any]) -> Iterator[str]:
    yield "## `return_features`"
    yield ""
    yield (
        "Unary calls with the 256 features in the answer and without, each caller taking turns, on one connection of "
        "one client; the original requirement is feature extraction in less than 100 ms."
    )
    yield ""
    rows = []
    for in_flight, kinds in document["features"].items():
        with_it, without = kinds["with"], kinds["without"]
        rows.append(
            [
                f"{in_flight} in flight",
                *(f"{number(each['p50_ms'])} / {number(each['p99_ms'])}" for each in (with_it, without)),
                number(with_it["p50_ms"] / without["p50_ms"] if with_it["p50_ms"] and without["p50_ms"] else None),
                str(with_it["calls"]),
            ]
        )
    yield table(["", "with: p50 / p99, ms", "without: p50 / p99, ms", "ratio of p50", "calls with"], rows)
    yield ""
