"""Laws of the log's form: one line a record, one object a line, each within a call with its trace."""

import io
import json
import logging
import logging.handlers
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.call import current_call
from server.config.log_settings import LogSettings
from server.telemetry.logging_setup import Logs, log_to_replica_file, log_to_stream
from tests.support.ended_requests import TRACE_ID, call

logger = logging.getLogger("tickserve")
PATIENCE = 30.0


class Terminal(io.StringIO):
    """A stream that people read."""

    def isatty(self) -> bool:
        """Tells that it is."""
        return True


@contextmanager
def logging_to(stream: io.StringIO, **settings: Any) -> Iterator[Logs]:
    """Logs to a stream while the context is entered; all of it is written when it is left."""
    logs = log_to_stream(LogSettings(**settings), stream)
    try:
        yield logs
    finally:
        logs.queue.flush(PATIENCE)
        logs.close()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Returns the objects that were written."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_an_object_with_a_stable_event() -> None:
    """What the code says names the event; what it says of this one is the message; values have names of their own."""
    stream = io.StringIO()
    with logging_to(stream):
        logger.warning("model %s version %d refused", "cnn_lstm", 3)
        logger.info("request_refused", extra={"reason": "QUEUE_FULL", "count": 7})
    first, second = lines(stream)
    assert first["event"] == "model %s version %d refused"
    assert first["message"] == "model cnn_lstm version 3 refused"
    assert (first["level"], first["logger"]) == ("warning", "tickserve")
    assert first["time"].endswith("+00:00")
    assert second["event"] == "request_refused"
    assert "message" not in second
    assert (second["reason"], second["count"]) == ("QUEUE_FULL", 7)


def test_every_line_within_a_call_has_its_trace() -> None:
    """Taken where the line is logged, for it is written by another thread; outside a call there is none."""
    stream = io.StringIO()
    with logging_to(stream):
        logger.info("outside")
        token = current_call.set(call("StreamTicks"))
        logger.info("inside")
        logging.getLogger("batching.batcher").info("inside")
        current_call.reset(token)
    outside, *inside = lines(stream)
    assert "trace_id" not in outside
    assert [(line["trace_id"], line["method"]) for line in inside] == [(TRACE_ID, "StreamTicks")] * 2


def test_a_failure_has_its_traceback_and_no_values() -> None:
    """In one line; what the variables held is not in it."""
    stream = io.StringIO()
    window = np.full((50, 60), 0.123456, np.float32)
    with logging_to(stream):
        try:
            assert window.shape == (1, 2), "shape"
        except AssertionError:
            logger.exception("failed with %s", window, extra={"window": window, "authorization": "Bearer hunter2"})
    [line] = lines(stream)
    assert "AssertionError" in line["exception"]
    assert line["window"] == "<ndarray [50, 60] float32>"
    assert "0.1234" not in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_the_level_counts_for_ours_and_libraries_are_heard_from_warnings_on() -> None:
    """And it changes while the process runs."""
    stream = io.StringIO()
    with logging_to(stream) as logs:
        logger.debug("no")
        logging.getLogger("some.library").info("no")
        logging.getLogger("some.library").warning("yes 1")
        logs.apply(LogSettings(level="debug"))
        logger.debug("yes 2")
        logs.apply(LogSettings(level="error"))
        logger.warning("no")
    assert [line["event"] for line in lines(stream)] == ["yes 1", "yes 2"]


def test_people_read_text_and_programs_objects() -> None:
    """`auto` is text on a terminal alone; what is asked for wins."""
    shown = {}
    for name, stream, form in [
        ("terminal", Terminal(), "auto"),
        ("pipe", io.StringIO(), "auto"),
        ("json", Terminal(), "json"),
        ("console", io.StringIO(), "console"),
    ]:
        with logging_to(stream, format=form):
            logger.warning("found %d", 7, extra={"trace_id": TRACE_ID})
        shown[name] = stream.getvalue()
    assert json.loads(shown["pipe"])["message"] == "found 7"
    assert json.loads(shown["json"])["message"] == "found 7"
    for name in ("terminal", "console"):
        assert "found 7" in shown[name]
        assert TRACE_ID in shown[name]
        assert not shown[name].startswith("{")
    assert "\x1b[" in shown["terminal"]
    assert "\x1b[" not in shown["console"]


