"""The sessions of exchanges, from exchange_calendars: holidays, early closes and the change of clocks are its business.

The one file that imports the library, and a program of its own: it takes pandas along and a second or two to import,
which Ray Serve's controller must not spend, since nothing is deployed, scaled or replaced meanwhile. Writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from server.autoscaling.fx_week import fx_week_sessions
from server.autoscaling.market_calendar import MarketCalendar, Session
from server.config.calendar_names import FX_WEEK

_TIMEOUT = 120.0
# The library counts the days of the exchange, which may be one off from UTC's.
_DAY = 86_400.0


class CalendarError(Exception):
    """The sessions could not be found. The message says why."""


def load_calendar(names: Sequence[str], start: float, end: float) -> MarketCalendar:
    """Returns the union of calendars between two moments, Unix seconds; waits for a child process, if need be.

    Raises:
        CalendarError: The child failed, or took too long.
    """
    exchanges = [name for name in names if name != FX_WEEK]
    sessions = list(fx_week_sessions(start, end)) if FX_WEEK in names else []
    if not exchanges:
        return MarketCalendar(sessions, known_until=end)
    command = [sys.executable, "-m", __name__, str(start), str(end), *exchanges]
    # The child finds our modules where this process did, whatever its working directory.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    try:
        run = subprocess.run(
            command,
            check=True,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
        until, found = json.loads(run.stdout)
        return MarketCalendar([*sessions, *(Session(*pair) for pair in found)], known_until=until)
    except subprocess.CalledProcessError as error:
        raise CalendarError(f"calendars {', '.join(exchanges)}: {' '.join(error.stderr.split())[-500:]}") from None
    except (subprocess.TimeoutExpired, OSError, ValueError) as error:
        raise CalendarError(f"calendars {', '.join(exchanges)}: {error}") from None


def exchange_sessions(name: str, start: float, end: float) -> tuple[list[Session], float]:
    """Returns an exchange's sessions that have a part between two moments, and until when they are known.

    Imports the library. Some exchanges publish their holidays a year ahead: then it knows nothing of what follows, and
    the nearest end that it takes is as far as it goes.

    Raises:
        ValueError: It does not even know the first day.
    """
    import exchange_calendars

    first = datetime.fromtimestamp(start - _DAY, UTC).date().isoformat()
    days = max(1, int((end - start) // _DAY))
    while True:
        until = min(end, start + days * _DAY)
        try:
            calendar = exchange_calendars.get_calendar(
                name, start=first, end=datetime.fromtimestamp(until + _DAY, UTC).date().isoformat()
            )
            break
        except ValueError:
            if days == 1:
                raise
            days -= 1
    sessions = (Session(o.timestamp(), c.timestamp()) for o, c in zip(calendar.opens, calendar.closes, strict=True))
    return [session for session in sessions if session.closes > start and session.opens < end], until


def main(arguments: Sequence[str]) -> None:
    """Writes, as JSON, until when the sessions are known, and a list of their openings and closes."""
    parser = argparse.ArgumentParser(description="Sessions of exchanges, as JSON.")
    parser.add_argument("start", type=float, help="Unix seconds")
    parser.add_argument("end", type=float, help="Unix seconds")
    parser.add_argument("names", nargs="+", help="as in XNYS")
    given = parser.parse_args(arguments)
    os.nice(10)  # nobody waits for it
    found = [exchange_sessions(name, given.start, given.end) for name in given.names]
    pairs = [(session.opens, session.closes) for sessions, _ in found for session in sessions]
    json.dump([min(until for _, until in found), pairs], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
