"""Reads decision logs, whatever state they are in. Owns the way from a path to decisions; judges none of them."""

from __future__ import annotations

import dataclasses
import mmap
from collections.abc import Iterator
from pathlib import Path

from server.telemetry.decision import Decision
from server.telemetry.decision_files import decision_files
from server.telemetry.decision_frame import Damage, UnreadableDecisionError, decode, split


class UnreadableLogError(Exception):
    """There is no decision log here, or it cannot be read; the message names the path and the remedy."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A place in a file that is no decision.

    Attributes:
        file: Where.
        offset: First byte.
        length: Bytes; 0 for a record that is intact and cannot be understood.
        reason: What is wrong, for people.
        is_tail: Whether it is the unfinished record at a file's end that a killed process leaves.
    """

    file: Path
    offset: int
    length: int
    reason: str
    is_tail: bool = False


def log_files(path: Path) -> list[Path]:
    """Returns the files of a log: the path itself, or those in the folder, by replica, oldest first.

    Raises:
        UnreadableLogError: There are none.
    """
    try:
        if not path.is_dir():
            path.stat()
            return [path]
        found = decision_files(path)
    except OSError as error:
        raise UnreadableLogError(f"{path}: {error.strerror}; name a file of a decision log, or its folder.") from None
    if not found:
        raise UnreadableLogError(f"{path} has no decision log; name the folder that decisions.path has.")
    return found


def read_log(path: Path) -> Iterator[tuple[Path, Decision | Finding]]:
    """Yields what is in a log, each with its file.

    A file that is being written is read up to where it was when it was opened.

    Raises:
        UnreadableLogError: There is none, or a file cannot be read.
    """
    for file in log_files(path):
        for item in _read_file(file):
            yield file, item


def _read_file(path: Path) -> Iterator[Decision | Finding]:
    try:
        with path.open("rb") as file:
            if not file.seek(0, 2):
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield from (_read_item(path, item) for item in split(data))
    except (OSError, ValueError) as error:
        raise UnreadableLogError(f"{path}: {error}; check that it is a file, and its permissions.") from None


def _read_item(path: Path, item: tuple[int, bytes] | Damage) -> Decision | Finding:
    if isinstance(item, Damage):
        reason = "a record without its end" if item.is_tail else "no intact record"
        return Finding(file=path, offset=item.offset, length=item.length, reason=reason, is_tail=item.is_tail)
    offset, payload = item
    try:
        return decode(payload)
    except UnreadableDecisionError as error:
        return Finding(file=path, offset=offset, length=0, reason=str(error))
