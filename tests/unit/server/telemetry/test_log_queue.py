"""Laws of the queue: logging never waits, what is dropped is counted and told, and no record holds on to a request."""

import gc
import logging
import sys
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from server.telemetry.log_queue import LogQueue, settled

PATIENCE = 30.0


class Sink:
    """Where lines go.

    Attributes:
        records: What was written.
        gate: Held by a test to make writing wait.
        error: Raised by every write, if set.
    """

    def __init__(self) -> None:
        self.records: list[logging.LogRecord] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def write(self, record: logging.LogRecord) -> None:
        """Writes one record."""
        self.gate.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        self.records.append(record)

    def texts(self) -> list[str]:
        """Returns what the lines say."""
        return [str(record.__dict__["text"]) for record in self.records]


@pytest.fixture
def sink() -> Sink:
    """Returns a new one."""
    return Sink()


@pytest.fixture
def log(sink: Sink) -> Iterator[LogQueue]:
    """Returns a queue of ten lines that writes to the sink; its clock stands still."""
    queue = LogQueue(sink.write, size=10, clock=lambda: 0.0)
    queue.start()
    yield queue
    sink.gate.set()
    queue.close()


def record(message: str = "said %s", *args: object, level: int = logging.INFO, **fields: object) -> logging.LogRecord:
    """Returns a log record."""
    made = logging.LogRecord("tickserve", level, "file.py", 1, message, args or None, None)
    made.__dict__.update(fields)
    return made


def test_lines_are_written_in_order_by_another_thread(log: LogQueue, sink: Sink) -> None:
    """The text is made of the arguments; the event keeps its name."""
    for number in range(5):
        log.handle(record("said %s", number))
    log.flush(PATIENCE)
    assert sink.texts() == [f"said {number}" for number in range(5)]
    assert {each.msg for each in sink.records} == {"said %s"}


def test_a_full_queue_drops_counts_and_tells(log: LogQueue, sink: Sink) -> None:
    """It never waits for the disk; what is written next is the count."""
    sink.gate.clear()
    for number in range(30):
        log.handle(record(f"line {number}"))  # each an event of its own: no storm
    dropped = log.dropped_count
    assert 30 - 10 - 1 <= dropped <= 30 - 10
    sink.gate.set()
    log.flush(PATIENCE)
    assert sink.texts()[-1] == "log_lines_dropped"
    assert sink.records[-1].__dict__["count"] == dropped
    log.handle(record("after"))
    log.flush(PATIENCE)
    assert sink.texts()[-1] == "after"


def test_errors_have_room_that_others_have_not(log: LogQueue, sink: Sink) -> None:
    """What floods a queue is seldom what matters."""
    sink.gate.clear()
    for number in range(30):
        log.handle(record(f"line {number}"))
    dropped = log.dropped_count
    log.handle(record("the engine hangs", level=logging.CRITICAL))
    assert log.dropped_count == dropped
    sink.gate.set()
    log.flush(PATIENCE)
    assert "the engine hangs" in sink.texts()


def test_a_storm_of_one_line_is_cut_to_a_burst_and_a_count(sink: Sink) -> None:
    """A fault that every request meets does not fill the disk at the rate of the requests; other lines pass."""
    now = [0.0]
    log = LogQueue(sink.write, size=10_000, clock=lambda: now[0])
    log.start()
    for number in range(1000):
        log.handle(record("failed %d", number, level=logging.ERROR))
    log.handle(record("other"))
    log.flush(PATIENCE)
    assert len(sink.records) == 20 + 1
    now[0] = 1.5
    log.flush(PATIENCE)
    told = sink.records[-1].__dict__
    assert (told["text"], told["line"], told["count"]) == ("log_lines_suppressed", "failed %d", 980)
    assert told["levelno"] == logging.ERROR
    assert log.suppressed_count == 980
    log.close()


def test_a_disk_that_refuses_harms_nobody(log: LogQueue, sink: Sink) -> None:
    """Nothing is raised where the line is logged; when the disk is back, lines are written again."""
    sink.error = OSError(28, "No space left on device")
    log.handle(record("lost"))
    log.flush(PATIENCE)
    assert log.failure_count == 1
    sink.error = None
    log.handle(record("back"))
    log.flush(PATIENCE)
    assert sink.texts() == ["back"]


def test_closing_writes_what_waits_and_ends_the_thread(sink: Sink) -> None:
    """Closing twice does nothing more."""
    log = LogQueue(sink.write, size=10)
    log.start()
    log.handle(record("last words"))
    log.close()
    log.close()
    log._thread.join(PATIENCE)
    assert not log._thread.is_alive()
    assert sink.texts() == ["last words"]


def test_a_waiting_record_keeps_nothing_alive() -> None:
    """Neither windows in its arguments and fields nor the frames of its exception."""

    class Window(np.ndarray):
        """Can be referred to weakly."""

    def fail() -> logging.LogRecord:
        window = np.zeros((50, 60), np.float32).view(Window)
        references.append(weakref.ref(window))
        try:
            raise ValueError("bad window")
        except ValueError:
            made = record("failed %s", window, extra_window=window)
            made.exc_info = sys.exc_info()
            return settled(made)

    references: list[weakref.ref[Window]] = []
    kept = fail()
    gc.collect()
    assert references[0]() is None
    assert kept.__dict__["text"] == "failed <Window [50, 60] float32>"
    assert "ValueError: bad window" in kept.__dict__["exception"]
    assert "in fail" in kept.__dict__["exception"]


@pytest.mark.parametrize(
    ("message", "args", "text"),
    [
        ("plain 100 %", (), "plain 100 %"),
        ("%(a)s", ({"a": b"xx"},), "<bytes of 2>"),
        ("%d of %d", (1,), "%d of %d"),
        ("%d", ("no number",), "%d"),
        ("%.1f s", (1.26,), "1.3 s"),
        ("url %s", ("redis://u:secret@h",), "url redis://u:[redacted]@h"),
    ],
)
def test_a_text_is_made_of_any_arguments(message: str, args: tuple[object, ...], text: str) -> None:
    """A format that does not fit is said as it stands; nothing raises, nothing secret passes."""
    assert settled(record(message, *args)).__dict__["text"] == text
