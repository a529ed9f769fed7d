"""Writes decisions in a thread of its own, so that neither event loop nor engine ever waits for a disk.

Owns the queue, its bound and what happens while the disk refuses. Knows nothing of requests.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Protocol

from server.back_off import BackOff
from server.telemetry.decision import Decision
from server.telemetry.decision_frame import encode

logger = logging.getLogger("tickserve")

# Records between two looks at the clock and two calls of fsync.
_BATCH = 64


class RecordFiles(Protocol):
    """Where records go; see `decision_files.DecisionFiles`."""

    def begin(self) -> None:
        """Begins a file; raises OSError."""

    def append(self, frame: bytes) -> None:
        """Writes one record, all or nothing; raises OSError."""

    def sync(self) -> None:
        """Forces what was written to disk, if need be; raises OSError."""

    def close(self) -> None:
        """Ends the file."""


class DecisionWriter:
    """Takes decisions without waiting and writes them in order.

    Args:
        files: Where to.
        queue_size: Most decisions that wait, but for those that must be kept.
        is_patient: Whether what the disk refuses is tried again until it is written; else it is dropped and counted.
        clock: Monotonic seconds.

    Attributes:
        queue_size: Most that wait.
        written_count: Decisions written.
        is_failing: Whether the last attempt to write failed.
    """

    def __init__(
        self,
        files: RecordFiles,
        *,
        queue_size: int,
        is_patient: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.written_count = 0
        self.is_failing = False
        self.queue_size = queue_size
        self._files = files
        self._is_patient = is_patient
        self._clock = clock
        self._back_off = BackOff("decisions")
        self._retry_at = 0.0
        # Apart, for each is counted by one thread alone.
        self._declined_count = 0
        self._lost_count = 0
        # None ends the thread. Putting never waits: the queue has no bound of its own, `offer` looks at its length.
        self._queue: queue.SimpleQueue[Decision | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)

    @property
    def dropped_count(self) -> int:
        """Decisions lost: too many waited, the disk refused them, or they were still waiting at the end."""
        return self._declined_count + self._lost_count

    @property
    def waiting_count(self) -> int:
        """Decisions that wait to be written, less the one that is being written."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def offer(self, decision: Decision, *, must_keep: bool = False) -> bool:
        """Takes a decision; False if it is dropped. Never waits.

        Args:
            decision: What to write.
            must_keep: Takes it even if too many wait. Whoever says so must bound how many there can be.
        """
        if self._stop.is_set() or (not must_keep and self._queue.qsize() >= self.queue_size):
            self.decline()
            return False
        self._queue.put(decision)
        return True

    def decline(self) -> None:
        """Counts a decision that is not even offered; by the thread that offers the others."""
        self._declined_count += 1

    def close(self, timeout: float = 5.0) -> None:
        """Writes what waits, as far as the time allows, and ends the thread. Blocks. Idempotent."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout)
        self._declined_count += self._drain()
        if self.dropped_count:
            logger.warning("decisions_dropped", extra={"count": self.dropped_count, "written": self.written_count})

    def _run(self) -> None:
        self._attempt(self._files.begin)
        unsynced = 0
        while True:
            if unsynced and (unsynced >= _BATCH or self._queue.empty()):
                self._attempt(self._files.sync)
                unsynced = 0
            try:
                decision = self._queue.get(timeout=self._back_off.delay or None)
            except queue.Empty:
                # It failed, and nobody comes who would show that it works again: where records are required, nobody is
                # let in until it does.
                self._attempt(self._files.begin)
                continue
            if decision is None:
                break
            unsynced += self._write(decision)
        self._files.close()

    def _write(self, decision: Decision) -> bool:
        """Writes one decision, now or later; tells whether it was."""
        frame = encode(decision)
        while True:
            # At the end each is tried once more, and no longer: whoever stops the process does not wait for a disk.
            is_last = self._stop.is_set()
            is_time = is_last or self._clock() >= self._retry_at
            if is_time and self._attempt(lambda: self._files.append(frame)):
                self.written_count += 1
                return True
            if is_last or not self._is_patient:
                self._lost_count += 1
                return False
            self._stop.wait(self._back_off.delay)

    def _attempt(self, act: Callable[[], None]) -> bool:
        try:
            act()
        except OSError as error:
            self._back_off.failed(error, now=self._clock())
            self._retry_at = self._clock() + self._back_off.delay
            self.is_failing = True
            return False
        if self.is_failing:
            self._back_off.succeeded(now=self._clock())
            self.is_failing = False
        return True

    def _drain(self) -> int:
        count = 0
        while True:
            try:
                count += self._queue.get_nowait() is not None
            except queue.Empty:
                return count
