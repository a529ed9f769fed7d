"""One file of numbers that outlives its writer: a replica counts into it as into memory, and others read it.

Owns the file's format and the lock that tells whether its writer lives. Knows no metric and no folder.

A file is mapped into memory, so what was counted is in the kernel's hands at once and survives the death of the
process, by `kill -9` too, with one store of eight bytes for each number. Its writer holds the file's lock (`flock`)
from before the file has its name; the kernel frees it with the process. Series are only ever added: first the record,
then the length.

    8 bytes magic, int64 length in use; records of: int32 length, int32 length of the key, key as UTF-8, zeros to a
    multiple of 8 bytes, float64 cells
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_MAGIC = b"tickmet1"
_HEADER = 16
_LENGTHS = struct.Struct("<ii")
# Room for what a replica counts as a rule, so that none grows in the middle of a request.
_FIRST_SIZE = 1 << 17


class Segment:
    """A file that this process counts into, by itself. Adding series is not thread-safe, nor is one series' `+=`.

    Args:
        path: Of the file; there is none yet.

    Raises:
        OSError: It cannot be made; the disk may be full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        unnamed = path.with_name(f".{path.name}.new")
        self._file = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._resize(_FIRST_SIZE)
            self._bytes[: len(_MAGIC)] = _MAGIC
            self._used = _HEADER
            self._publish()
            # Whoever sees the file sees it locked.
            unnamed.rename(path)
        except BaseException:
            os.close(self._file)
            unnamed.unlink(missing_ok=True)
            raise

    def add(self, key: str, count: int) -> memoryview[float]:
        """Adds a series of `count` cells, all zero, and returns them; write them as long as you like.

        Raises:
            OSError: The file cannot grow; nothing was added.
        """
        encoded = key.encode()
        padded = -(-len(encoded) // 8) * 8
        length = _LENGTHS.size + padded + 8 * count
        while self._used + length > len(self._bytes):
            self._resize(2 * len(self._bytes))
        start = self._used
        cells = start + _LENGTHS.size + padded
        self._bytes[start : start + _LENGTHS.size] = _LENGTHS.pack(length, len(encoded))
        self._bytes[start + _LENGTHS.size : start + _LENGTHS.size + len(encoded)] = encoded
        self._used += length
        self._publish()
        return self._bytes[cells : cells + 8 * count].cast("d")

    def close(self) -> None:
        """Gives the file up: others may fold it. What is written to it from now on is lost. Idempotent."""
        if self._file >= 0:
            # By name: the mapping holds the file open, and with it the lock, for as long as anybody holds its cells.
            fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = -1

    def _resize(self, size: int) -> None:
        # Reserved and not only declared: on a full disk a page that is missing would end the process with SIGBUS.
        os.posix_fallocate(self._file, 0, size)
        # Cells of the mapping before stay valid: both show the same pages.
        self._bytes = memoryview(mmap.mmap(self._file, size))
        self._length = self._bytes[8:_HEADER].cast("q")

    def _publish(self) -> None:
        self._length[0] = self._used


class SegmentReader:
    """A segment as others see it.

    Args:
        path: Of the file.

    Attributes:
        writer_lives: Whether the writer held its lock when the file was opened. If not, this reader holds it.

    Raises:
        FileNotFoundError: There is none.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.writer_lives = False
        except BlockingIOError:
            self.writer_lives = True

    def __enter__(self) -> SegmentReader:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._file)

    def series(self) -> Iterator[tuple[str, list[float]]]:
        """Yields key and cells of each series, up to one whose length makes no sense; a crash leaves no such."""
        size = os.fstat(self._file).st_size
        if size < _HEADER:
            return
        with mmap.mmap(self._file, size, prot=mmap.PROT_READ) as mapped, memoryview(mapped) as data:
            if data[: len(_MAGIC)] != _MAGIC:
                return
            with data[8:_HEADER].cast("q") as length:
                end = min(length[0], size)
            position = _HEADER
            while position + _LENGTHS.size <= end:
                length_of_record, length_of_key = _LENGTHS.unpack_from(data, position)
                cells = position + _LENGTHS.size + -(-length_of_key // 8) * 8
                following = position + length_of_record
                if length_of_key < 0 or length_of_record % 8 or not position < cells <= following <= end:
                    return
                encoded = bytes(data[position + _LENGTHS.size : position + _LENGTHS.size + length_of_key])
                key = encoded.decode("utf-8", "replace")
                # Number by number, so that none is read while half of it is written.
                with data[cells:following].cast("d") as numbers:
                    values = list(map(float, numbers))
                yield key, values
                position = following
