"""The folder in which the replicas of one node count: living segments, and one archive of what the dead have counted.

Owns who may read and fold, and that no count is lost or told twice whenever a process dies. Knows no library.

A segment whose writer is gone is folded: its totals go to a new archive, which replaces the old one by one rename and
names the segments that are in it; only then are they unlinked. A process that dies between the two leaves segments that
the archive names: they are not counted again, and the next one unlinks them. Gauges go with their writer. Whoever looks
at the folder holds its lock meanwhile.

A version of a model that a replica no longer holds is treated the same way, for its series lie in a segment of their
own: that is closed, folded, and shown again only when some replica holds the version.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import time
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

from server.telemetry.metric_tally import Key, Tally, decode, encode
from server.telemetry.segment import Segment, SegmentReader

_SUFFIX = ".segment"
_ARCHIVE = "archive"
_LOCK = "lock"
# In the archive: the segments that are in it. No metric has an empty name.
_FOLDED = ""
_LOCK_TIMEOUT = 5.0
# A segment that is being made has its name within milliseconds; one that has none after a minute never gets it.
_UNNAMED_FOR = 60.0
_SERIES_AT_ONCE = 32
_PAUSE = 0.0002


class MetricFolder:
    """The folder; made if it is not there. Any number of objects, in any process, may be at one path.

    Args:
        path: Of the folder, on a disk of this machine. It must be ours alone.

    Raises:
        OSError: It cannot be made, or belongs to somebody else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.stat().st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "belongs to another user", str(path))

    def new_segment(self) -> Segment:
        """Returns a new segment of this process.

        Raises:
            OSError: It cannot be made.
        """
        return Segment(self.path / f"{secrets.token_hex(8)}{_SUFFIX}")

    def read(self) -> Mapping[Key, list[float]]:
        """Returns the cells of all series: totals of the living and the dead, gauges of the living.

        Folds what the dead have left. Series about a version are told while some replica holds it. Blocks: not for an
        event loop.

        Raises:
            TimeoutError: Others hold the folder for too long.
            OSError: It cannot be read or written.
        """
        with self._locked(), contextlib.ExitStack() as stack:
            now, past = Tally(), Tally()
            folded = self._read_archive(past)
            gone: list[str] = []
            for path in sorted(self.path.glob(f"*{_SUFFIX}")):
                # Held to the end: nobody takes what is being folded for a segment of a living writer.
                reader = stack.enter_context(SegmentReader(path))
                if reader.writer_lives:
                    now.add_all(_series(reader), gauges=True)
                    continue
                gone.append(path.name)
                if path.name not in folded:
                    past.add_all(_series(reader), gauges=False)
            loaded = now.loaded_versions()
            if gone:
                past.forget_past_versions(kept=loaded)
                self._write_archive(past, gone)
                for name in gone:
                    (self.path / name).unlink()
            self._sweep()
            now.add_all(past.values.items(), gauges=False)
            return now.without_versions_but(loaded)

    def _read_archive(self, tally: Tally) -> set[str]:
        """Adds up the archive, if there is one, and returns the names of the segments in it."""
        folded = set()
        with contextlib.suppress(FileNotFoundError), SegmentReader(self.path / _ARCHIVE) as reader:
            for key, cells in _series(reader):
                if key[0] == _FOLDED:
                    folded.add(key[1][0])
                else:
                    tally.add(key, cells, gauges=False)
        return folded

    def _write_archive(self, tally: Tally, folded: list[str]) -> None:
        draft = Segment(self.path / f"{secrets.token_hex(8)}.draft")
        for key, cells in tally.values.items():
            draft.add(encode(key), len(cells))[:] = memoryview(array("d", cells))
        for name in folded:
            draft.add(encode((_FOLDED, (name,))), 0)
        draft.close()
        draft.path.replace(self.path / _ARCHIVE)

    def _sweep(self) -> None:
        """Unlinks what processes left that died while they made a file."""
        for path in self.path.glob("*.draft"):
            path.unlink()
        for path in self.path.glob(".*.new"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _UNNAMED_FOR:
                    path.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        file = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            give_up_at = time.monotonic() + _LOCK_TIMEOUT
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up_at:
                        raise TimeoutError(f"{self.path} is held by another process") from None
                    time.sleep(0.002)
            yield
        finally:
            os.close(file)


def sweep_folders(parent: Path, *, kept: Path, unused_for: float = 3600.0) -> None:
    """Removes the folders in `parent` in which nobody has counted for `unused_for` seconds: starts of the past.

    Args:
        parent: Folder of metric folders, ours alone.
        kept: One that is not touched.
        unused_for: Seconds since anything was added or removed.
    """
    for path in parent.iterdir():
        with contextlib.suppress(OSError):
            if path == kept or not path.is_dir() or time.time() - path.stat().st_mtime < unused_for:
                continue
            if not any(map(_is_alive, path.glob(f"*{_SUFFIX}"))):
                shutil.rmtree(path)


def _is_alive(path: Path) -> bool:
    with SegmentReader(path) as reader:
        return reader.writer_lives


def _series(reader: SegmentReader) -> Iterator[tuple[Key, list[float]]]:
    for number, (text, cells) in enumerate(reader.series(), 1):
        if number % _SERIES_AT_ONCE == 0:
            # This runs in a thread of a replica that serves: the interpreter would hand over only every 5 ms by itself.
            time.sleep(_PAUSE)
        if (key := decode(text)) is not None:
            yield key, cells
