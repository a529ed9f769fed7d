"""How long to leave alone what has failed. Owns the delays and the two lines in the log; no clock, no timer."""

from __future__ import annotations

import logging
import random

_FIRST = 0.05
_LONGEST = 2.0

logger = logging.getLogger("tickserve")


class BackOff:
    """The delay after failures in a row.

    Args:
        what: What fails, for the log; begins the sentence.

    Attributes:
        delay: Seconds to wait before the next attempt; 0 while all is well.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._since: float | None = None
        self.delay = 0.0

    def failed(self, error: Exception, *, now: float) -> None:
        """Notes a failure; the first of a row is told in the log."""
        if self._since is None:
            self._since = now
            self.delay = _FIRST
            logger.warning("%s cannot be stored, which will be tried until it succeeds: %s", self._what, error)
        # Jitter keeps the replicas from asking a store that has come back all at once.
        self.delay = min(_LONGEST, self.delay * random.uniform(1.5, 2.0))

    def succeeded(self, *, now: float) -> None:
        """Notes that all is well."""
        if self._since is not None:
            logger.info("%s are stored again, after %.1f s", self._what, now - self._since)
            self._since = None
            self.delay = 0.0
