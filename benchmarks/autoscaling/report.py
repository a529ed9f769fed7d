"""The report of a run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.markdown import number, table

_HEAD = """\
# Autoscaling

Written by `{command}`; do not edit.

One replica of the full network becomes {most} and one again while the load rises from {low:g} to {high:g} calls a
second and falls. Each engine call takes {delay:g} ms longer than it needs, with at most {batch} windows in it: so more
replicas carry more although they share two cores, as they would with cores or GPUs of their own. {streams} idle streams
are open all the while; they are no load. The delays are shorter than any preset's, so that the run takes minutes.
Calls are made once, without a retry, with {timeout:g} s to answer.

"""


def write(document: Mapping[str, Any]) -> str:
    """Returns the report as Markdown."""
    ramp, calls = document["ramp"], document["calls"]
    most = max((each["after"] for each in document["decisions"]), default=1)
    head = _HEAD.format(
        command=document["command"],
        most=most,
        low=ramp["low"],
        high=ramp["high"],
        delay=document["engine_delay"] * 1e3,
        batch=document["settings"]["max_batch_size"],
        streams=document["idle_streams"],
        timeout=document["timeout"],
    )
    failed = ", ".join(f"{reason}: {count}" for reason, count in calls["failed"].items()) or "none"
    sections = [
        head + table(("machine", "value"), document["machine"].items()),
        "![Load, replicas and latency](autoscaling.png)",
        "## Calls\n\n"
        + table(
            ("made", "answered", "failed", "p50", "p99", "slowest"),
            [
                (
                    str(calls["made"]),
                    str(calls["answered"]),
                    failed,
                    *(number(calls[name], unit="ms") for name in ("p50_ms", "p99_ms", "max_ms")),
                )
            ],
        ),
        "## Decisions\n\n"
        + table(
            ("at", "from", "to"),
            [(f"{each['at']:.1f} s", str(each["before"]), str(each["after"])) for each in document["decisions"]],
        ),
        "## From a decision to the first answer\n\n"
        "The compiled cache has the engine: the first replica made it. A process is seen at most 0.2 s late.\n\n"
        + table(
            ("decision", "process there", "first answer"),
            [
                (
                    f"{each['from']} to {each['to']}",
                    number(each["process_s"], unit="s"),
                    number(each["answer_s"], unit="s"),
                )
                for each in document["growth"]
            ],
        ),
        "## Settings\n\n" + table(("setting", "value"), [(n, f"{v:g}") for n, v in document["settings"].items()]),
        f"The caller took {document['caller_cpu']:g} of a core.",
    ]
    return "\n\n".join(sections) + "\n"
