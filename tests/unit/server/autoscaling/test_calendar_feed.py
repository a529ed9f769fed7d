"""Laws of the feed of calendars: nobody waits for it, and an old calendar serves for as long as it reaches."""

import logging
from collections.abc import Callable, Sequence

import pytest

from server.autoscaling.calendar_feed import CalendarFeed, process_feed
from server.autoscaling.market_calendar import MarketCalendar, Session


class Library:
    """Calendars that are there, or not."""

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[str], float, float]] = []
        self.error: Exception | None = None

    def load(self, names: Sequence[str], start: float, end: float) -> MarketCalendar:
        """Returns one session, or raises."""
        self.asked.append((names, start, end))
        if self.error is not None:
            raise self.error
        return MarketCalendar([Session(start, end)], known_until=end)


def make(library: Library, clock: list[float]) -> tuple[CalendarFeed, list[Callable[[], None]]]:
    """Returns a feed, and the threads that it would have started."""
    threads: list[Callable[[], None]] = []
    feed = CalendarFeed(["XNYS"], load=library.load, now=lambda: clock[0], start_thread=threads.append)
    return feed, threads


def test_the_first_call_loads_beside_its_caller() -> None:
    """It returns at once, with nothing; one thread is started, however often it is asked."""
    library = Library()
    feed, threads = make(library, [1e9])
    assert [feed.calendar(1e9), feed.calendar(1e9 + 1)] == [None, None]
    assert len(threads) == 1
    assert library.asked == []
    assert not feed.is_overdue(1e9 + 1)
    assert feed.load()
    assert feed.calendar(1e9 + 2) is not None
    assert feed.is_overdue(1e9 + 2)


def test_a_failure_is_logged_and_the_old_calendar_serves_on(caplog: pytest.LogCaptureFixture) -> None:
    """For as long as it reaches; then there is none."""
    library, clock = Library(), [1e9]
    feed, _ = make(library, clock)
    assert feed.load()
    library.error = OSError("no library")
    clock[0] += 86_400
    with caplog.at_level(logging.ERROR, logger="ray.serve"):
        assert not feed.load()
    assert "XNYS" in caplog.text
    assert feed.calendar(clock[0]) is not None
    assert feed.calendar(1e9 + 61 * 86_400) is None


def test_a_reader_may_give_up_waiting() -> None:
    """Two minutes after its first question."""
    feed, _ = make(Library(), [1e9])
    assert not feed.is_overdue(1e9)
    feed.calendar(1e9)
    assert [feed.is_overdue(1e9 + 119), feed.is_overdue(1e9 + 121)] == [False, True]


def test_the_calendar_is_loaded_once_a_process() -> None:
    """A new policy finds the feed of the one before it."""
    assert process_feed(("XNYS",)) is process_feed(("XNYS",))
    assert process_feed(("XNYS",)) is not process_feed(("XLON",))
