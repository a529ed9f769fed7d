"""The week of foreign exchange, 24x5: from Sunday 17:00 to Friday 17:00 in New York, whatever the season. Pure.

Not `24/5` of exchange_calendars, which begins with Monday by UTC and so misses the first hours of every week. Holidays
close nothing: trade is thin at Christmas and at New Year, but there is some.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from server.autoscaling.market_calendar import Session

_NEW_YORK = ZoneInfo("America/New_York")
_TURN = time(17)
_SUNDAY = 6


def fx_week_sessions(start: float, end: float) -> Iterator[Session]:
    """Yields every week that has a part between two moments, Unix seconds."""
    day = datetime.fromtimestamp(start, UTC).astimezone(_NEW_YORK).date()
    # The Sunday on or before it, and one more: before 17:00 on a Sunday the week before has only just ended.
    sunday = day - timedelta(days=(day.weekday() - _SUNDAY) % 7 + 7)
    while True:
        opens = datetime.combine(sunday, _TURN, _NEW_YORK).timestamp()
        closes = datetime.combine(sunday + timedelta(days=5), _TURN, _NEW_YORK).timestamp()
        if opens >= end:
            return
        if closes > start:
            yield Session(opens, closes)
        sunday += timedelta(days=7)
