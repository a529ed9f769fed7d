"""Keeps a refusal back for a moment, so that a replica which can only refuse does not look like the one that is free.

The proxy sends each call to the replica with the fewest calls under way. One that refuses within a millisecond has
hardly ever one, and draws nearly all calls, and nearly all second attempts: a black hole. Kept for several times what
an answer takes, a refusal counts among its calls for that long, and most calls go elsewhere. (Ray Serve writes the
proxy's configuration; it can neither weigh replicas nor tell a refusal from an answer: both have HTTP status 200.)

What is kept is a part of the time that the caller has left, so that a second attempt still can come in time. Where
there is no other replica nothing is kept: there is nowhere else to go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from server.call import Call
from server.refusal import Reason

SHARE = 0.25
"""Of the time left to a call, for which its refusal is kept at the most."""
LONGEST = 0.05
"""Seconds for which a refusal is kept at the most, unless the settings say otherwise: five times what the model takes
for a window on a CPU."""
MOST = 1024
"""Refusals that are kept at once; further ones go at once, for what is kept holds memory."""

HELD = frozenset({Reason.QUEUE_FULL, Reason.PREDICTED_DEADLINE_MISS, Reason.INFERENCE_FAILED})
"""What another replica may well do better. The rest is the caller's fault or the whole service's."""


class RefusalHold:
    """Keeps refusals back. Event loop only.

    Args:
        longest: Gives the seconds for which a refusal is kept at the most (`limits.refusal_hold`); 0: never.
        clock: Monotonic seconds.
        sleep: Waits for so many seconds.

    Attributes:
        others: How many other replicas there are, as far as is known.
        is_used: Whether there was anything to keep since `others` was told last: else nobody need count replicas.
        held_count: Refusals that are kept now.
    """

    def __init__(
        self,
        *,
        longest: Callable[[], float] = lambda: LONGEST,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._longest = longest
        self._clock = clock
        self._sleep = sleep
        self.others = 0
        self.is_used = False
        self.held_count = 0

    def note_others(self, count: int) -> None:
        """Takes note of how many other replicas there are."""
        self.others = count
        self.is_used = False

    def delay(self, reason: Reason, call: Call) -> float:
        """Returns the seconds for which a refusal is to be kept, 0 or more."""
        if reason not in HELD:
            return 0.0
        self.is_used = True
        if not self.others or self.held_count >= MOST:
            return 0.0
        if call.rpc_deadline is None:
            return self._longest()
        return max(0.0, min(self._longest(), SHARE * (call.rpc_deadline - self._clock())))

    async def hold(self, reason: Reason, call: Call) -> None:
        """Returns when the refusal may go; at once, most times."""
        if delay := self.delay(reason, call):
            self.held_count += 1
            try:
                await self._sleep(delay)
            finally:
                self.held_count -= 1
