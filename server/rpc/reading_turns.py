"""Whose message is read next, over all tick streams of a replica, and how much is read before others have their turn.

Owns that reading never holds up the event loop: a tick costs a tenth of a millisecond and more, and hundreds of streams
may have one ready. Whatever else is due, an engine that has finished above all, waits for a slice of reading at most.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

# Long enough that the loop's own turn costs little beside it, far shorter than a batch.
_SLICE = 0.0005


class ReadingTurns:
    """Gives out slices of the event loop's time, one each turn of the loop, first come, first served.

    Args:
        clock: Seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._end = clock()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_next_due = False

    async def turn(self) -> None:
        """Returns when the next message may be read: at once while the slice lasts, else in its stream's turn."""
        if self._clock() < self._end:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._call_soon()
        await turn

    def _call_soon(self) -> None:
        if not self._is_next_due:
            self._is_next_due = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._is_next_due = False
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # its stream has ended
                self._end = self._clock() + _SLICE
                turn.set_result(None)
                break
        if self._waiting:
            self._call_soon()
