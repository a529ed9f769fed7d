"""Processor time of a server's processes and threads, by pid, from /proc. Linux only, as the servers are."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from server.process_tree import descendants

_TICKS = os.sysconf("SC_CLK_TCK")
# The first match names the role; what matches none is Ray's own machinery.
_ROLES = (
    ("ray::ServeReplica", "replica"),
    ("haproxy", "haproxy"),
    ("ray::ProxyActor", "proxy"),
    ("ray::HAProxyManager", "haproxy manager"),
    ("ray::ServeController", "controller"),
)


class Thread(NamedTuple):
    """One thread, by what stays the same while it lives."""

    role: str
    pid: int
    tid: int
    name: str


def snapshot(root: int) -> dict[Thread, float]:
    """Returns the processor seconds used so far by every thread of a process and of its descendants."""
    used: dict[Thread, float] = {}
    for pid in [root, *descendants(root)]:
        with contextlib.suppress(OSError):  # it ended meanwhile
            role = role_of(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    name, seconds = parse_stat((task / "stat").read_text())
                    used[Thread(role, pid, int(task.name), name)] = seconds
    return used


def machine_seconds() -> tuple[float, float]:
    """Returns the processor seconds that the machine has been busy, and those that its host has kept from it."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _waiting, interrupts, soft, stolen = fields
    return (user + nice + system + interrupts + soft) / _TICKS, stolen / _TICKS


def role_of(command: str) -> str:
    """Returns the part that a process plays, from its command line."""
    return next((role for prefix, role in _ROLES if _is_command(command, prefix)), "ray and launcher")


def parse_stat(stat: str) -> tuple[str, float]:
    """Returns name and processor seconds, user and system, from a line of /proc/<pid>/stat."""
    head, _, tail = stat.rpartition(")")
    fields = tail.split()
    return head.partition("(")[2], (int(fields[11]) + int(fields[12])) / _TICKS


def by_role(before: dict[Thread, float], after: dict[Thread, float]) -> dict[str, float]:
    """Returns the processor seconds used between two snapshots, by role."""
    used: dict[str, float] = {}
    for thread, seconds in after.items():
        used[thread.role] = used.get(thread.role, 0.0) + seconds - before.get(thread, 0.0)
    return {role: round(seconds, 2) for role, seconds in sorted(used.items())}


def busiest(
    before: dict[Thread, float], after: dict[Thread, float], *, role: str, count: int = 6
) -> list[tuple[str, float]]:
    """Returns name and seconds of a role's threads that used most between two snapshots, greatest first."""
    used = [(t.name, round(s - before.get(t, 0.0), 2)) for t, s in after.items() if t.role == role]
    return sorted(used, key=lambda item: -item[1])[:count]


def _is_command(command: str, prefix: str) -> bool:
    words = command.split(" ", 1)
    return command.startswith(prefix) or os.path.basename(words[0]) == prefix