def test_closing_leaves_logging_as_it_was() -> None:
    """Handlers and levels; a test after this one logs as one before it."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, logger.level)
    with logging_to(io.StringIO(), level="debug"):
        assert root.handlers != before[0]
    assert (root.handlers[:], root.level, logger.level) == before


@pytest.fixture
def ray_serve(tmp_path: Path) -> Iterator[tuple[logging.Logger, Path]]:
    """Ray Serve's logger as it is in a replica: a file behind a buffer of a thousand lines."""
    serve = logging.getLogger("ray.serve")
    former = (serve.handlers[:], serve.filters[:], serve.propagate, serve.level, logging.raiseExceptions)
    path = tmp_path / "replica.log"
    file = logging.handlers.RotatingFileHandler(path, maxBytes=10_000, backupCount=2)
    file.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    serve.handlers[:] = [logging.handlers.MemoryHandler(1000, flushLevel=logging.ERROR, target=file)]
    serve.propagate = False
    serve.setLevel(logging.INFO)
    yield serve, path
    serve.handlers[:], serve.filters[:], serve.propagate, level, logging.raiseExceptions = former
    serve.setLevel(level)
    file.close()


def test_a_replica_has_one_file_in_one_form(ray_serve: tuple[logging.Logger, Path]) -> None:
    """Ray Serve's lines and ours, in the order in which they were logged, each with the trace of its own call."""
    serve, path = ray_serve
    logs = log_to_replica_file(LogSettings(), "replica-1")
    logger.info("ours first")
    logs.queue.flush(PATIENCE)
    token = current_call.set(call())
    serve.info("theirs", extra={"log_to_stderr": False, "serve_access_log": True, "route": "/"})
    current_call.reset(token)
    logger.info("ours last")
    logs.queue.flush(PATIENCE)
    serve.warning("theirs alone")
    logs.queue.flush(PATIENCE)
    logs.close()
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in found] == ["ours first", "theirs", "ours last", "theirs alone"]
    assert [line.get("trace_id") for line in found] == [None, TRACE_ID, None, None]
    assert {line["replica_id"] for line in found} == {"replica-1"}
    assert found[1]["route"] == "/"
    assert "log_to_stderr" not in found[1]


def test_the_replicas_file_rotates(ray_serve: tuple[logging.Logger, Path]) -> None:
    """As Ray Serve has it: the log of a replica is bounded."""
    _, path = ray_serve
    logs = log_to_replica_file(LogSettings(), "replica-1")
    for number in range(300):
        logger.info("line %d", number, extra={"filler": "x" * 200})
        logger.info(f"event {number}")  # noqa: G004 - an event of its own, which no storm limit holds back
    logs.queue.flush(PATIENCE)
    logs.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["replica.log", "replica.log.1", "replica.log.2"]
    assert all(file.stat().st_size <= 10_000 for file in path.parent.iterdir())


def test_a_file_that_ray_serve_makes_anew_is_followed(ray_serve: tuple[logging.Logger, Path], tmp_path: Path) -> None:
    """It does so when its own settings change."""
    serve, _ = ray_serve
    logs = log_to_replica_file(LogSettings(), "replica-1")
    logger.info("before")
    logs.queue.flush(PATIENCE)
    file = logging.handlers.RotatingFileHandler(tmp_path / "another.log")
    serve.handlers[:] = [logging.handlers.MemoryHandler(1000, target=file)]
    logger.info("after")
    logs.queue.flush(PATIENCE)
    logs.close()
    file.close()
    assert json.loads((tmp_path / "another.log").read_text())["event"] == "after"
