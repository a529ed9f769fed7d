"""The machine below a replica: no room for logs, no descriptors, another time."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from pathlib import Path

from benchmarks.chaos.faults.fault import Fault
from benchmarks.chaos.stage import Kind, Stage

_BLOCK = 1 << 20


class LogFolderFull(Fault):
    """Not a byte more fits where Ray and the replicas write their logs."""

    name = "log_folder_full"
    title = "log folder full, {hold:g} s"
    hold = 15.0
    kind = Kind.SMALL_DISK

    def inject(self, stage: Stage) -> None:
        """Fills it."""
        self._file = stage.disk / "filling"
        with self._file.open("wb", buffering=0) as file:
            size = _BLOCK
            while size:
                try:
                    file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2
        free = os.statvfs(stage.disk)
        self.facts["bytes left"] = str(free.f_bavail * free.f_frsize)

    def heal(self, stage: Stage) -> None:  # noqa: ARG002 - the file and the process are known
        """Makes room."""
        self._file.unlink()


class DescriptorsExhausted(Fault):
    """A replica may open nothing more: no file, no connection."""

    name = "descriptors_exhausted"
    title = "a replica's descriptors exhausted, {hold:g} s"
    hold = 10.0

    def inject(self, stage: Stage) -> None:
        """Lowers the limit of the first to what it has open."""
        self._pid = stage.pids("replica")[0]
        highest = max(int(link.name) for link in Path(f"/proc/{self._pid}/fd").iterdir())
        self._limits = resource.prlimit(self._pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self._pid, resource.RLIMIT_NOFILE, (highest + 1, self._limits[1]))

    def heal(self, stage: Stage) -> None:  # noqa: ARG002 - the file and the process are known
        """Lifts it again, if the replica is still there."""
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self._pid, resource.RLIMIT_NOFILE, self._limits)


class ClockJumped(Fault):
    """One replica's realtime clock jumps an hour ahead, and back; monotonic clocks do not."""

    name = "clock_jumped"
    title = "realtime clock of a replica an hour ahead, {hold:g} s"
    hold = 10.0
    kind = Kind.OWN_CLOCK
    _AHEAD = 3600

    def inject(self, stage: Stage) -> None:
        """Sets the first replica's clock."""
        self._file = stage.clocks / str(stage.pids("replica")[0])
        # At once, as it is read: never half a number.
        draft = self._file.with_suffix(".draft")
        draft.write_text(f"{self._AHEAD}\n")
        draft.rename(self._file)

    def heal(self, stage: Stage) -> None:  # noqa: ARG002 - the file and the process are known
        """Sets it back."""
        self._file.unlink()
