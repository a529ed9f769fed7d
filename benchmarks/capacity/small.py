"""A network so small that what is left is serving: one replica and two, unary calls and ticks.

On two cores the load generator needs one of them, so two replicas cannot answer twice as much here; what tells how
serving scales is the processor time of one answer, which must not grow with the replicas.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from benchmarks.capacity.length import Length
from benchmarks.capacity.stage import PATIENCE, plan, serving, tell
from benchmarks.capacity.wire import WireClock
from benchmarks.load import cpu, processes, runner
from benchmarks.load.plan import Traffic
from benchmarks.peers import catalogue
from benchmarks.peers.export import Material
from benchmarks.peers.target import Server
from benchmarks.stages.attribution import LOOP_THREAD
from benchmarks.stages.replica_threads import ProfilerError, ThreadClock, thread_ids
from benchmarks.streams import runner as stream_runner
from benchmarks.streams.plan import StreamPlan

REPLICAS = (1, 2)
IN_FLIGHT = 64
_CONNECTIONS = 4
_BARS = catalogue.ROOT / "data" / "eurusd_1h.csv"
# Seconds of silence in which what Ray itself does is measured.
_IDLE = 5.0
_LEAD = 0.1  # between the generator's being told and its first tick


def rounds(length: Length, material: Material) -> list[dict[str, Any]]:
    """Returns the rounds; in every other one two replicas come first."""
    found = []
    for index in range(length.rounds):
        order = REPLICAS if index % 2 == 0 else REPLICAS[::-1]
        found.append({str(count): _replicas(length, material, count) for count in order})
        tell(f"small network, round {index + 1} of {length.rounds} done")
    return found


def _replicas(length: Length, material: Material, count: int) -> dict[str, Any]:
    with serving(material, replicas=count) as server:
        loops = _loops(server)
        return {
            "unary": _unary(length, material, server, loops),
            "ticks": _ticks(length, material, server, loops),
            "idle": _idle(server),
        }


def _loops(server: Server) -> dict[int, int]:
    """Returns the event loop's thread of each replica, by process id; none where there is no profiler to ask."""
    found = {}
    for pid, role in processes.roles(server.pid).items():
        if role == "replica":
            with contextlib.suppress(ProfilerError):
                found[pid] = thread_ids(pid)[LOOP_THREAD]
    return found


def _unary(length: Length, material: Material, server: Server, loops: dict[int, int]) -> dict[str, Any]:
    traffic = Traffic(
        name="unary",
        priority="standard",
        deadline=PATIENCE,
        rpc_timeout=PATIENCE,
        callers=IN_FLIGHT,
        connections=_CONNECTIONS,
    )
    made = plan(server, material, (traffic,), warm_up=length.warm_up, duration=length.duration, first_window=0)
    with contextlib.ExitStack() as stack:
        clocks = _clocks(stack, loops)
        wire = stack.enter_context(WireClock(server.target.address))
        run = runner.run([made], watch={"server": server.pid})
    start = run.results[0]["window_start"]
    window = (start, start + length.duration)
    figures = run.traffic("unary")
    sent, received = wire.between(*window)
    tell(f"unary: {figures['answered_per_second']:.0f}/s, {figures['outcomes']}")
    return {
        "answered": figures["answered"],
        "per_second": figures["answered_per_second"],
        "p50_ms": figures["latency_ms"]["p50"],
        "p99_ms": figures["latency_ms"]["p99"],
        "outcomes": figures["outcomes"],
        "server_cpu": run.server_cpu["server"],
        "client_cpu": run.client_cpu,
        "foreign_cpu": run.foreign_cpu,
        "loop_seconds": sum(clock.between(tid, *window) for tid, clock in clocks.items()) if clocks else None,
        "bytes_sent": sent,
        "bytes_received": received,
        "seconds": length.duration,
    }


def _ticks(length: Length, material: Material, server: Server, loops: dict[int, int]) -> dict[str, Any]:
    made = StreamPlan(
        name="ticks",
        target=server.target.address,
        bars=str(_BARS),
        model=material.model,
        symbols=IN_FLIGHT,
        streams=IN_FLIGHT,
        connections=_CONNECTIONS,
        valid_duration=PATIENCE,
        warm_up=length.warm_up,
        duration=length.duration,
    )
    with contextlib.ExitStack() as stack:
        generator = stack.enter_context(stream_runner.ready(made))
        clocks = _clocks(stack, loops)
        wire = stack.enter_context(WireClock(server.target.address))
        start = time.monotonic() + _LEAD + length.warm_up
        result = generator.run(server.pid)
    window = (start, start + length.duration)
    figures = result["traffic"]
    sent, received = wire.between(*window)
    tell(f"ticks: {figures['answered_per_second']:.0f}/s, {figures['outcomes']}")
    return {
        "answered": figures["answered"],
        "per_second": figures["answered_per_second"],
        "p50_ms": figures["latency_ms"]["p50"],
        "p99_ms": figures["latency_ms"]["p99"],
        "outcomes": figures["outcomes"],
        "server_cpu": result["server_cpu"],
        "client_cpu": result["client_cpu_seconds"],
        "foreign_cpu": result["foreign_cpu"],
        "loop_seconds": sum(clock.between(tid, *window) for tid, clock in clocks.items()) if clocks else None,
        "bytes_sent": sent,
        "bytes_received": received,
        "seconds": length.duration,
    }


def _clocks(stack: contextlib.ExitStack, loops: dict[int, int]) -> dict[int, ThreadClock]:
    return {tid: stack.enter_context(ThreadClock(pid, (tid,))) for pid, tid in loops.items()}


def _idle(server: Server) -> dict[str, Any]:
    """Returns what the server's processes use while nobody calls: health checks, heartbeats, the control loop."""
    time.sleep(1.0)
    before = cpu.snapshot(server.pid)
    time.sleep(_IDLE)
    return {"server_cpu": cpu.by_role(before, cpu.snapshot(server.pid)), "seconds": _IDLE}
