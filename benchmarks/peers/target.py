"""A server under measurement, in a process of its own: start, wait until it answers, stop; nothing is left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from server.process_tree import descendants

_START_TIMEOUT = 180.0
_STOP_TIMEOUT = 30.0


class TargetError(RuntimeError):
    """A server did not start; the message holds the end of what it wrote."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How a server is started.

    Attributes:
        name: In reports.
        title: In reports, in words.
        command: Prints a line with `ready` when it answers, ends on SIGTERM and leaves nothing behind.
        environment: Of the command.
        folder: Where the command runs: no checkout, which Python would import from, and no settings file.
        address: Where it answers gRPC.
    """

    name: str
    title: str
    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    target: Target
    pid: int


@contextmanager
def running(target: Target) -> Iterator[Server]:
    """Runs a server while the context is entered.

    Raises:
        TargetError: It did not start.
    """
    with tempfile.TemporaryFile("w+", prefix=f"{target.name}-") as log:
        process = subprocess.Popen(
            list(target.command),
            env=dict(target.environment),
            cwd=target.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the harness alone, which then stops its servers in order
        )
        server = Server(target, process.pid)
        try:
            deadline = time.monotonic() + _START_TIMEOUT
            while " ready " not in (output := _written(log.fileno())):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise TargetError(f"{target.name} did not start:\n{output[-2000:]}")
                time.sleep(0.2)
            yield server
        finally:
            _stop(process)


def free_ports(count: int) -> list[int]:
    """Returns ports of the loopback that nobody listens on now, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def free_range(count: int) -> int:
    """Returns the first of `count` successive ports that nobody listens on now; below those that the system hands out.

    Raises:
        TargetError: There is no such range.
    """
    starts = list(range(20_000, 32_000 - count, count))
    random.shuffle(starts)  # two servers that start at once must not find the same
    for first in starts:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise TargetError(f"no {count} successive ports are free")


def _written(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    # pread: the child writes at the shared offset, which must stay at the end.
    return os.pread(descriptor, size, 0).decode(errors="replace")


def _stop(process: subprocess.Popen[str]) -> None:
    family = descendants(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        for pid in [process.pid, *family]:  # our own descendants, by pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
