"""When a call is tried again, and when it is not: pure decisions, clock and chance injected.

A retry costs the service most when it can least afford it, so every client has a budget: each call earns a fraction of
a retry and each retry, or hedge, spends one. (Finagle's RetryBudget, and the throttling of gRPC's retries, gRFC A6.)
"""

from __future__ import annotations

import enum
import math
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from tickserve.errors import OverloadedError, TickserveError, TransportError, UnavailableError

__all__ = ("HedgePolicy", "RetryPolicy", "RetryStatistics")

# What another replica may well be able to do: the proxy sends the next attempt to the one with the fewest calls.
_ELSEWHERE = frozenset({"PREDICTED_DEADLINE_MISS", "QUEUE_FULL", "DRAINING"})
# UNKNOWN without a reason of tickserve's is what gRPC makes of a proxy's own 5xx page; NOT_FOUND is what a proxy says
# that has just started and knows of no replica yet.
_LOST = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.NOT_FOUND})
# Less is left than any answer takes.
_LEAST_USEFUL = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, and how soon, a call is tried again; never beyond its deadline.

    Tried again are calls that no replica has answered (UNAVAILABLE, and UNKNOWN or NOT_FOUND without a reason, which
    are a proxy's own) and, once and at once, those that one replica refused and another may take
    (PREDICTED_DEADLINE_MISS, QUEUE_FULL, DRAINING). Predictions have no side effects, so a second execution harms
    nobody.

        >>> patient = tickserve.RetryPolicy(max_attempts=5, max_delay=1.0)
        >>> with tickserve.Client("127.0.0.1:9000", retry=patient) as client:
        ...     client.health()
        'SERVING'

    Raises:
        ValueError: A value is out of its range.
    """

    max_attempts: int = 3
    """Attempts of one call, the first included, at least 1."""
    initial_delay: float = 0.005
    """Seconds that the first wait is at most, > 0; each further one is at most twice as long. Each is drawn evenly from
    zero to that ("full jitter")."""
    max_delay: float = 0.25
    """Seconds that no wait exceeds, at least `initial_delay`; a longer `RetryInfo` of the service's still counts."""
    budget_ratio: float = 0.1
    """Retries and hedges that each call earns, 0 to 1."""
    budget_burst: float = 10.0
    """Retries and hedges that may be saved up, at least 1; a new client has as many."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError("max_attempts must be at least 1")
        if not 0 < self.initial_delay <= self.max_delay < math.inf:
            raise ValueError("initial_delay must be > 0 and at most max_delay, which must be finite")
        if not 0 <= self.budget_ratio <= 1:
            raise ValueError("budget_ratio must be from 0 to 1")
        if not 1 <= self.budget_burst < math.inf:
            raise ValueError("budget_burst must be at least 1 and finite")


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgePolicy:
    """When a real-time call is sent a second time, to whichever replica is free; the first answer counts.

    The loser is cancelled. Choose about the 95th percentile of what calls take ("The Tail at Scale", Dean and Barroso,
    2013): a twentieth of the calls then is sent twice. Hedges are paid from the retry budget.

        >>> hedge = tickserve.HedgePolicy(delay=0.020)
        >>> with tickserve.Client("127.0.0.1:9000", hedge=hedge) as client:
        ...     answer = client.predict(tickserve.example_window(client.model()), priority="real_time", timeout=0.050)
        ...     client.retry_statistics.calls
        1

    Raises:
        ValueError: A value is out of its range.
    """

    delay: float
    """Seconds without an answer after which the second copy is sent, > 0."""

    def __post_init__(self) -> None:
        if not 0 < self.delay < math.inf:
            raise ValueError("delay must be > 0 and finite")


@dataclass(frozen=True, slots=True)
class RetryStatistics:
    """What a client's calls have needed so far."""

    calls: int
    """Calls that were made, however often each was tried."""
    retries: int
    """Attempts after the first."""
    hedges: int
    """Second copies that were sent."""
    hedge_wins: int
    """Second copies that answered first."""
    refused_by_budget: int
    """Retries and hedges that the budget did not allow."""


class RetryKind(enum.Enum):
    """What another attempt may be good for."""

    NEVER = enum.auto()
    ELSEWHERE = enum.auto()
    LATER = enum.auto()


def retry_kind(error: TickserveError) -> RetryKind:
    """Tells what another attempt may be good for."""
    match error:
        case OverloadedError() | UnavailableError() if error.reason in _ELSEWHERE:
            return RetryKind.ELSEWHERE
        case UnavailableError():
            return RetryKind.LATER
        case TransportError() if error.code in _LOST:
            return RetryKind.LATER
        case _:
            return RetryKind.NEVER


class Retries:
    """The retries of one client: its budget and its counters. Any number of threads.

    Args:
        policy: None: nothing is tried again.
        hedge: None: nothing is sent twice.
        chance: Gives evenly spread numbers from [0, 1).
        clock: Gives monotonic seconds.
    """

    def __init__(
        self,
        policy: RetryPolicy | None,
        hedge: HedgePolicy | None = None,
        *,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy or RetryPolicy(max_attempts=1)
        self.hedge = hedge
        self.clock = clock
        self._chance = chance
        self._tokens = self.policy.budget_burst
        self._lock = threading.Lock()
        self._calls = self._retries = self._hedges = self._hedge_wins = self._refused = 0

    def begin(self, timeout: float | None) -> Attempts:
        """Notes a call, which earns its share, and returns what decides about its attempts.

        Args:
            timeout: Seconds from now until when an answer is of use; None: at any time.
        """
        with self._lock:
            self._calls += 1
            self._tokens = min(self.policy.budget_burst, self._tokens + self.policy.budget_ratio)
        return Attempts(self, deadline=None if timeout is None else self.clock() + timeout, chance=self._chance)

    def spend_retry(self) -> bool:
        """Takes a retry from the budget, if there is one."""
        with self._lock:
            if not self._spend():
                return False
            self._retries += 1
            return True

    def spend_hedge(self) -> bool:
        """Takes a hedge from the budget, if there is one."""
        with self._lock:
            if not self._spend():
                return False
            self._hedges += 1
            return True

    def note_hedge_win(self) -> None:
        """Notes that a second copy has answered first."""
        with self._lock:
            self._hedge_wins += 1

    def statistics(self) -> RetryStatistics:
        """Returns the counters."""
        with self._lock:
            return RetryStatistics(self._calls, self._retries, self._hedges, self._hedge_wins, self._refused)

    def _spend(self) -> bool:
        if self._tokens < 1:
            self._refused += 1
            return False
        self._tokens -= 1
        return True


class Attempts:
    """Decides about the attempts of one call; made by `Retries.begin`."""

    def __init__(self, retries: Retries, *, deadline: float | None, chance: Callable[[], float]) -> None:
        self._retries = retries
        self._started_at = retries.clock()
        self._deadline = deadline
        self._chance = chance
        self._made = 1
        self._went_elsewhere = False

    @property
    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self._retries.clock() - self._started_at

    def next_delay(self, error: TickserveError) -> float | None:
        """Gives the seconds to wait before the next attempt; None: the error stands."""
        policy = self._retries.policy
        kind = retry_kind(error)
        if kind is RetryKind.NEVER or self._made >= policy.max_attempts:
            return None
        if kind is RetryKind.ELSEWHERE and self._went_elsewhere and isinstance(error, OverloadedError):
            return None  # two replicas have said so: it is the service that is overloaded, and this would add to it
        if kind is RetryKind.ELSEWHERE and not self._went_elsewhere:
            delay = 0.0
        else:
            delay = self._chance() * min(policy.max_delay, policy.initial_delay * 2.0 ** min(self._made - 1, 60))
            delay += max(0.0, error.retry_delay or 0.0)
        if self._deadline is not None and self._retries.clock() + delay + _LEAST_USEFUL > self._deadline:
            return None
        if not self._retries.spend_retry():
            return None
        self._went_elsewhere |= kind is RetryKind.ELSEWHERE
        self._made += 1
        return delay
