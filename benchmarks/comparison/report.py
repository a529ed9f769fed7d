"""The Markdown report of the comparison. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.comparison.losses import TOLERANCE, losses
from benchmarks.markdown import number, percent, table
from benchmarks.markdown import spread as words
from benchmarks.peers import catalogue

_UNITS = {"p50_ms": "p50", "per_second": "answers /s", "goodput": "in time"}
_KINDS = {"lead_as_shipped": "as shipped", "lead_same_engine": "same engine"}


def write(document: Mapping[str, Any], *, pictures: Sequence[str] = (), folder: str = "") -> str:
    """Returns the report.

    Args:
        document: What `figures.summarise` returned, with `machine` and `command` added.
        pictures: File names.
        folder: Where they lie, from the report.
    """
    return "\n".join(_lines(document, pictures, folder)) + "\n"


def _lines(document: Mapping[str, Any], pictures: Sequence[str], folder: str) -> Iterator[str]:
    settings = document["settings"]
    rounds = ", ".join(f"{name} {count}" for name, count in settings["rounds"].items())
    yield "# tickserve beside what a user would pick instead"
    yield ""
    yield (
        f"Made by `{document['command']}`. Servers take turns, one at a time on the machine, the load generator on the "
        f"same {settings['cores']} cores; {settings['duration']:g} s a scenario, rounds by network: {rounds}. Every "
        "window is sent once, no cache answers. A figure is the median over rounds (least to greatest). A lead is how "
        "many times better tickserve is than that server, taken within a round: above 1 it is ahead. "
        f"All load the same TorchScript file with {settings['threads']} engine thread(s); tickserve does so in "
        f"`same engine`, and takes its own choice for this machine ({document['engine'] or 'not run'}) `as shipped`."
    )
    yield ""
    for failure in document["failures"]:
        yield f"**Failed, and left out of that network's figures:** {failure}"
        yield ""
    yield from _goals(document)
    yield from _overview(document)
    yield "## Where we lose and why"
    yield ""
    yield from _lost(document)
    for picture in pictures:
        yield f"![{picture.removesuffix('.png')}]({folder}{picture})"
        yield ""
    for scenario in document["scenarios"].values():
        yield from _scenario(scenario, document["titles"])
    if document["floor"]:
        yield "## The floor: the bare engine"
        yield ""
        yield table(
            ["batch size", "windows /s", "p50"],
            [
                [size, words(each["per_second"]), words(each["p50_ms"], unit="ms")]
                for size, each in document["floor"].items()
            ],
        )
        yield ""
    yield "## Machine and versions"
    yield ""
    yield table(["", ""], [[name, value] for name, value in document["machine"].items()])


def _goals(document: Mapping[str, Any]) -> Iterator[str]:
    if not document["goals"]:
        return
    yield "## Goals, as shipped"
    yield ""
    yield table(
        ["", "goal", "measured", ""],
        [
            [
                each["name"],
                "-" if each["limit"] is None else f"{'<=' if each['less'] else '>='} {number(each['limit'])}",
                words(each["value"]),
                {None: "-", True: "met", False: "**not met**"}[each["met"]],
            ]
            for each in document["goals"]
        ],
    )
    yield ""
    yield (
        "What engine and gRPC leave possible: what this machine would answer a second if a call took it the bare "
        "engine's time for a window in its best batch, with all cores, and the bare echo's time, server and load "
        "generator together; no proxy, no queue, no check. And Ray Serve: with the time of an echo behind HAProxy in a "
        "replica that does nothing else; what is missing to 1 there is tickserve's own: seam, queue, checks, evidence, "
        "the hand-over to the engine's thread, and what smaller batches cost the engine."
    )
    yield ""


def _overview(document: Mapping[str, Any]) -> Iterator[str]:
    peers = [
        name
        for name in (catalogue.STOCK, catalogue.STOCK_HAPROXY, catalogue.TRITON, catalogue.BARE)
        if name in document["titles"]
    ]
    yield "## Leads of tickserve, same engine / as shipped"
    yield ""
    rows = []
    for scenario in document["scenarios"].values():
        cells = []
        for peer in peers:
            figures = scenario["servers"].get(peer)
            cells.append("-" if figures is None else " / ".join(_median(figures[kind]) for kind in reversed(_KINDS)))
        rows.append([scenario["title"], *cells])
    yield table(["", *(document["titles"][peer] for peer in peers)], rows)
    yield ""


def _lost(document: Mapping[str, Any]) -> Iterator[str]:
    found = losses(document)
    if not found:
        yield f"Nowhere: no peer is ahead by more than {TOLERANCE:.0%} in any scenario of this run."
        yield ""
    for each in found:
        title = document["scenarios"][each["scenario"]]["title"]
        yield (
            f"- **{title}**, to {document['titles'][each['server']]}, {_KINDS[each['kind']]}: lead "
            f"{words(each['lead'])}. {each['reason'] or 'Unexplained.'}"
        )
    if found:
        yield ""


def _scenario(scenario: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[str]:
    yield f"## {scenario['title'][:1].upper()}{scenario['title'][1:]}"
    yield ""
    rows = []
    for server, figures in scenario["servers"].items():
        for name, traffic in figures["traffic"].items():
            latency = traffic["latency_ms"]
            rows.append(
                [
                    titles[server] if len(figures["traffic"]) == 1 else f"{titles[server]}: {name}",
                    words(traffic["per_second"]),
                    percent(traffic["goodput"]["median"]),
                    words(latency["p50"], unit="ms"),
                    words(latency["p99"], unit="ms"),
                    number(latency["p99.9"]["max"], unit="ms"),
                    number(latency["max"]["max"], unit="ms"),
                    words(figures["cpu_ms_per_answer"]),
                    percent(figures["floor_share"]["median"]),
                    percent(figures["of_possible"]["median"]),
                    ", ".join(f"{outcome} {count}" for outcome, count in traffic["outcomes"].items()),
                ]
            )
    header = [
        "",
        "answers /s",
        "in time",
        "p50",
        "p99",
        "worst p99.9",
        "max",
        "server CPU ms",
        "of the floor",
        "possible",
        "ends",
    ]
    yield table(header, rows)
    yield ""
    yield f"Compared by: {_UNITS[scenario['figure']]}" + (
        f" of {scenario['of']}." if scenario["figure"] != "per_second" else "."
    )
    yield ""


def _median(spread: Mapping[str, Any] | None) -> str:
    return "-" if spread is None or spread["median"] is None else f"{number(spread['median'])}"
