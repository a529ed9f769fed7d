"""Starts a tick generator in a process of its own and reads processor time and memory meanwhile.

A generator that hangs is killed by pid; nothing outlives the call.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.load import cpu, processes
from benchmarks.load.runner import LoadError
from benchmarks.streams.plan import StreamPlan

_READY_TIMEOUT = 360.0
_LEAD = 0.1
# Seconds beyond the traffic for what is unanswered, the windows' comparison and the end.
_GRACE = 60.0
_SETTLE_READINGS = 8
_SETTLE_INTERVAL = 0.25


class Generator:
    """A generator whose streams are open and whose windows are full.

    Args:
        plan: What it does.
        process: Its process; see `benchmarks.streams.worker`.
    """

    def __init__(self, plan: StreamPlan, process: subprocess.Popen[str]) -> None:
        self._plan = plan
        self._process = process

    def run(self, server_pid: int) -> dict[str, Any]:
        """Has it send, and returns its result document with the processor seconds of all during the window.

        Raises:
            LoadError: It failed or hung.
        """
        plan = self._plan
        start_at = time.monotonic() + _LEAD
        _tell(self._process, repr(start_at))
        used: dict[str, Any] = {}
        if plan.duration:
            time.sleep(max(0.0, start_at + plan.warm_up - time.monotonic()))
            busy, stolen = cpu.machine_seconds()
            before = cpu.snapshot(server_pid)
            time.sleep(max(0.0, start_at + plan.warm_up + plan.duration - time.monotonic()))
            after = cpu.snapshot(server_pid)
            busy_after, stolen_after = cpu.machine_seconds()
            used = {
                "server_cpu": cpu.by_role(before, after),
                "replica_threads": cpu.busiest(before, after, role="replica"),
                "machine_cpu": busy_after - busy,
                "stolen_cpu": stolen_after - stolen,
            }
        try:
            output, _ = self._process.communicate(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            raise LoadError(f"{plan.name}: the generator did not end within {_GRACE:g} s after its window") from None
        if self._process.returncode != 0:
            raise LoadError(f"{plan.name}: the generator failed; what it said is above")
        document: dict[str, Any] = json.loads(output.splitlines()[-1])
        document |= used
        if used:
            ours = sum(document["server_cpu"].values()) + document["client_cpu_seconds"]
            document["foreign_cpu"] = max(0.0, document["machine_cpu"] - ours)
        return document


@contextlib.contextmanager
def ready(plan: StreamPlan) -> Iterator[Generator]:
    """Runs a generator up to the moment at which its streams are open and its windows full.

    Raises:
        LoadError: It failed or hung.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.streams.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        _tell(process, plan.to_json())
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], _READY_TIMEOUT)[0]:
            raise LoadError(f"{plan.name}: the generator was not ready within {_READY_TIMEOUT:g} s")
        if process.stdout.readline().strip() != "ready":
            raise LoadError(f"{plan.name}: the generator ended at its start; what it said is above")
        yield Generator(plan, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def run(plan: StreamPlan, *, server_pid: int) -> dict[str, Any]:
    """Runs a whole plan; see `Generator.run`.

    Raises:
        LoadError: The generator failed or hung.
    """
    with ready(plan) as generator:
        return generator.run(server_pid)


def settled_memory(server_pid: int) -> dict[str, int]:
    """Returns the resident bytes of the server's processes by role: the least of the readings of two quiet seconds."""
    readings = []
    for _ in range(_SETTLE_READINGS):
        time.sleep(_SETTLE_INTERVAL)
        readings.append(_resident(server_pid))
    return {role: min(reading.get(role, 0) for reading in readings) for role in readings[-1]}


def _resident(server_pid: int) -> dict[str, int]:
    resident: dict[str, int] = {}
    for pid, role in processes.roles(server_pid).items():
        with contextlib.suppress(OSError):  # it ended meanwhile
            resident[role] = resident.get(role, 0) + processes.resident_bytes(pid)
    return resident


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
