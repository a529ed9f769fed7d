"""The Markdown report of all rows, and which goals were missed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import number, percent, table

PAST_DEADLINE_GOAL_MS = 50.0
BATCHES_GOAL = 1
# On a machine whose callers are not answered in time without a fault, nothing can be said about faults.
LEAST_BASELINE = 0.98
_HEADER = (
    "fault",
    "sent",
    "answered",
    "refused, by reason",
    "no answer, by code",
    "wrong",
    "p99.9 past the deadline",
    "goodput back after (goal)",
    "batches lost",
    "memory, MiB",
)

Row = Mapping[str, Any]


def write(document: Mapping[str, Any]) -> str:
    """Returns the report."""
    machine = [[name, value] for name, value in document["machine"].items()]
    found = missed(document)
    goals = "\n".join(f"- missed: {line}" for line in found) or "All goals were met."
    return f"""# Chaos: what faults do to callers

Written by `{document["command"]}`.

{chaos_table(document)}

## Goals

{goals}

## What was seen besides

{_facts(document)}

## The machine

{table(["", ""], machine)}
"""


def chaos_table(document: Mapping[str, Any]) -> str:
    """Returns the table of all rows, and below it how far its oracle can be trusted."""
    rows = [_cells(row) for row in document["rows"]]
    blind = document["oracle_blindness"]
    told = "" if blind is None else f"\n\nThe oracle took {percent(blind)} of swapped answers for right ones."
    return table(_HEADER, rows) + told


def missed(document: Mapping[str, Any]) -> list[str]:
    """Returns a line for each goal that a row missed."""
    lines = []
    for row in document["rows"]:
        if "skipped" in row:
            lines.append(f"{row['title']}: not run, {row['skipped']}")
            continue
        if row["failure"]:
            lines.append(f"{row['title']}: {row['failure']}")
        if row["wrong"]:
            lines.append(f"{row['title']}: {row['wrong']} wrong answers, such as {row['wrong_examples'][0]}")
        if row["past_deadline_p999_ms"] >= PAST_DEADLINE_GOAL_MS:
            late = number(row["past_deadline_p999_ms"], unit="ms")
            lines.append(f"{row['title']}: p99.9 past the deadline is {late}, goal {PAST_DEADLINE_GOAL_MS:g} ms")
        if row["baseline"] < LEAST_BASELINE:
            before = percent(row["baseline"])
            lines.append(f"{row['title']}: real-time goodput was {before} before the fault, too little to measure by")
        if row["facts"].get("a new client is served meanwhile") == "no":
            lines.append(f"{row['title']}: no new client was served meanwhile")
        goal, back = row["goal_s"], row["back_after_s"]
        if goal is not None and (back is None or back > goal):
            lines.append(f"{row['title']}: goodput back after {_back(back)}, goal {goal:g} s")
        if (row["batches_lost"] or 0) > BATCHES_GOAL:
            lines.append(f"{row['title']}: {row['batches_lost']} batches lost, goal {BATCHES_GOAL}")
    return lines


def _cells(row: Row) -> list[str]:
    if "skipped" in row:
        return [row["title"], *["-"] * (len(_HEADER) - 2), f"not run: {row['skipped']}"]
    goal = "" if row["goal_s"] is None else f" ({row['goal_s']:g} s)"
    return [
        row["title"],
        f"{row['sent']:,}",
        f"{row['answered']:,}",
        _reasons(row["refused"]),
        _reasons(row["silent"]),
        str(row["wrong"]),
        number(row["past_deadline_p999_ms"], unit="ms"),
        _back(row["back_after_s"]) + goal,
        "-" if row["batches_lost"] is None else str(row["batches_lost"]),
        f"{_mib(row['memory_before'])} -> {_mib(row['memory_after'])}",
    ]


def _facts(document: Mapping[str, Any]) -> str:
    lines = []
    for row in document["rows"]:
        if "skipped" in row:
            continue
        told = {
            "real-time goodput before": percent(row["baseline"]),
            "real-time calls lost": row["real_time_lost"],
            "retries": row["retries"],
            "refused by the retry budget": row["refused_by_budget"],
            "streams opened anew": row["reconnects"],
            **row["facts"],
        }
        if row["lost_streams"]:
            told["streams that ended for good"] = "; ".join(row["lost_streams"][:3])
        lines.append(f"- {row['title']}: " + "; ".join(f"{name}: {value}" for name, value in told.items()))
    return "\n".join(lines)


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in counts.items()) or "0"


def _back(seconds: float | None) -> str:
    if seconds is None:
        return "not back"
    return "at once" if seconds == 0 else number(seconds, unit="s")


def _mib(held: Mapping[str, int]) -> str:
    return f"{sum(held.values()) / 2**20:,.0f}"
