"""Which replicas and HAProxy processes there are, and when each came and went."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Iterator

from benchmarks.load.processes import roles

_INTERVAL = 0.2
_WATCHED = ("replica", "haproxy")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A process that came or went.

    Attributes:
        at: When it was noticed, seconds of the wall clock; up to a fifth of a second late.
        role: `replica` or `haproxy`.
        pid: Its own.
        came: Whether it came; else it went.
    """

    at: float
    role: str
    pid: int
    came: bool


class Census:
    """The comings and goings below a server's root process.

    Args:
        root: Its process id.

    Attributes:
        changes: In order of time; the first ones are those that were there at the start.
        present: Those that are there now, by process id.
    """

    def __init__(self, root: int) -> None:
        self.changes: list[Change] = []
        self.present: dict[int, str] = {}
        self._root = root
        self._stop = threading.Event()

    def count(self, role: str) -> int:
        """Returns how many processes of a role there are."""
        return sum(each == role for each in self.present.values())

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Watches while the context is entered."""
        self._look()
        thread = threading.Thread(target=self._run, name="census", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self._look()

    def _look(self) -> None:
        found = {pid: role for pid, role in roles(self._root).items() if role in _WATCHED}
        now = time.time()
        for pid in found.keys() - self.present.keys():
            self.changes.append(Change(at=now, role=found[pid], pid=pid, came=True))
        for pid in self.present.keys() - found.keys():
            self.changes.append(Change(at=now, role=self.present[pid], pid=pid, came=False))
        self.present = found
