"""The Markdown report of the tick streams. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.markdown import number, percent, table
from benchmarks.markdown import spread as words
from benchmarks.streams.figures import KILOBYTE

_AGES = {
    "from_receipt_ms": "since the receipt of the answered tick, by the server's clock",
    "from_due_ms": "since that tick was due at the client",
    "behind_ms": "since a newer tick of the symbol was due; 0: it was the newest",
}


def write(document: Mapping[str, Any], titles: Mapping[str, str], *, plot: str) -> str:
    """Returns the report.

    Args:
        document: What `figures.summarise` returned, with `machine` and `command` added.
        titles: Of the scenarios, by name.
        plot: Name of the image beside the report; empty: none.
    """
    return "\n".join(_lines(document, titles, plot)) + "\n"


def _lines(document: Mapping[str, Any], titles: Mapping[str, str], plot: str) -> Iterator[str]:
    settings = document["settings"]
    yield "# Tick streams"
    yield ""
    yield (
        "tickserve as shipped on one machine; the generators share its cores. Ticks are real bars, shifted so that no "
        "window comes twice, after a history that fills the windows; every answer's sequence, symbol and model are "
        "checked. Latency counts from the instant at which a tick or a call was due. Median (least to greatest) over "
        f"rounds ({settings['rounds']}) of {settings['duration']:g} s a scenario, in turns; ratios are taken within a "
        "round."
    )
    yield ""
    yield f"Made by `{document['command']}`; the figures are in `results.json`."
    yield ""
    yield "## Goals"
    yield ""
    yield table(
        ["", "goal", "measured", ""],
        [
            [goal["name"], goal["wanted"], _value(goal), "met" if goal["met"] else "**not met**"]
            for goal in document["goals"]
        ],
    )
    yield ""
    yield "## Tick to prediction, windows in memory"
    yield ""
    yield from _compared(document["memory_store"], titles)
    if plot:
        yield f"![throughput, latency, age]({plot})"
        yield ""
    yield "## Windows in Redis"
    yield ""
    if document["redis_store"] is None:
        yield "Left out: there was no `redis-server` on the machine."
        yield ""
    else:
        yield f"A server of its own; rounds: {settings['redis_rounds']}. Redis writes nothing to disk."
        yield ""
        yield from _compared(document["redis_store"], titles)
    yield from _overload(document["overload"], settings)
    yield from _memory(document)
    yield "## Machine"
    yield ""
    yield table(["", ""], [[name, value] for name, value in document["machine"].items()])


def _compared(compared: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[str]:
    yield (
        "Closed loop: one tick in flight a symbol, one call in flight a caller; each is compared with the unary row of "
        "as many in flight."
    )
    yield ""
    yield _scenarios(compared["closed"], titles)
    yield ""
    yield (
        f"Open loop: {words(compared['rate'])} a second for all, half of what 64 streams were answered in the closed "
        "loop of the same round; each is compared with unary calls at the same rate."
    )
    yield ""
    yield _scenarios(compared["open"], titles)
    yield ""
    lags = [
        [f"{titles[name]}, {loop} loop", *(words(each["durable_lag_ms"][key], unit="ms") for key in ("p50", "p99"))]
        for loop in ("closed", "open")
        for name, each in compared[loop].items()
        if "durable_lag_ms" in each
    ]
    if lags:
        yield table(["tick sent to `durable` received", "p50", "p99"], lags)
        yield ""


def _scenarios(scenarios: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    rows = []
    for name, each in scenarios.items():
        latency, over = each["latency_ms"], each.get("over_unary")
        told = [words(over[key]) for key in ("per_second", "p50", "p99")] if over else ["1", "1", "1"]
        ends = {**each["outcomes"], **each["reasons"], **each["strays"]}
        rows.append(
            [
                titles[name],
                words(each["per_second"]),
                words(latency["p50"], unit="ms"),
                words(latency["p99"], unit="ms"),
                *told,
                words(each["batch_size"]),
                words(each["server_ms_per_answer"], unit="ms"),
                words(each["foreign_cpu"], unit="s"),
                ", ".join(f"{key} {count}" for key, count in ends.items()),
            ]
        )
    ratios = ["rate over unary's", "p50 over unary's", "p99 over unary's"]
    header = ["", "answers /s", "p50", "p99", *ratios, "batch", "server CPU an answer", "CPU of others", "outcomes"]
    return table(header, rows)


def _overload(overload: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[str]:
    yield f"## Overload, {settings['overload_factor']:g} times what the engine can do, conflation on"
    yield ""
    yield (
        f"Ticks of 1,000 symbols on {settings['overload_streams']} streams, evenly spaced, at "
        f"{settings['overload_factor']:g} times the best rate of the closed loops above. A batch time is the median of "
        "the engine's times of the batches that answered. With *default* a prediction is of use for the server's "
        "default, one second; with *patient* for ten. A symbol's turn comes round about once in 1,000 answers."
    )
    yield ""
    rows = []
    for name, each in overload.items():
        engine = [number(each["batch_ms"], unit="ms"), number(each["batch_size"])]
        rates = [number(each[key]) for key in ("rate", "ticks_per_second", "answered_per_second")]
        rows.append([name, *rates, number(each["send_lag_ms"]["p99"], unit="ms"), *engine])
    yield table(
        ["", "ticks due /s", "ticks ended /s", "answers /s", "taken late by gRPC, p99", "batch time", "mean batch"],
        rows,
    )
    yield ""
    yield (
        "A tick ends with its answer, its error or the answer of a newer one. Fewer ended than due: server or "
        "generator could not take them as fast as they came, on the cores that they share, and the rest waited in "
        "buffers and under flow control, which the ages since due count and those since receipt do not."
    )
    yield ""
    rows = []
    for name, each in overload.items():
        for key, title in _AGES.items():
            age = [number(each["ages"][key][share], unit="ms") for share in ("p50", "p99", "max")]
            rows.append([f"{name}: {title}", *age, number(each["batch_times"][key])])
    yield table(["age of the answered bar when its answer came", "p50", "p99", "max", "p99 in batch times"], rows)
    yield ""
    yield (
        "Conflation gives a symbol's answer the newest bar that had been received when its batch was formed. How long "
        "a newer one had been due by the time of the answer is what conflation can do something about: `since a newer "
        "tick`. How old the answered bar itself was depends on how often its symbol ticks, and on how many have their "
        "turn first: `since the receipt`. The goal is held to both."
    )
    yield ""
    for name, each in overload.items():
        exact = each["exactness"]
        ends = {**each["outcomes"], **each["reasons"], **each["strays"]}
        yield (
            f"- {name}: {each['ticks']:,} ticks sent, {each['conflated']:,} conflated into a newer one; in the window "
            + ", ".join(f"{key} {count:,}" for key, count in ends.items())
            + f". About the symbol's newest tick: {percent(each['ages']['newest_share'])}. Windows equal to the "
            f"offline ones afterwards: {exact['equal']} of {exact['compared']}"
            + ("".join(f"; {difference}" for difference in exact["differences"]))
            + ". Processor time of others: "
            + number(each["foreign_cpu"], unit="s.")
        )
    yield ""


def _memory(document: Mapping[str, Any]) -> Iterator[str]:
    memory, fill = document["memory"], document["backfill"]
    yield "## Memory and backfill"
    yield ""
    yield (
        f"A fresh server. Growth of the replica's resident memory over {memory['symbols']:,} symbols, each filled with "
        f"{memory['bars']} bars, and then over {memory['streams']} idle streams of one such symbol each; the "
        "least of the readings of two quiet seconds."
    )
    yield ""
    yield table(
        ["", ""],
        [
            ["a symbol", _kilobytes(memory["bytes_per_symbol"])],
            ["an idle stream", _kilobytes(memory["bytes_per_stream"])],
            ["an idle stream, in HAProxy besides", _kilobytes(memory["haproxy_bytes_per_stream"])],
            ["a stream, after it was closed", _kilobytes(memory["bytes_kept_per_closed_stream"])],
            [f"backfill of {fill['symbols']:,} symbols, {fill['bars']} bars each", number(fill["seconds"], unit="s")],
        ],
    )
    yield ""


def _kilobytes(count: float) -> str:
    return number(count / KILOBYTE, unit="KB")


def _value(goal: Mapping[str, Any]) -> str:
    value = goal["value"]
    if value is None:
        return "-"
    return _kilobytes(value) if goal["unit"] == "bytes" else number(value, unit=goal["unit"])
