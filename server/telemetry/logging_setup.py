"""Sends every log record of a process to one place in one form; the only importer of structlog.

Code logs with the standard library, words that name the event first and values as `extra`; structlog makes lines of it.
In a replica they go to the file that Ray Serve keeps for it, which rotates, so that one file has all that happened.
"""

from __future__ import annotations

import atexit
import json
import logging
import logging.handlers
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import structlog

from server.call import current_call
from server.config.log_settings import LogSettings
from server.telemetry.log_queue import LogQueue, rendered
from server.telemetry.log_redaction import redact

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

# Ours, at the level of the settings; libraries are heard from warnings on.
_OWN_LOGGERS = ("tickserve", "batching")
_RAY_SERVE = "ray.serve"
# What Ray tells its own handlers.
_NOT_LOGGED = {"log_to_stderr", "serve_access_log", "skip_context_filter", "_ray_timestamp_ns", "timestamp_ns"}


class Logs:
    """The log of a process.

    Args:
        settings: Level, form and bound.
        write: Writes one record with the formatter given.
        is_terminal: Whether people read the lines as they come.
        replica_id: Named in each line; empty where there is none.
        idle: See `LogQueue`.
    """

    def __init__(
        self,
        settings: LogSettings,
        *,
        write: Callable[[logging.LogRecord, logging.Formatter], None],
        is_terminal: bool = False,
        replica_id: str = "",
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._is_terminal = is_terminal
        self._replica_id = replica_id
        self._root = logging.getLogger()
        self._former = (self._root.handlers[:], self._root.level)
        self._levels = {name: logging.getLogger(name).level for name in _OWN_LOGGERS}
        self.queue = LogQueue(lambda record: write(record, self.formatter), size=settings.queue_size, idle=idle)
        self.queue.addFilter(add_call)
        self.apply(settings)
        self._root.handlers[:] = [self.queue]
        self._root.setLevel(logging.WARNING)
        self.queue.start()
        # Before logging's own end of the process, which closes handlers but waits for no thread.
        atexit.register(self.close)

    def apply(self, settings: LogSettings) -> None:
        """Puts other settings in force."""
        self.formatter = formatter_of(settings, is_terminal=self._is_terminal, replica_id=self._replica_id)
        self.queue.size = settings.queue_size
        for name in _OWN_LOGGERS:
            logging.getLogger(name).setLevel(settings.level.upper())

    def flush(self) -> None:
        """Waits, shortly, until all that was logged is written. Not for an event loop."""
        self.queue.flush()

    def close(self) -> None:
        """Writes what waits and leaves logging as it was. Idempotent; not for an event loop."""
        atexit.unregister(self.close)
        if self.queue in self._root.handlers:
            handlers, level = self._former
            self._root.handlers[:] = handlers
            self._root.setLevel(level)
            for name, own_level in self._levels.items():
                logging.getLogger(name).setLevel(own_level)
        self.queue.close()


def log_to_stream(settings: LogSettings, stream: TextIO | None = None) -> Logs:
    """Begins to log to a stream, standard error unless another is given."""
    chosen = stream or sys.stderr

    def write(record: logging.LogRecord, formatter: logging.Formatter) -> None:
        chosen.write(formatter.format(record) + "\n")
        chosen.flush()

    return Logs(settings, write=write, is_terminal=chosen.isatty())


def log_to_replica_file(settings: LogSettings, replica_id: str) -> Logs:
    """Begins to log to the file that Ray Serve keeps for this replica, its own lines included."""
    file = RayServeFile()
    logging.getLogger(_RAY_SERVE).addFilter(add_call)
    # A handler that cannot write would say so on standard error, which in a replica is a logger again.
    logging.raiseExceptions = False
    return Logs(settings, write=file.write, replica_id=replica_id, idle=file.flush)


class RayServeFile:
    """The replica's log file, wherever Ray Serve has it at the moment: it makes a new one when its settings change.

    Ray Serve has no public way to it. Where its logger is not built as expected, lines go to standard error.
    """

    def write(self, record: logging.LogRecord, formatter: logging.Formatter) -> None:
        """Writes one record, and makes the file's own handler use the same formatter."""
        buffer = self._buffer()
        if buffer is None or not isinstance(buffer.target, logging.FileHandler):
            # Not `sys.stderr`: in a replica that is Ray Serve's logger again.
            stream = sys.__stderr__
            if stream is not None:
                stream.write(formatter.format(record) + "\n")
            return
        file = buffer.target
        if file.formatter is not formatter:
            file.setFormatter(formatter)
        buffer.flush()  # first what came first: Ray Serve keeps up to a thousand lines back
        file.handle(record)

    def flush(self) -> None:
        """Writes the lines that Ray Serve keeps back."""
        buffer = self._buffer()
        if buffer is not None:
            buffer.flush()

    @staticmethod
    def _buffer() -> logging.handlers.MemoryHandler | None:
        handlers = logging.getLogger(_RAY_SERVE).handlers
        return next((item for item in handlers if isinstance(item, logging.handlers.MemoryHandler)), None)


def add_call(record: logging.LogRecord) -> bool:
    """Notes in a record the call that the running task serves, for it may be formatted elsewhere and later."""
    call = current_call.get()
    if call is not None:
        record.__dict__.setdefault("method", call.method.rpartition("/")[2])
        if call.grant is not None:
            record.__dict__.setdefault("key_id", call.grant.key_id)
        if call.trace_id:
            record.__dict__.setdefault("trace_id", call.trace_id)
    return True


def formatter_of(settings: LogSettings, *, is_terminal: bool, replica_id: str) -> logging.Formatter:
    """Returns what makes lines of records: an object of JSON each, or text for people."""
    is_json = settings.format == "json" or (settings.format == "auto" and not is_terminal)

    def describe(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        return _fields(event, replica_id, is_json=is_json)

    renderer = (
        structlog.processors.JSONRenderer(serializer=json.dumps, default=str)
        if is_json
        else structlog.dev.ConsoleRenderer(colors=is_terminal, timestamp_key="time", sort_keys=False)
    )
    return structlog.stdlib.ProcessorFormatter(
        processors=[describe, renderer],
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        use_get_message=False,  # the event's name is what the code says, without the values
        pass_foreign_args=True,
    )


def _fields(event: EventDict, replica_id: str, *, is_json: bool) -> EventDict:
    """Returns the fields of one line, those that every line has first."""
    record: logging.LogRecord = event.pop("_record")
    event.pop("_from_structlog")
    record.args = event.pop("positional_args", None)
    exception = event.pop("exception", None)
    if exception is None and event.get("exc_info"):
        exception = logging.Formatter().formatException(event["exc_info"])
    text = event.pop("text", None) or rendered(record)
    name = str(event.pop("event"))
    others = {
        key: value for key, value in event.items() if key not in _NOT_LOGGED and key not in ("exc_info", "stack_info")
    }
    fields: EventDict = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": name if is_json else text,
    }
    if is_json and text != name:
        fields["message"] = text
    fields["logger"] = record.name
    if replica_id:
        fields["replica_id"] = replica_id
    fields.update(redact(others))
    if exception:
        fields["exception"] = exception
    return fields
