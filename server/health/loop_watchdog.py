"""Ends a process whose event loop has stood still for good: a thread watches, for the loop cannot watch itself.

A replica whose loop is blocked answers neither calls nor probes, nor Ray Serve, which takes half a minute to give it
up. The thread looks at regular intervals whether the loop has turned since, and counts the looks in vain. It counts
looks and not seconds: when the whole process was stopped, or starved, the thread was, too, and the loop goes first.

What holds the GIL for good, or SIGSTOP, stops this thread as well; then only Ray Serve's own health check helps.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Callable

logger = logging.getLogger("tickserve")

INTERVAL = 0.5
"""Seconds between two looks."""


class LoopVigil:
    """Counts how long a loop has not turned. Pure: fed with looks.

    Attributes:
        silence: Seconds for which it has not, by looks in vain.
    """

    def __init__(self) -> None:
        self.silence = 0.0
        self._seen = -1

    def look(self, turns: int) -> None:
        """Takes note of how often the loop has turned by now, one `INTERVAL` after the look before."""
        self.silence = self.silence + INTERVAL if turns == self._seen else 0.0
        self._seen = turns


class LoopWatchdog:
    """Watches the event loop that runs when it is started.

    Args:
        on_dead: Called once, in the watching thread, when the loop has stood still for too long; ends the process.
        timeout: Returns the seconds that are too long; 0: the loop may stand still for ever. Read at each look.
    """

    def __init__(self, on_dead: Callable[[], object], *, timeout: Callable[[], float]) -> None:
        self._on_dead = on_dead
        self._timeout = timeout
        self._turns = 0
        self._stop = threading.Event()
        self._beat: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to watch the running loop, in whose thread it must be called."""
        loop = asyncio.get_running_loop()
        self._turn(loop)
        thread = threading.Thread(target=self._watch, args=(threading.get_ident(),), name="loop-watchdog", daemon=True)
        thread.start()

    def stop(self) -> None:
        """Ends the watch, in the loop's thread. Idempotent."""
        self._stop.set()
        if self._beat is not None:
            self._beat.cancel()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turns += 1
        if not self._stop.is_set():
            self._beat = loop.call_later(INTERVAL / 2, self._turn, loop)

    def _watch(self, loop_thread: int) -> None:
        vigil = LoopVigil()
        while not self._stop.wait(INTERVAL):
            vigil.look(self._turns)
            timeout = self._timeout()
            if timeout and vigil.silence >= timeout:
                logger.critical(
                    "the event loop has stood still for %.1f s; ending the process so that the replica is replaced. "
                    "The loop is at:\n%s",
                    vigil.silence,
                    _stack(loop_thread),
                )
                self._on_dead()
                return


def _stack(thread: int) -> str:
    """Returns where a thread is, innermost call last, to find what blocks it."""
    frame = sys._current_frames().get(thread)
    return "unknown" if frame is None else "".join(traceback.format_stack(frame, limit=20)).rstrip()
