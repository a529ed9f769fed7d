"""How many callers were turned away, and why; said in the log so often that it can be seen, and no oftener."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping

from server.refusal import Reason, Refusal

logger = logging.getLogger("tickserve")

INTERVAL = 10.0


class RefusalTally:
    """Counts refusals by reason. One line of each reason in ten seconds: strangers must not fill the log.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: Counter[Reason] = Counter()
        self._told: Counter[Reason] = Counter()
        self._told_at: dict[Reason, float] = {}

    @property
    def counts(self) -> Mapping[Reason, int]:
        """How many, by reason."""
        return self._counts

    def note(self, refusal: Refusal, *, method: str, key_id: str = "") -> None:
        """Counts one.

        Args:
            refusal: What the caller is told.
            method: What was called, by a name of ours.
            key_id: The key that was named; of one that does not exist it must be left out, for the caller chose it.
        """
        reason = refusal.reason
        self._counts[reason] += 1
        now = self._clock()
        if now - self._told_at.get(reason, -INTERVAL) < INTERVAL:
            return
        count = self._counts[reason] - self._told[reason]
        self._told[reason], self._told_at[reason] = self._counts[reason], now
        logger.warning(
            "calls refused at the door: %s",
            reason.name,
            extra={"reason": reason.name, "called": method, "count": count} | ({"key_id": key_id} if key_id else {}),
        )
