"""One replica's part of a token bucket that all replicas share: tokens on lease, so that none waits for the store.

Owns how much is leased, how much may be spent before the store has said so, and what is asked of the store. Pure: the
store's answers and the time are given to it.

Per replica at most `lease` tokens are held and not spent, and at most `lease` are spent and not yet charged; what is
spent is always charged in the end, if need be below zero. So in any interval of t seconds R replicas admit at most
burst + rate * t + 2 * R * lease, and from a full bucket on burst + rate * t + R * lease.
"""

from __future__ import annotations

import math

from server.grant import RateLimit
from server.security.token_store import Ask, Given

_ROUND_TRIP = 0.01
"""Seconds after which the store has answered, for whom has to wait for that."""
_IDLE = 1.0
"""Seconds without a request after which held tokens go back: others may need them."""
_SPAN = 0.02
"""Seconds of the rate that a lease covers at least, else the way to the store would be the limit."""


def lease_of(limit: RateLimit, replicas: int) -> int:
    """Returns the most tokens that one of so many replicas holds: half its share of the burst, or 20 ms of its rate."""
    return max(1, math.ceil(max(limit.burst / 2, limit.rate * _SPAN) / replicas))


class LeasedBucket:
    """A replica's part of one shared bucket.

    Args:
        limit: Of the shared bucket.
        replicas: How many share it, at least 1.
        now: Monotonic seconds, as in all other methods.
        is_new: Whether nobody is known to have used it: then it is likely to be full.
    """

    def __init__(self, limit: RateLimit, *, replicas: int, now: float, is_new: bool = True) -> None:
        self._tokens = 0  # below zero: spent and not yet charged
        self._spent = self._unmet = 0  # since the store was last asked
        self._closed_until = -math.inf
        self._used_at = now
        # How many may be spent before they are charged; later on, as many as the store's last word makes likely.
        self._overdraft = lease_of(limit, replicas) if is_new else 1
        self.change(limit, replicas)

    @property
    def tokens(self) -> int:
        """Tokens held; below zero: tokens spent that the store has not been charged for."""
        return self._tokens

    @property
    def is_active(self) -> bool:
        """Whether the store may have to be asked: tokens are held, owed or wanted."""
        return bool(self._tokens or self._unmet)

    def change(self, limit: RateLimit, replicas: int) -> None:
        """Goes on with another limit or number of replicas."""
        self._limit = limit
        self._lease = lease_of(limit, replicas)
        self._overdraft = min(self._overdraft, self._lease)

    def take(self, count: int, now: float) -> int:
        """Takes as many tokens as are held or may be spent before they are charged; returns how many."""
        self._used_at = now
        there = self._tokens + (self._overdraft if now >= self._closed_until else 0)
        taken = min(count, max(0, there))
        self._tokens -= taken
        self._spent += taken
        self._unmet += count - taken
        return taken

    def wait(self, now: float) -> float:
        """Returns the seconds until the store has a token for this replica, as far as is known; 0 if one is at hand."""
        is_open = now >= self._closed_until
        if self._tokens + (self._overdraft if is_open else 0) > 0:
            return 0.0
        if is_open:
            return _ROUND_TRIP
        return self._closed_until - now + max(0, -self._tokens) / self._limit.rate

    def ask(self, now: float) -> Ask | None:
        """Returns what the store is to be asked; None: nothing.

        Call `granted` with its answer, or nothing if there is none: then debts are asked for again.
        """
        debt, more = max(0, -self._tokens), self._wanted(now)
        if not debt and not more:
            return None
        if more < 0:
            self._tokens += more  # on their way back
        self._spent = self._unmet = 0
        return Ask(limit=self._limit, debt=debt, more=more)

    def granted(self, given: Given, now: float) -> None:
        """Takes the store's answer."""
        self._tokens += given.tokens
        # Where there is none left, there will be one then: one, and not a lease for each replica.
        self._closed_until = now + max(0.0, (1 - given.left) / self._limit.rate)
        self._overdraft = min(self._lease, max(1, int(given.left)))

    def _wanted(self, now: float) -> int:
        """Returns how many tokens to hold beyond what is held or owed; below zero: how many to give back."""
        held = max(0, self._tokens)
        if now - self._used_at >= _IDLE:
            return -held
        if now < self._closed_until:
            return 0  # there is none
        demand = self._spent + self._unmet
        # Who asks now and then pays afterwards; only who asks often needs tokens beforehand.
        target = min(self._lease, demand) if demand > 1 else 0
        return target - held if 2 * held < target else 0
