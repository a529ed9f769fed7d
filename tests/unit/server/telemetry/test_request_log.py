"""Laws of what the log says of requests: refusals bounded for each kind, all of them counted, none with its data."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from batching import PriorityClass
from server.call import Call, current_call
from server.refusal import Reason
from server.telemetry.request_log import RequestLog
from tests.support.ended_requests import TRACE_ID, answered, call, refused, rpc


class Loop:
    """A clock that a test turns, and what is to be called at which time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, function: Callable[[], None]) -> None:
        """Remembers it."""
        self._timers.append((self.now + delay, function))

    def advance(self, seconds: float) -> None:
        """Turns the clock, and calls what is due."""
        self.now += seconds
        due = [item for item in self._timers if item[0] <= self.now]
        self._timers = [item for item in self._timers if item[0] > self.now]
        for _, function in due:
            function()

    @property
    def timer_count(self) -> int:
        """Functions that are still to be called."""
        return len(self._timers)


@pytest.fixture
def loop() -> Loop:
    """Returns a new one."""
    return Loop()


@pytest.fixture
def log(loop: Loop) -> RequestLog:
    """Returns a log with ten seconds between two lines of a kind."""
    return RequestLog(10.0, clock=lambda: loop.now, call_later=loop.call_later)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything from info on."""
    caplog.set_level(logging.INFO, logger="tickserve")
    return caplog


def test_the_first_refusal_of_a_kind_is_told_at_once(log: RequestLog, said: pytest.LogCaptureFixture) -> None:
    """With what finds it again: reason, class, method, request and trace."""
    log.request_ended(refused(Reason.QUEUE_FULL))
    [record] = said.records
    fields = record.__dict__
    assert (record.levelno, record.msg) == (logging.WARNING, "request_refused")
    assert (fields["reason"], fields["priority"], fields["method"]) == ("QUEUE_FULL", "background", "Predict")
    assert (fields["count"], fields["request_id"], fields["trace_id"]) == (1, "r-2", TRACE_ID)


def test_a_flood_is_one_line_an_interval_with_the_count(
    log: RequestLog, loop: Loop, said: pytest.LogCaptureFixture
) -> None:
    """Also when the flood is over: the last count is told without another refusal, and then nothing more."""
    for _ in range(1000):
        log.request_ended(refused())
    assert len(said.records) == 1
    loop.advance(10)
    for _ in range(500):
        log.request_ended(refused())
    loop.advance(10)
    assert [record.__dict__["count"] for record in said.records] == [1, 999, 500]
    assert loop.timer_count == 0
    loop.advance(1000)
    assert len(said.records) == 3


def test_the_end_tells_what_is_untold(log: RequestLog, said: pytest.LogCaptureFixture) -> None:
    """No refusal is lost from the count because the process stopped."""
    for _ in range(5):
        log.request_ended(refused())
    log.close()
    log.close()
    assert [record.__dict__["count"] for record in said.records] == [1, 4]


def test_kinds_are_counted_apart(log: RequestLog, said: pytest.LogCaptureFixture) -> None:
    """By reason, class and method: a flood of one hides no other."""
    for _ in range(50):
        log.request_ended(refused(Reason.QUEUE_FULL))
    log.request_ended(refused(Reason.DISPLACED))
    log.request_ended(refused(Reason.QUEUE_FULL, priority=PriorityClass.REAL_TIME))
    log.request_ended(refused(Reason.INVALID_SHAPE, priority=None))
    kinds = [(record.__dict__["reason"], record.__dict__.get("priority")) for record in said.records]
    assert kinds == [
        ("QUEUE_FULL", "background"), ("DISPLACED", "background"), ("QUEUE_FULL", "real_time"), ("INVALID_SHAPE", None)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        (Reason.INVALID_SHAPE, logging.INFO),
        (Reason.PREDICTED_DEADLINE_MISS, logging.WARNING),
        (Reason.DECISION_LOG_UNAVAILABLE, logging.WARNING),
        (Reason.INFERENCE_FAILED, logging.ERROR),
    ],
)
def test_the_level_tells_whose_it_is(
    log: RequestLog, said: pytest.LogCaptureFixture, reason: Reason, level: int
) -> None:
    """A caller's mistake is information, what an operator may act upon a warning, a fault of ours an error."""
    log.request_ended(refused(reason))
    assert said.records[0].levelno == level


def test_answers_are_told_at_debug_alone(log: RequestLog, caplog: pytest.LogCaptureFixture) -> None:
    """With times and model, without window and numbers."""
    caplog.set_level(logging.INFO, logger="tickserve")
    log.request_ended(answered())
    assert not caplog.records
    caplog.set_level(logging.DEBUG, logger="tickserve")
    log.request_ended(answered())
    fields = caplog.records[0].__dict__
    assert (fields["msg"], fields["model"], fields["duration"]) == ("request_answered", "cnn_lstm:1", 0.01)
    assert not [name for name, value in fields.items() if hasattr(value, "shape")]


def test_an_rpc_that_is_refused_as_a_whole_is_told(log: RequestLog, said: pytest.LogCaptureFixture) -> None:
    """But for those whose one request has said it already."""
    log.rpc_ended(rpc("GetModel", Reason.MODEL_NOT_FOUND))
    log.rpc_ended(rpc("Predict", Reason.QUEUE_FULL))
    log.rpc_ended(rpc("GetModel"))
    assert [(record.msg, record.__dict__["method"]) for record in said.records] == [("rpc_refused", "GetModel")]


async def test_what_is_told_later_belongs_to_no_call() -> None:
    """The call whose refusal was not told at once is not named in a line about many."""
    seen: list[Call | None] = []
    is_told = asyncio.Event()

    def look(_: logging.LogRecord) -> bool:
        seen.append(current_call.get())
        if len(seen) == 2:
            is_told.set()
        return False

    logger = logging.getLogger("tickserve")
    logger.addFilter(look)
    try:
        log = RequestLog(0.001)
        token = current_call.set(call())
        for _ in range(2):
            log.request_ended(refused())
        current_call.reset(token)
        await is_told.wait()
    finally:
        logger.removeFilter(look)
    assert [each is None for each in seen] == [False, True]


def test_another_interval_counts_at_once(log: RequestLog, loop: Loop, said: pytest.LogCaptureFixture) -> None:
    """An operator who looks at a flood may ask for more lines of it."""
    log.request_ended(refused())
    log.change_interval(1.0)
    loop.advance(1)
    log.request_ended(refused())
    assert len(said.records) == 2
