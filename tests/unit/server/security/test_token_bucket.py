"""Examples of a token bucket; its laws are in `tests/property/server/test_rate_limit_properties.py`."""

import itertools

import pytest

from batching import PriorityClass
from server.grant import RateLimit
from server.security.rate_limiter import RateLimiter
from server.security.token_bucket import TokenBucket, share_of

TEN = RateLimit(rate=10, burst=5)


def test_a_burst_then_the_rate() -> None:
    """Five at once, the sixth a tenth of a second later."""
    bucket = TokenBucket(TEN, now=100.0)
    assert bucket.take(6, 100.0) == 5
    assert bucket.wait(100.0) == pytest.approx(0.1)
    assert bucket.take(1, 100.099) == 0
    assert bucket.take(1, 100.1) == 1
    assert bucket.take(9, 107.0) == 5  # a long pause fills it, and no more


def test_a_new_bucket_is_full_though_the_clock_goes_on() -> None:
    """The first request that meets a limit finds the whole burst, on a clock that never says the same twice."""
    seconds = itertools.count()
    limiter = RateLimiter(replicas=1, clock=lambda: 1e-3 * next(seconds))
    assert limiter.admit("key", PriorityClass.STANDARD, TEN, cost=9) == 5


def test_a_debt_is_waited_for() -> None:
    """Tokens that were spent before they were there are earned first."""
    bucket = TokenBucket(TEN, now=0.0, tokens=-2)
    assert bucket.tokens(0.0) == pytest.approx(-2)
    assert bucket.wait(0.0) == pytest.approx(0.3)
    assert bucket.take(1, 0.3) == 1


@pytest.mark.parametrize(("replicas", "rate", "burst"), [(1, 10, 5), (2, 5, 2.5), (10, 1, 1)])
def test_a_share_admits_one_at_once_at_least(replicas: int, rate: float, burst: float) -> None:
    """A share whose burst were below one would never admit anything."""
    assert share_of(TEN, replicas) == RateLimit(rate=rate, burst=burst)
