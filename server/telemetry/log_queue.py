"""Takes log records from any thread without waiting, and has a thread of its own write them.

Owns the bound, the guard against storms of one line, and what a record keeps alive: nothing of a request. Knows neither
the lines' form nor where they go.
"""

from __future__ import annotations

import copy
import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable, Mapping

from server.telemetry.log_limiter import LogLimiter
from server.telemetry.log_redaction import MAX_TEXT, loggable, redact_text

# Lines of one kind in a second, after which only their count is told: a fault that every request meets would else fill
# the disk at the rate of the requests.
_STORM_LINES = 20
_STORM_INTERVAL = 1.0
_IDLE = 1.0
# Room that only errors may use: what floods a queue is seldom what matters.
_RESERVE = 100
_MAX_TRACEBACK = 10 * MAX_TEXT

Write = Callable[[logging.LogRecord], None]


class LogQueue(logging.Handler):
    """A handler that never waits.

    Args:
        write: Writes one record; called in the thread.
        size: Most records that wait.
        idle: Called in the thread whenever it has nothing to write, about once a second.
        clock: Monotonic seconds.

    Attributes:
        size: May be changed.
        dropped_count: Records dropped because too many waited.
        failure_count: Records that could not be written.
    """

    def __init__(
        self,
        write: Write,
        *,
        size: int,
        idle: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.size = size
        self.dropped_count = 0
        self.failure_count = 0
        self._write = write
        self._idle = idle
        self._clock = clock
        self._storms: LogLimiter[tuple[str, int, str]] = LogLimiter(interval=_STORM_INTERVAL, burst=_STORM_LINES)
        self._told_dropped = 0
        # Putting takes no lock that its reader could hold; it has no bound of its own, so `emit` looks at its length.
        # An event in it is set when all before it is written.
        self._records: queue.SimpleQueue[logging.LogRecord | threading.Event] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="tickserve-log", daemon=True)

    @property
    def suppressed_count(self) -> int:
        """Records not written because too many of their kind came in one second."""
        return self._storms.suppressed_count

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Takes one record, or drops it. Called under the handler's lock, which nobody holds while writing."""
        kind = (record.name, record.levelno, str(record.msg)[:MAX_TEXT])
        untold = self._storms.offer(kind, now=self._clock())
        if untold is None:
            return
        if self._records.qsize() >= self.size + (_RESERVE if record.levelno >= logging.ERROR else 0):
            self.dropped_count += 1
            return
        self._records.put(settled(record, suppressed=untold))

    def flush(self, timeout: float = 2.0) -> None:
        """Waits until what was taken so far is written, or the time is over. Not for an event loop."""
        if self._thread.is_alive():
            written = threading.Event()
            self._records.put(written)
            written.wait(timeout)

    def close(self) -> None:
        """Writes what waits, as far as two seconds allow, and ends the thread. Idempotent; not for an event loop."""
        if not self._is_closed:
            self._is_closed = True
            self.flush()
        super().close()

    def _run(self) -> None:
        while True:
            try:
                item = self._records.get(timeout=_IDLE)
            except queue.Empty:
                self._between()
                continue
            if isinstance(item, logging.LogRecord):
                self._attempt(item)
                continue
            self._between()
            item.set()
            if self._is_closed:
                return

    def _between(self) -> None:
        """Tells what was not written, where there is nothing else to write."""
        self.acquire()
        try:
            untold = list(self._storms.due(now=self._clock()))
        finally:
            self.release()
        for kind, count in untold:
            name, level, line = kind or ("tickserve", logging.WARNING, "")
            self._attempt(note("log_lines_suppressed", {"line": line, "count": count}, name=name, level=level))
        if dropped := self.dropped_count - self._told_dropped:
            self._told_dropped += dropped
            self._attempt(note("log_lines_dropped", {"count": dropped}))
        try:
            self._idle()
        except Exception:
            self.failure_count += 1

    def _attempt(self, record: logging.LogRecord) -> None:
        try:
            self._write(record)
        except Exception:
            # A full disk, a closed pipe: nothing can be said where nothing can be written, but the next may succeed.
            self.failure_count += 1


def settled(record: logging.LogRecord, *, suppressed: int = 0) -> logging.LogRecord:
    """Returns a copy that refers to nothing but text and numbers: it may wait, and be read in another thread.

    `msg` stays what the code says, for it names the event; `text` is what it says of this one.
    """
    copied = copy.copy(record)
    copied.__dict__["text"] = rendered(record)
    copied.args = None
    if record.exc_info and record.exc_info[1] is not None:
        # Without local variables: they hold windows and metadata.
        lines = "".join(traceback.format_exception(record.exc_info[1])).rstrip()
        copied.__dict__["exception"] = redact_text(lines, limit=_MAX_TRACEBACK)
    copied.exc_info = copied.exc_text = None
    for name in record.__dict__.keys() - _PLAIN_ATTRIBUTES:
        copied.__dict__[name] = loggable(record.__dict__[name])
    if suppressed:
        copied.__dict__["suppressed"] = suppressed
    return copied


def rendered(record: logging.LogRecord) -> str:
    """Returns the line's text, with nothing in it that must not be logged."""
    args = record.args
    try:
        if isinstance(args, Mapping):
            return redact_text(str(record.msg) % {name: loggable(value) for name, value in args.items()})
        return redact_text(str(record.msg) % tuple(map(loggable, args)) if args else str(record.msg))
    except (TypeError, ValueError, KeyError):
        return redact_text(str(record.msg))  # a format that does not fit is a fault, but no reason to say nothing


def note(
    event: str, fields: Mapping[str, object], *, name: str = "tickserve", level: int = logging.WARNING
) -> logging.LogRecord:
    """Returns a line of the log's own."""
    record = logging.LogRecord(name, level, "", 0, event, None, None)
    record.__dict__.update({key: loggable(value) for key, value in fields.items()})
    record.__dict__["text"] = event
    return record


_PLAIN_ATTRIBUTES = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime"}
