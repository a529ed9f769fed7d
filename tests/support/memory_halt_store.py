"""The store of the halts in memory, which a test breaks, empties and holds: for laws of whoever reads it."""

from __future__ import annotations

import asyncio

from server.security.halt import Halt, HaltScope
from server.security.halt_set import HaltSet
from server.security.halt_store import HaltStoreError


class MemoryHaltStore:
    """Implements `HaltStore`.

    Attributes:
        halts: What it holds.
        fails: Whether it is gone.
        held: While clear, a read gets what was there and waits.
    """

    def __init__(self) -> None:
        self.halts = HaltSet()
        self.fails = False
        self.held = asyncio.Event()
        self.held.set()

    async def read(self) -> HaltSet:
        """Returns what it holds."""
        self._check()
        halts = self.halts
        await self.held.wait()
        return halts

    async def halt(self, halt: Halt) -> HaltSet:
        """Adds one."""
        self._check()
        self.halts = self.halts.halted(halt)
        return self.halts

    async def resume(self, scope: HaltScope) -> HaltSet:
        """Takes one out."""
        self._check()
        self.halts = self.halts.resumed(scope)
        return self.halts

    async def restore(self, known: HaltSet) -> HaltSet:
        """Joins what was lost."""
        self._check()
        if self.halts.generation < known.generation:
            self.halts = self.halts.joined(known)
        return self.halts

    async def close(self) -> None:
        """Does nothing."""

    def _check(self) -> None:
        if self.fails:
            raise HaltStoreError("gone")
