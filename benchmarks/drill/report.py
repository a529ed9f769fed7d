"""The Markdown report of a drill. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.drill.diagnosis import Fault


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
    )
    yield ""
    yield f"Made by `{document['command']}`; what every panel showed is in `results.json`."
    yield ""
    yield "| injected | found | | machine busy before |"
    yield "|---|---|---|---|"
    for each in faults:
        verdict = "right" if each["right"] else "**wrong**"
        names = f"{Fault[each['injected']].value} | {Fault[each['found']].value}"
        yield f"| {names} | {verdict} | {each['busy_before']:.0%} |"
    yield ""
    if max(each["busy_before"] for each in faults) > document["quiet"]:
        yield f"**Disturbed: the machine was more than {document['quiet']:.0%} busy before some; drill again.**"
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
