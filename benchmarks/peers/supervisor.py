"""The process that a Ray-based peer runs under: it starts the peer, inherits its orphans and ends them all.

It never joins Ray itself, so it can stop what hangs; `server.launcher` does the same for tickserve.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from server import process_tree

_START_TIMEOUT = 120.0
_STOP_TIMEOUT = 5.0
_KILL_GRACE = 2.0
READY = "ready"


def supervise(command: Sequence[str], *, environment: Mapping[str, str], announcement: str) -> int:
    """Runs a command until SIGTERM or SIGINT, then ends it and everything that it has started.

    Args:
        command: Prints `ready` on a line of its own when it answers; ends on SIGTERM.
        environment: Of the command.
        announcement: Printed when it is ready.

    Returns:
        The exit code: 0 if it was told to stop, 1 if the command did not start or ended by itself.
    """
    process_tree.adopt_orphans()
    process_tree.die_with_parent()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    child = subprocess.Popen(
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        if not _await_ready(child, stop):
            return 1
        sys.stdout.write(announcement + "\n")
        sys.stdout.flush()
        while not stop.wait(0.2):
            if child.poll() is not None:
                return 1
        return 0
    finally:
        _stop(child)


def announce_and_wait() -> None:
    """Tells the supervisor that the command answers, and returns when it is to end."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    stop.wait()


def _await_ready(child: subprocess.Popen[str], stop: threading.Event) -> bool:
    assert child.stdout is not None
    deadline = time.monotonic() + _START_TIMEOUT
    while time.monotonic() < deadline and not stop.is_set():
        if select.select([child.stdout], [], [], 0.2)[0]:
            line = child.stdout.readline()
            if line.strip() == READY:
                return True
            if not line:
                return False
    return False


def _stop(child: subprocess.Popen[str]) -> None:
    if child.poll() is None:
        os.kill(child.pid, signal.SIGTERM)
    try:
        child.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        pass  # Ray's shutdown can hang; what is left is ended below
    finally:
        if child.stdout is not None:
            child.stdout.close()
        process_tree.end_descendants(grace=_KILL_GRACE)
        child.returncode = child.returncode if child.returncode is not None else -signal.SIGKILL
