"""Writes changed windows behind the streams' backs: many ticks of a window in a change, many changes in a round trip.

Owns when what is written, and what follows from the store's word on it; not how it is written. At most one round is on
its way, in chunks bounded in bytes. Nothing that waits is copied: a change is taken from its window when its turn has
come, so a store that is away costs no memory, and a window that changes faster than the store writes is written less
often, never later.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from server.back_off import BackOff
from server.time_slice import TimeSlice
from server.windows.held_windows import HeldWindow
from server.windows.store_word import StoreUnavailableError, StoreWord
from server.windows.window_change import WindowChange

_CHUNK_BYTES = 256 * 1024
_CHUNK_CHANGES = 64
# The store asks for a window in full at most once a round; if more were needed, others are writing all the while.
_MOST_ROUNDS = 4

logger = logging.getLogger("tickserve")

Change = tuple[HeldWindow, WindowChange]
WriteChunk = Callable[[Sequence[Change]], Awaitable[Sequence[StoreWord | StoreUnavailableError]]]


@dataclasses.dataclass(slots=True)
class FlushCounters:
    """What has been written since the start.

    Attributes:
        flushes: Rounds that wrote something.
        changes: Changes that the store has accepted.
        failures: Chunks and single changes that failed and were tried again.
        byte_count: Bytes of the accepted changes' heads and entries.
        reseeds: Changes that did not follow what the store had, so that the whole window was sent.
        lost: Windows that other streams have taken over.
    """

    flushes: int = 0
    changes: int = 0
    failures: int = 0
    byte_count: int = 0
    reseeds: int = 0
    lost: int = 0


class WindowFlusher:
    """Keeps a store up to date with the windows.

    Args:
        write: Writes a chunk of changes and returns the store's word on each, in order; a `StoreUnavailableError` in
            the place of one that failed alone, raised where all did.
        on_stored: Told of each window of which the store has all.
        on_lost: Told that another stream has a window, unless it says that this may be a stream of this replica.
        interval: Seconds between the beginnings of two rounds; the first after a pause begins at once.
        clock: Monotonic seconds.

    Attributes:
        counters: What has been written so far.
    """

    def __init__(
        self,
        write: WriteChunk,
        *,
        on_stored: Callable[[HeldWindow], None],
        on_lost: Callable[[HeldWindow], bool],
        interval: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._on_stored = on_stored
        self._on_lost = on_lost
        self._interval = interval
        self._clock = clock
        # Insertion order: the window that has waited longest is written first.
        self._pending: dict[HeldWindow, None] = {}
        # Those whose own write failed while others' did not: they wait for a delay, the others do not.
        self._refused: dict[HeldWindow, None] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._round_lock = asyncio.Lock()
        self._store = BackOff("windows")
        self._single = BackOff("single windows")
        self.counters = FlushCounters()

    def changed(self, held: HeldWindow) -> None:
        """Has a window written soon."""
        if held not in self._refused:
            self._pending[held] = None
            self._wake.set()

    def forget(self, held: HeldWindow) -> None:
        """Writes nothing more of a window, but for what is on its way."""
        self._pending.pop(held, None)
        self._refused.pop(held, None)

    async def run(self) -> None:
        """Writes until it is cancelled."""
        while True:
            await self._wake.wait()
            began = self._clock()
            try:
                await self._round()
            except StoreUnavailableError:
                pass  # told by the back-off
            except Exception as error:
                logger.exception("a round of writes failed")
                self.counters.failures += 1
                self._store.failed(error, now=self._clock())
            # After a failure too: asking a store that is away at every tick would cost each of them.
            await asyncio.sleep(max(self._store.delay, self._interval - (self._clock() - began), 0.0))

    async def flush(self) -> None:
        """Writes everything now.

        Raises:
            StoreUnavailableError: Something could not be written; it stays pending.
        """
        self._retry_refused()
        for _ in range(_MOST_ROUNDS):
            await self._round()
            if not self._pending:
                break
        if self._refused:
            raise StoreUnavailableError("single windows could not be written")

    def close(self) -> None:
        """Ends the timer. Idempotent."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    async def _round(self) -> None:
        """Writes each window that is pending now, once."""
        async with self._round_lock:
            self._wake.clear()
            waiting, self._pending = self._pending, {}
            refusal: StoreUnavailableError | None = None
            accepted = self.counters.changes
            try:
                while chunk := await self._take_chunk(waiting):
                    refusal = await self._send(chunk) or refusal
            except StoreUnavailableError as error:
                self.counters.failures += 1
                self._store.failed(error, now=self._clock())
                raise
            finally:
                # Whatever ended the round: nothing is forgotten, and what has waited longest stays in front.
                self._pending = {**waiting, **self._pending}
                if self._pending:
                    self._wake.set()
                if refusal is not None:
                    self._single.failed(refusal, now=self._clock())
                    self.close()
                    self._retry = asyncio.get_running_loop().call_later(self._single.delay, self._retry_refused)
                elif not self._refused:
                    self._single.succeeded(now=self._clock())
            self._store.succeeded(now=self._clock())
            self.counters.flushes += self.counters.changes > accepted

    async def _take_chunk(self, waiting: dict[HeldWindow, None]) -> list[Change]:
        """Takes the next changes, as many as one round trip should carry; none if nothing is left."""
        chunk: list[Change] = []
        size = 0
        time_slice = TimeSlice()
        while waiting and len(chunk) < _CHUNK_CHANGES and size < _CHUNK_BYTES:
            held = next(iter(waiting))
            del waiting[held]
            change = held.window.take_change()
            if change is None:
                self._stored(held)
                continue
            chunk.append((held, change))
            size += change.byte_count
            try:
                await time_slice.give_way()
            except BaseException:
                self._put_back(chunk)
                raise
        return chunk

    async def _send(self, chunk: Sequence[Change]) -> StoreUnavailableError | None:
        """Writes a chunk and acts on the answers; returns the last refusal of a single change, if there is one."""
        refusal = None
        try:
            for (held, change), word in zip(chunk, await self._write(chunk), strict=True):
                if isinstance(word, StoreUnavailableError):
                    refusal = word
                    self._pending.pop(held, None)
                    self._refused[held] = None
                    self.counters.failures += 1
                else:
                    self._hear(held, change, word)
        except BaseException:
            # Nobody knows whether it was written: a change that was, and comes again, is accepted again or answered
            # with MISMATCH.
            self._put_back(chunk)
            raise
        return refusal

    def _put_back(self, chunk: Sequence[Change]) -> None:
        self._pending.update((held, None) for held, _ in chunk)

    def _hear(self, held: HeldWindow, change: WindowChange, word: StoreWord) -> None:
        """Acts on the store's word on one change."""
        if word is StoreWord.ACCEPTED:
            held.window.confirmed(change)
            self.counters.changes += 1
            self.counters.byte_count += change.byte_count
            held.tell_durable(change.sequence)
            self._stored(held)
        elif word is StoreWord.LOST and change.epoch == held.window.epoch and self._on_lost(held):
            self.counters.lost += 1
        else:
            if word is StoreWord.MISMATCH:
                self.counters.reseeds += 1
                held.window.store_lost_track()
            # Else a stream of this replica took the window over while the change was on its way; it goes on here.
            self._pending[held] = None

    def _stored(self, held: HeldWindow) -> None:
        if held not in self._pending:
            self._on_stored(held)

    def _retry_refused(self) -> None:
        self.close()
        if self._refused:
            self._pending.update(self._refused)
            self._refused.clear()
            self._wake.set()
