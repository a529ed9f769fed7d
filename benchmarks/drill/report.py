"""The Markdown report of a drill. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.drill.diagnosis import Fault
from benchmarks.markdown import number


def write(document: Mapping[str, Any]) -> str:
    """Returns the report.

    Args:
        document: What `experiment.run` returned, with `machine` and `command` added.
    """
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    faults = document["faults"]
    right = sum(each["right"] for each in faults)
    yield "# Drill: faults found from the dashboard alone"
    yield ""
    yield (
        "Two replicas of a small network, their Redis and a collector; a real Prometheus scrapes them each second. "
        "Each fault is injected under steady traffic; the panels of `deploy/grafana/tickserve.json` are asked for "
        "before and after, and `benchmarks/drill/diagnosis.py`, the reading of `docs/drill.md`, names it. "
        f"**{right} of {len(faults)} were named rightly**; in the first, the control, nothing is injected."
        f" One is repeated, whatever it found, if others took more than {document['quiet']:.0%} of the machine."
    )
    yield ""
    yield f"Made by `{document['command']}`; what every panel showed is in `results.json`."
    yield ""
    yield "| injected | found | | others on the machine |"
    yield "|---|---|---|---|"
    for each in faults:
        verdict = "right" if each["right"] else "**wrong**"
        names = f"{Fault[each['injected']].value} | {Fault[each['found']].value}"
        yield f"| {names} | {verdict} | {each['foreign']:.0%} |"
    yield ""
    if max(each["foreign"] for each in faults) > document["quiet"]:
        yield f"**Disturbed: others took more than {document['quiet']:.0%} of the machine; drill again.**"
        yield ""
    for each in faults:
        yield from _trail(each)
    shown = {title for each in faults for title in each["shown"]}
    silent = sorted(set(document["panels"]) - shown)
    yield "## Panels"
    yield ""
    yield f"{len(shown)} of {len(document['panels'])} panels showed something. Silent: {', '.join(silent) or 'none'}."
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in document["machine"].items():
        yield f"| {name} | {value} |"


def _trail(each: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {Fault[each['injected']].value[0].upper()}{Fault[each['injected']].value[1:]}"
    yield ""
    yield "| panel | what it showed | which says |"
    yield "|---|---|---|"
    for step in each["trail"]:
        yield f"| {step['panel']} | {step['seen']} | {step['conclusion']} |"
    yield ""
    subject = f" ({each['subject']})" if each["subject"] else ""
    alerts = f" Alerts that fired or were about to: {', '.join(each['alerts'])}." if each["alerts"] else ""
    yield f"Found: {Fault[each['found']].value}{subject}.{alerts}"
    yield ""
    callers = each.get("callers_p99_ms", {})
    if any(value is not None for value in callers.values()):
        told = ", ".join(f"{name} {number(value, unit='ms')}" for name, value in callers.items())
        shown = ", ".join(f"{name} {number(_milliseconds(each['levels'], name), unit='ms')}" for name in callers)
        yield f"p99 of callers, calm and fault together: {told}. Of the panels at the end: {shown}."
        yield ""


def _milliseconds(levels: Mapping[str, Any], name: str) -> float | None:
    """Returns what the latency panel of a class showed last as p99; None if nothing."""
    seconds = levels.get(f"Latency, {name.replace('_', ' ')}", {}).get("p99", [None, None])[1]
    return None if seconds is None else 1e3 * float(seconds)
