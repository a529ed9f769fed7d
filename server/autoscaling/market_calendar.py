"""When markets are open: sessions of several calendars as one. Pure; knows no exchange, no library and no clock."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Phase(Enum):
    """What a moment is for the number of replicas."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, order=True)
class Session:
    """From an opening to a close, Unix seconds; a pause at noon is part of it: it is too short to take replicas away.

    Attributes:
        opens: When it opens; belongs to it.
        closes: When it closes; does not belong to it.
    """

    opens: float
    closes: float


class MarketCalendar:
    """Sessions of any number of markets, as one: open is when one of them is.

    Args:
        sessions: In any order; they may overlap and touch.
        known_until: Unix seconds up to which all sessions are in it.
    """

    def __init__(self, sessions: Iterable[Session], *, known_until: float) -> None:
        self.known_until = known_until
        self.sessions = tuple(_joined(sessions))
        self._openings = [session.opens for session in self.sessions]

    def is_open(self, moment: float) -> bool:
        """Tells whether any market is open at a moment, Unix seconds."""
        place = bisect.bisect_right(self._openings, moment)
        return place > 0 and moment < self.sessions[place - 1].closes

    def next_open(self, moment: float) -> float | None:
        """Returns when a market next opens while all are closed, after a moment; None where no such time is known."""
        place = bisect.bisect_right(self._openings, moment)
        return self._openings[place] if place < len(self._openings) else None

    def phase(self, moment: float, *, pre_scale: float) -> Phase:
        """Returns the phase at a moment: open from `pre_scale` seconds before an opening to the close."""
        opening = self.next_open(moment)
        is_near = opening is not None and opening - moment <= pre_scale
        return Phase.OPEN if self.is_open(moment) or is_near else Phase.CLOSED


def _joined(sessions: Iterable[Session]) -> list[Session]:
    """Returns the sessions in order, those that overlap or touch as one."""
    joined: list[Session] = []
    for session in sorted(sessions):
        if session.closes <= session.opens:
            continue
        if joined and session.opens <= joined[-1].closes:
            joined[-1] = Session(joined[-1].opens, max(joined[-1].closes, session.closes))
        else:
            joined.append(session)
    return joined
