"""Does the service stay as it is at a share of what it can do? The first quarter against the last."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.chaos.callers import calling
from benchmarks.chaos.experiment import oracle_of, plan_for
from benchmarks.chaos.oracle import Oracle
from benchmarks.chaos.plan import Asked, CallerPlan
from benchmarks.chaos.record import End
from benchmarks.chaos.stage import Stage, stage
from benchmarks.chaos.tally import REAL_TIME, latencies_ms
from benchmarks.markdown import number, table
from benchmarks.soak.growth import settled, slope

_CALIBRATION = 8.0
_OUTSTANDING = 32
_CHUNK = 60.0
# Caches and allocators fill up in the first part of the time.
_FILLING = 0.25
# How much the last quarter may be slower, and larger, than the first: machines are not the same from minute to minute.
SLOWER = 1.25
LARGER = 1.05


def run(minutes: float, share: float) -> dict[str, Any]:
    """Finds out what the service can do, then asks for a share of it for so many minutes.

    Answers are judged between two chunks of load, so that judging takes no time from the service.

    Raises:
        benchmarks.peers.target.TargetError: The service did not start.
    """
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, stage(Path(name)) as set_stage:
        oracle, bar_interval = oracle_of(Path(name))
        plan = plan_for(set_stage.target.address, number=0, bar_interval=bar_interval)
        capacity = _capacity(plan)
        ticks = len(plan.symbols) / plan.tick_interval
        usual = sum(asked.rate for asked in plan.unary)
        scaled = plan.scaled(max(0.0, share * capacity - ticks) / usual)
        chunks = [
            _chunk(set_stage, scaled, oracle, number + 1, min(_CHUNK, 60 * minutes - number * _CHUNK))
            for number in range(max(4, round(60 * minutes / _CHUNK)))
        ]
    return {"minutes": minutes, "share": share, "capacity": capacity, "chunks": chunks, **compared(chunks)}


def compared(chunks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns first and last quarter beside each other, and what the replicas' memory does after the first. Pure."""
    quarter = max(1, len(chunks) // 4)
    readings = [(float(chunk["second"]), float(chunk["memory"].get("replica", 0))) for chunk in chunks]
    rest = settled(readings, share=_FILLING)
    return {
        "first": _quarter(chunks[:quarter]),
        "last": _quarter(chunks[-quarter:]),
        "bytes_per_second": slope(rest) if len(rest) > 1 else 0.0,
    }


def missed(document: dict[str, Any]) -> list[str]:
    """Returns a line for each thing that did not stay as it was. Pure."""
    first, last = document["first"], document["last"]
    lines = [
        f"real-time {name} rose from {first[name]:.1f} ms to {last[name]:.1f} ms"
        for name in ("p50", "p99")
        if last[name] > SLOWER * first[name]
    ]
    if last["memory"] > LARGER * first["memory"]:
        lines.append(f"replicas grew from {first['memory'] / 2**20:.0f} MiB to {last['memory'] / 2**20:.0f} MiB")
    if wrong := sum(chunk["wrong"] for chunk in document["chunks"]):
        lines.append(f"{wrong} wrong answers")
    return lines


def write(document: dict[str, Any]) -> str:
    """Returns the report."""
    rows = [
        [
            f"{chunk['second'] / 60:.0f}",
            f"{chunk['sent']:,}",
            f"{chunk['answered']:,}",
            f"{chunk['refused']:,}",
            f"{chunk['silent']:,}",
            str(chunk["wrong"]),
            number(chunk["p50"], unit="ms"),
            number(chunk["p99"], unit="ms"),
            f"{chunk['memory'].get('replica', 0) / 2**20:.0f}",
            f"{chunk['memory'].get('haproxy', 0) / 2**20:.0f}",
        ]
        for chunk in document["chunks"]
    ]
    header = [
        "minute",
        "sent",
        "answered",
        "refused",
        "no answer",
        "wrong",
        "p50",
        "p99",
        "replicas, MiB",
        "HAProxy, MiB",
    ]
    goals = "\n".join(f"- missed: {line}" for line in missed(document)) or "Nothing grew and nothing slowed down."
    return f"""# Soak: {document["minutes"]:g} minutes at {document["share"]:.0%} of capacity

Written by `{document["command"]}`. Capacity, with the callers on the same machine: {document["capacity"]:.0f} answers a
second. After the first quarter the replicas' memory moves by {document["bytes_per_second"]:+.0f} bytes a second.

{goals}

{table(header, rows)}

{table(["", ""], [[name, value] for name, value in document["machine"].items()])}
"""


def _capacity(plan: CallerPlan) -> float:
    asked = (Asked(priority="standard", rate=1.0, timeout=10.0),)
    flood = dataclasses.replace(plan, unary=asked, symbols=(), outstanding=_OUTSTANDING)
    with calling(flood) as called:
        time.sleep(2 + _CALIBRATION)
        end = time.monotonic()
    inside = [each for each in called.records if end - _CALIBRATION <= each.ended_at < end]
    return sum(each.end is End.ANSWERED for each in inside) / _CALIBRATION


def _chunk(set_stage: Stage, plan: CallerPlan, oracle: Oracle, number: int, seconds: float) -> dict[str, Any]:
    moved = plan_for(plan.target, number=number, bar_interval=plan.bar_interval)
    with calling(dataclasses.replace(moved, unary=plan.unary)) as called:
        time.sleep(max(1.0, seconds))
        memory = set_stage.memory()
    latency = latencies_ms(called.records, REAL_TIME)
    ends = {end: sum(record.end is end for record in called.records) for end in End}
    chunk = {
        "second": number * _CHUNK,
        "sent": len(called.records),
        "answered": ends[End.ANSWERED],
        "refused": ends[End.REFUSED],
        "silent": ends[End.SILENT],
        "wrong": len(oracle.wrong(called.records)),
        "p50": latency["p50"],
        "p99": latency["p99"],
        "memory": memory,
    }
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {chunk}\n")
    return chunk


def _quarter(chunks: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {
        "p50": sorted(chunk["p50"] for chunk in chunks)[len(chunks) // 2],
        "p99": sorted(chunk["p99"] for chunk in chunks)[len(chunks) // 2],
        "memory": sum(chunk["memory"].get("replica", 0) for chunk in chunks) / len(chunks),
    }
