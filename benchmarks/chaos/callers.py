"""Runs the callers' process and takes its result."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.chaos.caller import READY
from benchmarks.chaos.plan import CallerPlan
from benchmarks.chaos.record import Record, from_rows
from benchmarks.peers.catalogue import ROOT
from benchmarks.peers.target import TargetError

# The longest deadline, the streams' last words and the writing; a busy machine takes its time.
_END_TIMEOUT = 90.0


@dataclass
class Called:
    """What callers saw; filled when they have ended.

    Attributes:
        started_at: Monotonic seconds.
        records: Of all requests.
        retries: That the library made.
        refused_by_budget: That its budget did not allow.
        reconnects: Of its tick streams.
        lost_streams: Why streams ended for good, each.
    """

    started_at: float
    records: list[Record] = field(default_factory=list)
    retries: int = 0
    refused_by_budget: int = 0
    reconnects: int = 0
    lost_streams: list[str] = field(default_factory=list)


@contextlib.contextmanager
def calling(plan: CallerPlan) -> Iterator[Called]:
    """Calls while the context is entered; the result is complete when it has been left.

    Raises:
        TargetError: The callers' process ended too early, or did not end.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.chaos.caller"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(plan.to_json() + "\n")
        process.stdin.flush()
        if process.stdout.readline().strip() != READY:
            raise TargetError("the callers did not start")
        called = Called(time.monotonic())
        yield called
        try:
            output, _ = process.communicate(timeout=_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise TargetError("the callers did not end") from None
        if process.returncode:
            raise TargetError(f"the callers ended with {process.returncode}")
        _fill(called, json.loads(output))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def _fill(called: Called, document: dict[str, object]) -> None:
    rows = document.pop("records")
    assert isinstance(rows, list)
    called.records = list(from_rows(rows))
    for name, value in document.items():
        setattr(called, name, value)
