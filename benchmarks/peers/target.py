"""A server under measurement, in a process of its own: start, wait until it answers, pause, stop.

Pausing stops every process of a server (SIGSTOP), so that servers which wait for their turn cost the two cores
nothing; they go on where they were.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

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
        address: Where it answers gRPC.
    """

    name: str
    title: str
    command: Sequence[str]
    environment: Mapping[str, str]
    address: str


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    target: Target
    pid: int

    def pause(self) -> None:
        """Stops all its processes until `resume`, parents first, so that none starts another unseen."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in [self.pid, *descendants(self.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


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
            _stop(server, process)


def free_ports(count: int) -> list[int]:
    """Returns ports of the loopback that nobody listens on now, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _written(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    # pread: the child writes at the shared offset, which must stay at the end.
    return os.pread(descriptor, size, 0).decode(errors="replace")


def _stop(server: Server, process: subprocess.Popen[str]) -> None:
    server.resume()
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
