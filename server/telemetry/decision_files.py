"""The files of one replica's decision log: where the next record goes, when a file ends, which one is deleted.

    <folder>/decisions-<replica>-<number>.log    number from 1, mode 0600, at most `max_bytes` each

A file that once existed is never appended to: its end may be torn. Blocks; one thread. Knows no records.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_NAME: Final = re.compile(r"decisions-(?P<replica>.+)-(?P<number>\d{6,})\.log")


class DecisionFiles:
    """A replica's files.

    Args:
        folder: Made if it is not there, for this user alone.
        replica_id: Names the files; what a file's name cannot have is replaced.
        max_bytes: Size that a file does not exceed, unless a single record does.
        files: Most files of this replica, at least 1; and of all replicas together that are gone.
        fsync: Whether `sync` forces what was written to disk.
    """

    def __init__(self, folder: Path, *, replica_id: str, max_bytes: int, files: int, fsync: bool) -> None:
        self._folder = folder
        self._replica = re.sub(r"[^A-Za-z0-9_.-]+", "-", replica_id)
        self._max_bytes = max_bytes
        self._files = files
        self._fsync = fsync
        self._descriptor: int | None = None
        self._size = 0

    def append(self, frame: bytes) -> None:
        """Writes one record: all of it, or nothing.

        Raises:
            OSError: It was not written.
        """
        if self._descriptor is None or (self._size and self._size + len(frame) > self._max_bytes):
            self.begin()
        assert self._descriptor is not None
        try:
            rest = memoryview(frame)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self._take_back()
            raise
        self._size += len(frame)

    def sync(self) -> None:
        """Forces to disk what was written, where the settings ask for it.

        Raises:
            OSError: The disk failed; what it has is unknown, so the next record begins another file.
        """
        if self._fsync and self._descriptor is not None:
            try:
                os.fsync(self._descriptor)
            except OSError:
                self.close()
                raise

    def close(self) -> None:
        """Ends the current file. Idempotent."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def begin(self) -> None:
        """Begins the next file, and deletes those that are too many.

        Raises:
            OSError: It cannot be; the current one, if there is one, is gone on with.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = max((number_of(path) for path in self._own()), default=0) + 1
        path = self._folder / f"decisions-{self._replica}-{number:06d}.log"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        # Says to other replicas that this one lives; the kernel lets go of it when the process ends, however it ends.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.close()  # only now: without a locked file its others would count as a dead replica's
        self._descriptor, self._size = descriptor, 0
        _delete(self._own()[: -self._files])
        _delete(self._orphans()[: -self._files])

    def _own(self) -> list[Path]:
        """Returns this replica's files, oldest first."""
        return [path for path in decision_files(self._folder) if replica_of(path) == self._replica]

    def _orphans(self) -> list[Path]:
        """Returns the files of replicas that are gone, oldest first."""
        others = [path for path in decision_files(self._folder) if replica_of(path) != self._replica]
        alive = {replica_of(path) for path in others if _is_locked(path)}
        return sorted((path for path in others if replica_of(path) not in alive), key=_age)

    def _take_back(self) -> None:
        """Cuts off the part of a record that was written; a file that cannot be cut is not gone on with."""
        assert self._descriptor is not None
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            with contextlib.suppress(OSError):
                self.close()


def decision_files(folder: Path) -> list[Path]:
    """Returns the files of all decision logs in a folder, by replica, oldest first.

    Raises:
        OSError: The folder cannot be read.
    """
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: (replica_of(path), number_of(path)))


def replica_of(path: Path) -> str:
    """Returns which replica wrote a file, as its name has it."""
    found = _NAME.fullmatch(path.name)
    return found["replica"] if found else ""


def number_of(path: Path) -> int:
    """Returns a file's number."""
    found = _NAME.fullmatch(path.name)
    return int(found["number"]) if found else 0


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _delete(paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):  # another replica was quicker, or may not: the next rotation tries again
            path.unlink()
