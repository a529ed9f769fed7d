"""A token bucket: at most a burst at once, and a rate in the long run. Pure; the time is given to it."""

from __future__ import annotations

from server.grant import RateLimit

# Seconds. Monotonic clocks of old machines are great numbers, whose last digits are coarse: whoever comes back exactly
# when he was told to must not be a rounding error early.
_TOLERANCE = 1e-6


def share_of(limit: RateLimit, replicas: int) -> RateLimit:
    """Returns what one of so many replicas may admit by itself: its even share, but at least one request at once."""
    return RateLimit(rate=limit.rate / replicas, burst=max(1.0, limit.burst / replicas))


class TokenBucket:
    """Gives out tokens; full at first.

    Kept as one number, the moment at which it will be full again: so refills cost nothing and no error adds up.

    Args:
        limit: How fast it fills, and how much it holds.
        now: Seconds on the clock that all other methods are given, too.
        tokens: What is in it at first; None: it is full. Negative where tokens were given out before they were there.
    """

    def __init__(self, limit: RateLimit, *, now: float, tokens: float | None = None) -> None:
        self._limit = limit
        missing = 0.0 if tokens is None else max(0.0, limit.burst - tokens)
        self._full_at = now + missing / limit.rate

    def tokens(self, now: float) -> float:
        """Returns how many tokens are there, at most the burst; negative while in debt."""
        return self._limit.burst - max(0.0, self._full_at - now) * self._limit.rate

    def take(self, count: int, now: float) -> int:
        """Takes as many whole tokens as there are, and returns how many: 0 to `count`."""
        there = int(max(0.0, self.tokens(now) + _TOLERANCE * self._limit.rate))
        taken = min(count, there)
        if taken:
            self._full_at = max(self._full_at, now) + taken / self._limit.rate
        return taken

    def wait(self, now: float) -> float:
        """Returns the seconds until a whole token is there; 0 if one is."""
        return max(0.0, (1 - self.tokens(now)) / self._limit.rate)

    def change(self, limit: RateLimit, now: float) -> None:
        """Goes on with another limit and the tokens that are there, as far as they fit."""
        tokens = min(self.tokens(now), limit.burst)
        self._limit = limit
        self._full_at = now + (limit.burst - tokens) / limit.rate
