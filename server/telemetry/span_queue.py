"""Finished spans on their way out: a bounded queue and the thread that sends them. Knows no OTLP.

Why not the SDK's `BatchSpanProcessor`: it tells nobody how many spans it dropped, drops the oldest and so halves of
traces, and its shutdown may take half a minute (docs/adr/0010-tracing.md).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

logger = logging.getLogger("tickserve")

# The thread that sends holds the GIL while it packs a batch: a small one does not keep the event loop waiting.
BATCH_SIZE = 256
_INTERVAL = 1.0
# After it was told to give up, a sender needs no more than this to return.
_LAST_WORDS = 0.5


class SpanSender(Protocol[T]):
    """Takes spans somewhere."""

    def send(self, spans: list[T]) -> bool:
        """Sends spans and tells whether they were taken; may block."""

    def shutdown(self) -> None:
        """Makes a `send` that blocks return soon; from another thread, once."""


class SpanCounts:
    """What became of spans; outlives the queues that count here."""

    def __init__(self) -> None:
        self.exported = 0
        self.dropped = 0
        self._lock = threading.Lock()

    def add(self, *, exported: int = 0, dropped: int = 0) -> None:
        """Counts; any thread."""
        with self._lock:
            self.exported += exported
            self.dropped += dropped


class SpanQueue(Generic[T]):
    """Sends spans in batches from a thread of its own; one that cannot be sent or kept is counted as dropped.

    Each span that is offered is counted once, as exported or as dropped, by the time that the queue is closed and the
    sender has returned.

    Args:
        connect: Makes the sender, in that thread: it may read files and look up names.
        size: Most spans that wait.
        counts: Where they are counted.
        interval: Seconds between two batches that are not full.
    """

    def __init__(
        self, connect: Callable[[], SpanSender[T]], *, size: int, counts: SpanCounts, interval: float = _INTERVAL
    ) -> None:
        self._connect = connect
        self._size = size
        self._counts = counts
        self._interval = interval
        self._waiting: deque[T] = deque()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._sender: SpanSender[T] | None = None
        self._is_closed = False
        self._is_abandoned = False
        self._has_raised = False
        # Told to end by `close`; a process that dies without it must not wait for a collector.
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)
        self._thread.start()

    def offer(self, spans: Sequence[T]) -> None:
        """Takes spans that belong together, all or none of them; never blocks, any thread."""
        with self._lock:
            taken = not self._is_closed and len(self._waiting) + len(spans) <= self._size
            if taken:
                self._waiting.extend(spans)
            is_full = len(self._waiting) >= BATCH_SIZE
        if not taken:
            self._counts.add(dropped=len(spans))
        if is_full and not self._wake.is_set():
            self._wake.set()

    def close(self, timeout: float) -> None:
        """Sends what waits, for at most `timeout` seconds and a little, and drops the rest. Blocks. Idempotent."""
        with self._lock:
            self._is_closed = True
        self._wake.set()
        self._thread.join(timeout)
        with self._lock:
            abandoned, self._is_abandoned = self._is_abandoned, True
            sender = self._sender
        if abandoned:
            return
        if sender is not None:
            sender.shutdown()
        self._thread.join(_LAST_WORDS)
        self._counts.add(dropped=len(self._take(self._size)))

    def _run(self) -> None:
        try:
            sender = self._connect()
        except Exception:
            logger.exception("spans cannot be sent, and are dropped; correct the tracing settings")
            sender = None
        with self._lock:
            self._sender = sender
        is_last = False
        while not is_last:
            # Read before the queue is emptied: what was offered until it was closed is sent.
            is_last = self._is_closed
            # Woken for full batches: what is left over may well be part of the next one.
            is_woken = not is_last and self._wake.wait(self._interval)
            self._wake.clear()
            least = BATCH_SIZE if is_woken else 1
            while not self._is_abandoned and (batch := self._take(BATCH_SIZE, least)):
                if self._is_sent(sender, batch):
                    self._counts.add(exported=len(batch))
                else:
                    self._counts.add(dropped=len(batch))

    def _take(self, most: int, least: int = 1) -> list[T]:
        with self._lock:
            count = min(most, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)] if count >= least else []

    def _is_sent(self, sender: SpanSender[T] | None, batch: list[T]) -> bool:
        if sender is None:
            return False
        try:
            return sender.send(batch)
        except Exception:
            # The thread must live to try the next batch; one that fails always would fill the log.
            if not self._has_raised:
                logger.exception("spans could not be packed and are dropped")
            self._has_raised = True
            return False
