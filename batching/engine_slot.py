"""Owns one engine slot: a thread that runs one batch at a time. Must not know the scheduler, requests or deadlines.

A thread of our own instead of ``ThreadPoolExecutor``: the interpreter joins a pool's threads at exit, so one hung
engine call would keep a dying process alive for ever. It also saves a lock-laden Future per batch.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic

from batching.request import P, R

logger = logging.getLogger(__name__)

RunBatch = Callable[[str, Sequence[P]], Sequence[R]]


class EngineSlot(Generic[P, R]):
    """Runs engine calls in its own thread, always the same, and reports each to the event loop.

    Args:
        run_batch: The engine: batch key and payloads in, results in the same order out.
        clock: Monotonic seconds; read in the thread, so that the duration is the engine's alone.
        loop: Where reports are delivered.
        name: Of the thread.
        bind: Called in the loop with each payload of a batch when it is chosen; the engine gets what it returns.
            So what a request is about may be decided as late as who shares its batch (law 2).

    Attributes:
        free_since: When the last engine call ended, or the slot was made; monotonic seconds, of an idle slot only.
    """

    def __init__(
        self,
        run_batch: RunBatch[P, R],
        *,
        clock: Callable[[], float],
        loop: asyncio.AbstractEventLoop,
        name: str,
        bind: Callable[[P], P] | None = None,
    ) -> None:
        self._run_batch = run_batch
        self._bind = bind
        self._clock = clock
        self._loop = loop
        self.free_since = clock()
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon, so that a hung call cannot outlive the decision to end the process.
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def run(
        self,
        batch_key: str,
        payloads: Sequence[P],
        report: Callable[[list[R] | None, BaseException | None, float], None],
    ) -> None:
        """Run a batch; ``report(results, error, duration)`` follows in the loop. Only for an idle slot."""
        try:
            bound = payloads if self._bind is None else list(map(self._bind, payloads))
        except Exception as error:
            self._loop.call_soon(report, None, error, 0.0)
            return

        def work() -> None:
            started = self._clock()
            try:
                results = list(self._run_batch(batch_key, bound))
            except BaseException as error:  # whatever the engine raises, even SystemExit, must reach its callers
                self.free_since = self._clock()
                self._post(report, None, error, self.free_since - started)
            else:
                self.free_since = self._clock()
                self._post(report, results, None, self.free_since - started)

        self._work.put(work)

    def stop(self, stopped: Callable[[], None]) -> None:
        """Let the thread end after its current call; ``stopped()`` follows in the loop as its last act."""

        def last() -> None:
            self._post(stopped)

        self._work.put(last)
        self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            del work  # it holds the payloads; do not keep them while idle

    def _post(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            logger.warning("an engine call ended after its event loop was closed")
