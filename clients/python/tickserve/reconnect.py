"""When a broken tick stream is opened again, and when it is not: pure decisions, clock and chance injected."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from tickserve.errors import DeadlineError, OverloadedError, TickserveError, TransportError, UnavailableError

__all__ = (
    "BackOff",
    "ConnectionChange",
    "Disconnected",
    "Reconnected",
    "ResumePolicy",
    "is_transient",
)

SILENT_HEARTBEATS = 3
"""A service that says nothing for as many of its heartbeats is lost."""

# What connections, proxies and replicas that die under a stream make of it. RESOURCE_EXHAUSTED is not among them:
# without a reason of tickserve's it means a message that is too large, and it would be as large the next time.
_LOST = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.NOT_FOUND,  # a proxy that has just started and knows of no replica yet
        grpc.StatusCode.ABORTED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePolicy:
    """How a tick stream comes back after its connection was lost.

    Raises:
        ValueError: A value is out of its range.
    """

    initial_delay: float = 0.05
    """Seconds that the first wait is at most, > 0; each further one is at most twice as long. Each is drawn evenly from
    zero to that ("full jitter"), so that the clients of a replica that died do not come back all at once."""
    max_delay: float = 5.0
    """Seconds that no wait exceeds, at least `initial_delay`."""
    give_up_after: float | None = None
    """Seconds without an answer after which the error is raised, > 0; None: never."""
    buffer_size: int = 10_000
    """Ticks that are kept to be sent again, at least 1; see `AsyncTickStream`."""
    max_unanswered: int = 60
    """Bars and rows of one symbol that may be on their way without an answer, at least 1. The service can compute as
    many lost answers again as its `resume_depth` (60 by default) says; with more on their way, a break may be a gap."""

    def __post_init__(self) -> None:
        if not 0 < self.initial_delay <= self.max_delay < math.inf:
            raise ValueError("initial_delay must be > 0 and at most max_delay, which must be finite")
        if self.give_up_after is not None and not self.give_up_after > 0:
            raise ValueError("give_up_after must be > 0, or None for never")
        if self.buffer_size < 1:
            raise ValueError("buffer_size must be at least 1")
        if self.max_unanswered < 1:
            raise ValueError("max_unanswered must be at least 1")


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection was lost; the stream tries to open another one."""

    error: TickserveError
    """How it was lost, or why the last attempt to come back failed."""
    delay: float
    """Seconds until the next attempt."""


@dataclass(frozen=True, slots=True)
class Reconnected:
    """The stream is open again; what the service lacks is being sent."""

    attempts: int
    """How many it took, at least 1."""
    resent_count: int
    """Ticks that are sent again, or that have waited for a connection."""


ConnectionChange = Disconnected | Reconnected


def is_transient(error: TickserveError) -> bool:
    """Tells whether opening the session anew may help; what the caller did wrong stays wrong."""
    match error:
        case UnavailableError() | OverloadedError():
            return True
        case DeadlineError():
            return not error.reason  # the service did not answer `open` in time
        case TransportError():
            return error.code in _LOST
        case _:
            return False


class BackOff:
    """How long to wait before the next attempt.

    Args:
        policy: The bounds.
        chance: Gives evenly spread numbers from [0, 1).
        clock: Gives monotonic seconds.
    """

    def __init__(
        self,
        policy: ResumePolicy,
        *,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._chance = chance
        self._clock = clock
        self._failures = 0
        self._since: float | None = None

    def succeeded(self) -> None:
        """Notes that the service has answered, so that the next wait is a first one.

        Having been opened is no such success: a service that breaks at the first tick must not be asked in a tight
        loop.
        """
        self._failures = 0
        self._since = None

    def next_delay(self, error: TickserveError) -> float | None:
        """Gives the seconds to wait after a failure; None: give up."""
        now = self._clock()
        if self._since is None:
            self._since = now
        limit = self._policy.give_up_after
        if limit is not None and now - self._since >= limit:
            return None
        # The exponent is bounded, or a float would overflow after weeks.
        most = min(self._policy.max_delay, self._policy.initial_delay * 2.0 ** min(self._failures, 60))
        self._failures += 1
        delay = self._chance() * most
        if error.retry_delay is not None and error.retry_delay > 0:
            # The service knows best, but it tells all of its clients the same.
            delay += min(error.retry_delay, self._policy.max_delay)
        return delay
