"""The processes that this one has started, directly or not: found and ended by pid, so that nothing is left behind.

Ray starts daemons that start daemons, and some outlive their parents. A subreaper inherits such orphans, so the whole
family stays below it and can be ended without guessing names. Linux only, as is HAProxy in Ray Serve.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes this process the one that inherits its descendants' orphans.

    Raises:
        OSError: The kernel refuses.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Asks the kernel to send this process SIGTERM when its parent dies, however it dies.

    Raises:
        OSError: The kernel refuses.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def descendants(root: int | None = None) -> list[int]:
    """Returns the pids of all living descendants of a process (default: this one), parents before children."""
    children: dict[int, list[int]] = {}
    dead: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name in parentheses may hold spaces; what follows the last parenthesis does not.
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                children.setdefault(int(parent), []).append(int(entry.name))
                # Kept as a link: a child that was read before its parent died still hangs on it.
                if state == "Z":
                    dead.add(int(entry.name))
    found: list[int] = []
    waiting = [os.getpid() if root is None else root]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return [pid for pid in found if pid not in dead]


def end_descendants(*, grace: float) -> list[int]:
    """Ends every descendant of this process: asks first, and kills what is still there after `grace` seconds.

    Returns:
        The pids that had to be killed.
    """
    _signal(descendants(), signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (left := _reaped_descendants()) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signal(left, signal.SIGKILL)
    end = time.monotonic() + grace
    while _reaped_descendants() and time.monotonic() < end:
        time.sleep(0.02)
    return left


def _reaped_descendants() -> list[int]:
    """Collects the dead among our children, so that none stays as a zombie, and returns the living."""
    # Twice before there is none: one whose parent ends and is collected meanwhile may hang on nobody for a moment.
    # Collected after the look: who dies in between was seen alive, and is looked for again.
    living = descendants() or descendants()
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return living


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}) failed: {os.strerror(number)}")
