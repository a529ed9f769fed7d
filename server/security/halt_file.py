"""Halts in a file, for one machine, or for several that share a folder.

Owns the file: it is replaced as a whole and synced, so that a crash leaves the former halts or the new ones, and two
who change it at a time wait for each other. No file means no halts; whoever has seen some knows that it was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from server.security.halt import Halt, HaltScope
from server.security.halt_document import parse_halts, render_halts
from server.security.halt_set import HaltSet
from server.security.halt_store import HaltStoreError

FILE_NAME = "halts.json"

_Fingerprint = tuple[int, int, int]


class HaltFile:
    """Implements `HaltStore`.

    Args:
        folder: Where the file lies, made with the first change; the same on every node that shares it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        # What was read last, and what the file looked like before that; replaced as a whole, whichever thread reads.
        self._seen: tuple[_Fingerprint, HaltSet] | None = None

    async def read(self) -> HaltSet:
        """Reads the file if it has changed; see `HaltStore`."""
        return await asyncio.to_thread(self._read)

    async def halt(self, halt: Halt) -> HaltSet:
        """Adds one; see `HaltStore`."""
        return await asyncio.to_thread(self._change, lambda halts: halts.halted(halt))

    async def resume(self, scope: HaltScope) -> HaltSet:
        """Takes one out; see `HaltStore`."""
        return await asyncio.to_thread(self._change, lambda halts: halts.resumed(scope))

    async def restore(self, known: HaltSet) -> HaltSet:
        """Brings back what was lost; see `HaltStore`."""

        def restored(halts: HaltSet) -> HaltSet:
            return halts if halts.generation >= known.generation else halts.joined(known)

        return await asyncio.to_thread(self._change, restored)

    async def close(self) -> None:
        """Does nothing: between two calls nothing is open."""

    def _read(self) -> HaltSet:
        # Looked at before it is read: what changes meanwhile is seen at the next look.
        fingerprint, seen = self._fingerprint(), self._seen
        if fingerprint is None:
            return HaltSet()
        if seen is not None and seen[0] == fingerprint:
            return seen[1]
        try:
            halts = parse_halts(self.path.read_bytes())
        except OSError as error:
            raise HaltStoreError(f"{self.path}: {error.strerror}") from None
        except HaltStoreError as error:
            raise HaltStoreError(f"{self.path}: {error}") from None
        self._seen = (fingerprint, halts)
        return halts

    def _change(self, changed: Callable[[HaltSet], HaltSet]) -> HaltSet:
        folder = self.path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            locked = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                # The folder, because the file itself is another one after each change.
                fcntl.flock(locked, fcntl.LOCK_EX)
                former = self._read()
                halts = changed(former)
                if halts is not former:
                    self._write(halts)
                    os.fsync(locked)
                return halts
            finally:
                os.close(locked)
        except OSError as error:
            raise HaltStoreError(f"{error.filename or self.path}: {error.strerror}") from None

    def _write(self, halts: HaltSet) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{FILE_NAME}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(render_halts(halts))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def _fingerprint(self) -> _Fingerprint | None:
        """Returns what changes whenever the file is replaced; None: there is no file.

        Raises:
            HaltStoreError: Nobody can tell whether there is one.
        """
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HaltStoreError(f"{self.path}: {error.strerror}") from None
        return (state.st_ino, state.st_mtime_ns, state.st_size)
