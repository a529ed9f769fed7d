"""The report of the scenarios, in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import number, table

_EXPLANATION = """`to the fallback` counts calls that HAProxy had no replica for: its last resort is Ray Serve's own
proxy, where our seam is not, and such a call is refused with MODEL_LOADING. `refused connections` are connections to a
replica that was gone already; HAProxy sends the call to the other one. Times of the slowest calls are HAProxy's own,
from its log: until the call reached it, in its queue, to connect, and in the replica."""


def write(document: Mapping[str, Any]) -> str:
    """Returns the report of a document."""
    machine = document["machine"]
    parts = ["# Calls while replicas come and go", f"`{document['command']}`", _EXPLANATION]
    parts.append(table(_HEADER, [_row(each) for each in document["scenarios"]]))
    parts.append("## The slowest calls")
    parts.append(
        table(
            ("scenario", "seconds", "before HAProxy", "in its queue", "to connect", "in the replica"),
            [_place(each, call) for each in document["scenarios"] for call in each["slowest_calls"]],
        )
    )
    parts.append("## Machine")
    parts.append("\n".join(f"- {name}: {value}" for name, value in machine.items()))
    return "\n\n".join(parts) + "\n"


_HEADER = (
    "scenario",
    "calls",
    "failed",
    "retries",
    "median",
    "p99.9",
    "slowest",
    "to the fallback",
    "refused connections",
    "HAProxy reloads",
)


def _row(figures: Mapping[str, Any]) -> list[str]:
    reasons = ", ".join(f"{reason} {count}" for reason, count in figures["failures"].items())
    failed = f"{figures['failed']} ({reasons})" if reasons else "0"
    fallback = str(figures["to_fallback"])
    if figures["to_fallback"]:
        fallback += f", over {number(figures['seconds_without_replica'])} s"
    return [
        figures["title"],
        str(figures["calls"]),
        failed,
        str(figures["retries"]),
        *(number(_ms(figures[name]), unit="ms") for name in ("median", "p999", "slowest")),
        fallback,
        str(figures["refused_connections"]),
        str(figures["proxy_reloads"]),
    ]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds


def _place(figures: Mapping[str, Any], call: Mapping[str, Any]) -> list[str]:
    names = ("seconds", "before_proxy", "proxy_queue", "proxy_connect", "replica")
    return [figures["name"], *(number(call.get(name)) for name in names)]
