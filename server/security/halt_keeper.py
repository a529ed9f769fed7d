"""Keeps a replica's halts and the store's the same: reads it all the time, writes changes, and logs both.

Owns what happens while the store is gone: what was known last stays in force; a halt is obeyed here at once and stored
as soon as the store is back; a replica that has never read it refuses everything, unless the settings say otherwise.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from collections.abc import Coroutine, Mapping
from typing import Any

from server.security.halt import Halt, HaltScope, ScopeKind, time_text
from server.security.halt_set import HaltSet
from server.security.halt_store import HaltStore, HaltStoreError
from server.security.halt_view import Halts

logger = logging.getLogger("tickserve")

INTERVAL = 0.25
"""Seconds between two looks: with the look's own time, every replica knows of a change within half a second."""
READING = "halts-read"
"""Name of the task that reads the store."""
_READ_TIMEOUT = 1.0
_WRITE_TIMEOUT = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HaltState:
    """How the halts of a replica stand.

    Attributes:
        counts: Halts in force, by kind.
        is_stale: Whether the store cannot be read, so that what was known last is in force.
        is_closed: Whether the store was never read, so that everything is refused.
    """

    counts: Mapping[ScopeKind, int] = dataclasses.field(default_factory=dict)
    is_stale: bool = False
    is_closed: bool = False


class HaltKeeper:
    """Reads and changes.

    Args:
        halts: The replica's view; kept up to date.
        store: Where the halts are.
        fail_closed: Whether a replica that has never read the store refuses everything.
        interval: Seconds between two looks.
    """

    def __init__(self, halts: Halts, store: HaltStore, *, fail_closed: bool = True, interval: float = INTERVAL) -> None:
        self._halts = halts
        self._store = store
        self._fail_closed = fail_closed
        self._interval = interval
        self._error = ""
        # Halts that the store has not taken yet.
        self._unstored: dict[HaltScope, Halt] = {}
        # Kept beyond its time limit: a folder that hangs must not be given one thread after the other.
        self._reading: asyncio.Task[HaltSet] | None = None

    @property
    def state(self) -> HaltState:
        """How the halts stand."""
        counts = Counter(halt.scope.kind for halt in self._halts.current)
        return HaltState(counts=counts, is_stale=bool(self._error), is_closed=self._halts.is_closed)

    async def load(self) -> None:
        """Reads the store for the first time; where that fails, closes the replica or leaves it open, as told."""
        self._halts.is_closed = self._fail_closed
        await self.look()

    async def run(self) -> None:
        """Looks at the store again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except Exception:
                logger.exception("the store of the halts was not looked at")

    async def look(self) -> None:
        """Reads the store and obeys it; one that is gone is told once and changes nothing."""
        try:
            halts = await self._read()
            if halts.generation < self._halts.current.generation:
                halts = await _limited(self._store.restore(self._halts.current))
                logger.error("halts: the store had lost them; %d are in it again", len(halts))
            for halt in list(self._unstored.values()):
                halts = await _limited(self._store.halt(halt))
                self._unstored.pop(halt.scope, None)
        except HaltStoreError as error:
            self._note(str(error))
            return
        self._note("")
        self._halts.is_closed = False
        self._obey(halts)

    async def halt(self, halt: Halt) -> Halt:
        """Halts: here at once, in the store before it returns, and from there everywhere.

        Returns:
            The halt in force, which has the first time where its scope was halted already.

        Raises:
            HaltStoreError: The store has not taken it. This replica obeys it, and stores it when the store is back.
        """
        logger.warning("halt asked for: %s", halt.scope, extra=_told(halt))
        self._unstored[halt.scope] = halt
        self._obey(self._halts.current.halted(halt), generation=self._halts.current.generation)
        halts = await _limited(self._store.halt(halt))
        self._unstored.pop(halt.scope, None)
        self._obey(halts)
        return halts.halts.get(halt.scope, halt)

    async def resume(self, scope: HaltScope, *, author: str, reason: str) -> Halt | None:
        """Ends the halt of a scope, in the store and here; None: there was none.

        Raises:
            HaltStoreError: The store has not taken it, and the halt stays.
        """
        former = self._halts.current.halts.get(scope)
        extra = {"scope": str(scope), "author": author, "resume_reason": reason, "was_halted": former is not None}
        logger.warning("resume asked for: %s", scope, extra=extra)
        halts = await _limited(self._store.resume(scope))
        self._unstored.pop(scope, None)
        self._obey(halts)
        return former

    async def close(self) -> None:
        """Frees what the store holds. Idempotent."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._store.close()

    async def _read(self) -> HaltSet:
        if self._reading is None:
            self._reading = asyncio.get_running_loop().create_task(_as_task(self._store.read()), name=READING)
        done, _ = await asyncio.wait([self._reading], timeout=_READ_TIMEOUT)
        if not done:
            raise HaltStoreError(f"no answer within {_READ_TIMEOUT:g} s")
        reading, self._reading = self._reading, None
        return reading.result()

    def _obey(self, halts: HaltSet, *, generation: int | None = None) -> None:
        """Puts halts in force, and with them those that the store has not taken yet.

        What was read before another change was obeyed is older, and passed over.

        Args:
            halts: As they should be.
            generation: Of the store, where `halts` has been made here.
        """
        if generation is None and halts.generation < self._halts.current.generation:
            return
        number = halts.generation if generation is None else generation
        for halt in self._unstored.values():
            halts = halts.halted(halt)
        change = self._halts.apply(HaltSet(halts.halts, number))
        for halt in change.begun:
            logger.warning("halt in force: %s", halt.scope, extra=_told(halt))
        for halt in change.ended:
            logger.warning("halt ended: %s", halt.scope, extra=_told(halt))

    def _note(self, error: str) -> None:
        if error and error != self._error:
            known = (
                "everything is refused" if self._halts.is_closed else f"the {len(self._halts.current)} known ones hold"
            )
            logger.error("halts: the store cannot be read, %s: %s", known, error)
        elif self._error and not error:
            logger.warning("halts: the store can be read again")
        self._error = error


async def _as_task(work: Coroutine[Any, Any, HaltSet]) -> HaltSet:
    return await work


async def _limited(work: Coroutine[Any, Any, HaltSet]) -> HaltSet:
    try:
        async with asyncio.timeout(_WRITE_TIMEOUT):
            return await work
    except TimeoutError:
        raise HaltStoreError(f"no answer within {_WRITE_TIMEOUT:g} s") from None


def _told(halt: Halt) -> dict[str, str]:
    return {
        "scope": str(halt.scope),
        "author": halt.author,
        "halt_reason": halt.reason,
        "since": time_text(halt.halted_at),
    }
