"""Keeps a calendar at hand that reaches into the future, without ever making its reader wait.

A thread loads it once, and again twice a day. What cannot be loaded is tried again and logged; the calendar that is
there serves on for as long as it reaches.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Sequence

from server.autoscaling.exchange_sessions import load_calendar
from server.autoscaling.market_calendar import MarketCalendar

logger = logging.getLogger("ray.serve")

Load = Callable[[Sequence[str], float, float], MarketCalendar]

_DAY = 86_400.0
_PAST = 7 * _DAY
# Weeks without a working library go by before it runs out.
_FUTURE = 60 * _DAY
_REFRESH = _DAY / 2
_RETRY = 60.0
# Seconds for which a reader waits for the first calendar before it does without.
_PATIENCE = 120.0


class CalendarFeed:
    """One union of calendars, always there once it was loaded.

    Args:
        names: Of the calendars.
        load: Returns their union between two moments, Unix seconds; may block and raise.
        now: Unix seconds.
        start_thread: Runs a function beside the caller; by default a thread of its own does.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        load: Load = load_calendar,
        now: Callable[[], float] = time.time,
        start_thread: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._names = tuple(names)
        self._load = load
        self._now = now
        self._start_thread = start_thread or _start_daemon
        self._calendar: MarketCalendar | None = None
        self._asked_at: float | None = None

    def calendar(self, now: float) -> MarketCalendar | None:
        """Returns the calendar, or None where none reaches to `now`, Unix seconds; never blocks."""
        if self._asked_at is None:
            self._asked_at = now
            self._start_thread(self._run)
        known = self._calendar
        return known if known is not None and now < known.known_until else None

    def is_overdue(self, now: float) -> bool:
        """Tells whether a reader has waited for the first calendar for long enough."""
        return self._calendar is not None or (self._asked_at is not None and now - self._asked_at > _PATIENCE)

    def load(self) -> bool:
        """Loads the calendar anew; tells whether that worked. Blocks."""
        start, end = self._now() - _PAST, self._now() + _FUTURE
        try:
            self._calendar = self._load(self._names, start, end)
        except Exception:
            logger.exception(
                "autoscaling cannot read the calendars %s; once it knows none, it takes markets for open",
                ", ".join(self._names),
            )
            return False
        return True

    def _run(self) -> None:
        while True:
            time.sleep(_REFRESH if self.load() else _RETRY)


@functools.cache
def process_feed(names: tuple[str, ...]) -> CalendarFeed:
    """Returns this process's feed of the calendars: each new deployment makes a new policy, which finds it loaded."""
    return CalendarFeed(names)


def _start_daemon(target: Callable[[], None]) -> None:
    threading.Thread(target=target, name="tickserve-calendars", daemon=True).start()
