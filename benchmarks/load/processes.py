"""A server's processes from /proc: which part each plays, and the memory it holds. Linux only, as the servers are."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from benchmarks.load.cpu import role_of
from server.process_tree import descendants


def roles(root: int) -> dict[int, str]:
    """Returns the part that each process below a server's root process plays, by process id."""
    found = {}
    for pid in descendants(root):
        with contextlib.suppress(OSError):  # it ended meanwhile
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found[pid] = role_of(command)
    return found


def replica_pid(root: int) -> int:
    """Returns the process id of the one replica below a server's root process.

    Raises:
        ValueError: There is none, or more than one.
    """
    found = [pid for pid, role in roles(root).items() if role == "replica"]
    if len(found) != 1:
        raise ValueError(f"{len(found)} replicas below process {root}, not one")
    return found[0]


def resident_bytes(pid: int) -> int:
    """Returns the resident memory of a process.

    Raises:
        OSError: It has ended.
    """
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
