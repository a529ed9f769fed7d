"""How long to wait before a process that has ended is started again. Pure: uptimes in, delays out."""

from __future__ import annotations

_FIRST = 0.1
_LONGEST = 10.0
_STEADY = 30.0


class RestartDelay:
    """The delays of one process that should not end.

    The first restart is almost at once, for the service is gone meanwhile; one that ends again and again is left alone
    for longer and longer, at most 10 s.
    """

    def __init__(self) -> None:
        self._next = _FIRST

    def after(self, uptime: float) -> float:
        """Returns the seconds to wait, after the process has ended.

        Args:
            uptime: Seconds that it has run; after half a minute its former ends are forgotten.
        """
        if uptime >= _STEADY:
            self._next = _FIRST
        delay, self._next = self._next, min(_LONGEST, self._next * 2)
        return delay
