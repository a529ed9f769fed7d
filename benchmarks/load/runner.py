"""Starts generators, each in a process of its own, all at one instant, and watches the servers' processor time.

What the harness of every benchmark calls. A generator that hangs is killed by pid; nothing outlives the call.
"""

from __future__ import annotations

import dataclasses
import json
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.load import cpu
from benchmarks.load.plan import Plan

_START_TIMEOUT = 60.0
# Seconds between the last generator's `ready` and the first request.
_LEAD = 0.1
# Seconds beyond the window and the longest RPC timeout before a generator is taken for hung.
_GRACE = 20.0


class LoadError(RuntimeError):
    """A generator failed; the message holds the end of what it wrote."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadRun:
    """What a run gave.

    Attributes:
        results: Result document of each generator, in the plans' order.
        server_cpu: Processor seconds during the window, by role, of each watched server.
        replica_threads: Name and seconds of the busiest threads of each watched server's replica.
        machine_cpu: Processor seconds that the whole machine was busy during the window.
        stolen_cpu: Processor seconds that its host kept from it.
    """

    results: list[dict[str, Any]]
    server_cpu: dict[str, dict[str, float]]
    replica_threads: dict[str, list[tuple[str, float]]]
    machine_cpu: float
    stolen_cpu: float

    def traffic(self, name: str) -> dict[str, Any]:
        """Returns the figures of one kind of traffic, whichever generator sent it."""
        [figures] = [result["traffic"][name] for result in self.results if name in result["traffic"]]
        return dict(figures)

    @property
    def client_cpu(self) -> float:
        """Processor seconds of all generators during the window."""
        return float(sum(result["client_cpu_seconds"] for result in self.results))

    @property
    def foreign_cpu(self) -> float:
        """Processor seconds of everything that is neither a watched server nor a generator."""
        ours = sum(sum(roles.values()) for roles in self.server_cpu.values()) + self.client_cpu
        return max(0.0, self.machine_cpu - ours)

    @property
    def windows_used(self) -> int:
        """Greatest number of windows that any generator has used, from its first one."""
        return max(int(result["windows_used"]) for result in self.results)


def run(plans: Sequence[Plan], *, watch: Mapping[str, int]) -> LoadRun:
    """Runs plans of equal times side by side.

    Args:
        plans: One generator each; their warm-ups and durations agree.
        watch: Servers by name, with the pid at the root of their processes.

    Raises:
        LoadError: A generator failed or hung.
        ValueError: The plans' times differ.
    """
    if len({(plan.warm_up, plan.duration) for plan in plans}) != 1:
        raise ValueError("plans that run side by side must agree in warm_up and duration")
    generators = [_start() for _ in plans]
    try:
        for generator, plan in zip(generators, plans, strict=True):
            _tell(generator, plan.to_json())
        for generator in generators:
            _await_ready(generator)
        start_at = time.monotonic() + _LEAD
        for generator in generators:
            _tell(generator, repr(start_at))
        before, after, machine_cpu, stolen_cpu = _watch(watch, start_at + plans[0].warm_up, plans[0].duration)
        limit = max(traffic.rpc_timeout for plan in plans for traffic in plan.traffic) + _GRACE
        results = [_collect(generator, limit) for generator in generators]
    finally:
        for generator in generators:
            _end(generator)
    return LoadRun(
        results=results,
        server_cpu={name: cpu.by_role(before[name], after[name]) for name in watch},
        replica_threads={name: cpu.busiest(before[name], after[name], role="replica") for name in watch},
        machine_cpu=machine_cpu,
        stolen_cpu=stolen_cpu,
    )


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _tell(generator: subprocess.Popen[str], line: str) -> None:
    assert generator.stdin is not None
    generator.stdin.write(line + "\n")
    generator.stdin.flush()


def _await_ready(generator: subprocess.Popen[str]) -> None:
    assert generator.stdout is not None
    if not select.select([generator.stdout], [], [], _START_TIMEOUT)[0]:
        raise LoadError(f"a generator did not start within {_START_TIMEOUT:g} s")
    if generator.stdout.readline().strip() != "ready":
        raise LoadError("a generator ended at its start; what it said is above")


Snapshots = dict[str, dict[cpu.Thread, float]]


def _watch(roots: Mapping[str, int], start: float, duration: float) -> tuple[Snapshots, Snapshots, float, float]:
    time.sleep(max(0.0, start - time.monotonic()))
    busy, stolen = cpu.machine_seconds()
    before = {name: cpu.snapshot(pid) for name, pid in roots.items()}
    time.sleep(max(0.0, start + duration - time.monotonic()))
    after = {name: cpu.snapshot(pid) for name, pid in roots.items()}
    busy_after, stolen_after = cpu.machine_seconds()
    return before, after, busy_after - busy, stolen_after - stolen


def _collect(generator: subprocess.Popen[str], limit: float) -> dict[str, Any]:
    try:
        output, _ = generator.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        raise LoadError(f"a generator did not end within {limit:g} s after its window") from None
    if generator.returncode != 0:
        raise LoadError(f"a generator failed with exit code {generator.returncode}; what it said is above")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def _end(generator: subprocess.Popen[str]) -> None:
    if generator.poll() is None:
        generator.kill()
    generator.wait()
    for pipe in (generator.stdin, generator.stdout):
        if pipe is not None:
            pipe.close()
