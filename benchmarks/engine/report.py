"""The Markdown report of the engine comparison. Pure: figures in, text out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.engine.figures import find
from benchmarks.engine.subjects import BASE
from benchmarks.markdown import number, percent, spread, table

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
    settings = document["settings"]
    yield "# What a batch costs, engine by engine"
    yield ""
    yield (
        f"{settings['rounds']} interleaved rounds in one process over {len(document['engines'])} engines of the model "
        f"`{settings['model']}`, batches of {_listed(settings['sizes'])} windows, and {_listed(settings['threads'])} "
        f"threads; at least {settings['calls']} calls and {settings['seconds']:g} s each a round. A speed-up is over "
        f"{BASE.name} in the same round, size and thread count: the median (least to greatest) over rounds."
    )
    yield ""
    yield f"Made by `{document['command']}`; the figures are in `results.json`."
    yield ""
    yield _disturbance(document)
    yield ""
    if document["goals"]:
        yield "## Goals"
        yield ""
        yield table(
            ["", "goal", "measured", ""],
            [
                [goal["name"], goal["wanted"], number(goal["value"]), "met" if goal["met"] else "**not met**"]
                for goal in document["goals"]
            ],
        )
        yield ""
    yield from _missing(document)
    for threads in settings["threads"]:
        yield from _engines(document, threads)
    if plot:
        yield f"![time per window, speed-up, share of the floor]({plot})"
        yield ""
    yield from _floor(document)
    yield from _machine(document)


def _disturbance(document: Mapping[str, Any]) -> str:
    share = document["foreign_share"]
    if share > _QUIET:
        return f"**Disturbed: other work took {percent(share)} of the machine. Measure again on a quiet machine.**"
    return f"Other work took {percent(share)} of the machine."


def _missing(document: Mapping[str, Any]) -> Iterator[str]:
    for name, reason in document["missing"].items():
        yield f"Not measured: {name}, because {reason}."
        yield ""


def _engines(document: Mapping[str, Any], threads: int) -> Iterator[str]:
    sizes, cells = document["settings"]["sizes"], document["cells"]
    yield f"## {_counted(threads)}"
    yield ""
    for heading, words in _COLUMNS.items():
        rows = []
        for name in document["engines"]:
            found = (find(cells, name, size, threads) for size in sizes)
            rows.append([name, *("-" if each is None else words(each) for each in found)])
        yield table([heading, *(str(size) for size in sizes)], rows)
        yield ""


_COLUMNS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "p50 / p99 of a call, ms": lambda each: f"{number(each['p50_ms'])} / {number(each['p99_ms'])}",
    "ms a window": lambda each: number(each["window_ms"]),
    f"speed-up over {BASE.name}": lambda each: spread(each["speed_up"]),
    "bare arithmetic's share of the time": lambda each: percent(each["floor_share"]),
}


def _floor(document: Mapping[str, Any]) -> Iterator[str]:
    counts = document["operations"]
    yield "## The floor"
    yield ""
    reached = "; ".join(
        f"{precision} {', '.join(_reached(each, threads) for threads, each in by_threads.items())}"
        for precision, by_threads in document["products"].items()
    )
    yield (
        f"A window takes {counts['as_written'] / 1e6:.0f} MFLOP in matrix products as the network is written and "
        f"{counts['as_folded'] / 1e6:.0f} MFLOP as the compiled engines compute it "
        "(docs/adr/0009-inference-algebra.md). The bare arithmetic is that of the network as written, at the speed "
        f"which the quickest large matrix product in the same precision and threads reached meanwhile: {reached}. "
        "An LSTM's steps wait for each other, so a window alone cannot come near it."
    )
    yield ""


def _reached(figures: Mapping[str, float], threads: str) -> str:
    return f"{figures['per_second'] / 1e9:.0f} GFLOP/s ({_counted(int(threads)).lower()})"


def _machine(document: Mapping[str, Any]) -> Iterator[str]:
    yield "## Machine and engines"
    yield ""
    yield table(["", ""], [[name, value] for name, value in document["machine"].items()])
    yield ""
    yield table(["engine", "why"], [[name, reason] for name, reason in document["engines"].items()])


def _counted(threads: int) -> str:
    return "One thread" if threads == 1 else f"{threads} threads"


def _listed(values: list[int]) -> str:
    *head, last = [str(value) for value in values]
    return f"{', '.join(head)} and {last}" if head else last
