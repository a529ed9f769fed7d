"""The report, in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import number, percent, table

_EXPLANATION = """Two replicas, open arrivals. `refused`: the first attempt ended PREDICTED_DEADLINE_MISS or
QUEUE_FULL. `recovered`: of these, the one second attempt, made at once, was answered within the same deadline; as many
refusals were false. `kept`: whether replicas keep refusals back for a moment, so that they do not look free."""

_TITLES = {
    "even": "no trouble",
    "uneven": "one replica also serves a stream that takes all it can give",
    "black_hole": "the engine of one replica takes 0.3 s longer, which is more than the deadline",
}


def write(document: Mapping[str, Any]) -> str:
    """Returns the report of a document."""
    rows = [
        [
            _TITLES[each["situation"]],
            "yes" if each["held"] else "no",
            number(1e3 * each["deadline"], unit="ms"),
            str(each["calls"]),
            str(each["refused"]),
            percent(each["recovered_share"]),
            percent(each["failed_at_first_share"]),
            percent(each["failed_share"]),
        ]
        for each in document["situations"]
    ]
    header = ("situation", "kept", "deadline", "calls", "refused", "recovered", "failed without a second", "failed")
    machine = "\n".join(f"- {name}: {value}" for name, value in document["machine"].items())
    parts = ["# False refusals and black holes", f"`{document['command']}`", _EXPLANATION, table(header, rows)]
    return "\n\n".join([*parts, "## Machine", machine]) + "\n"
