"""When the place of a stream that conflates is given up. Owns the one timer of a place.

The scheduler knows only how long a place may be kept at most: what waits there changes, and with it until when an
answer is of use. A place is given up only if that is over for the newest, and early enough that nothing is computed in
vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from server.ticks.pending_prediction import PendingPrediction

# The most that may be taken of a prediction's time: one that has little of it is still tried.
_MOST = 0.5


class PlaceExpiry:
    """Ends what waits in a place once its newest prediction cannot be answered in time any more.

    Args:
        pending: The place.
        limit: Ends the wait when it is told to.
        now: Monotonic seconds, as the place's deadlines are.
        margin: Seconds before the deadline at which the place is given up: how long a batch takes.
    """

    def __init__(
        self, pending: PendingPrediction, limit: asyncio.Timeout, *, now: Callable[[], float], margin: float
    ) -> None:
        self._pending = pending
        self._limit = limit
        self._now = now
        self._margin = margin
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(max(0.0, self._left()), self._look)

    def disarm(self) -> None:
        """Gives nothing up any more."""
        self._timer.cancel()

    def _left(self) -> float:
        pending = self._pending
        margin = min(self._margin, _MOST * (pending.deadline - pending.received_at))
        return pending.deadline - margin - self._now()

    def _look(self) -> None:
        if self._pending.is_bound:
            return  # the engine computes it: whether that was in time shows at the end
        left = self._left()
        if left > 0:  # a newer one has come
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._limit.reschedule(self._loop.time())
