"""Properties of the rate limits: no interval sees more than the limit allows, and no wait is vain."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from batching import PriorityClass
from server.grant import RateLimit
from server.refusal import Refusal
from server.security.leased_bucket import LeasedBucket, lease_of
from server.security.rate_limiter import RateLimiter
from server.security.token_bucket import TokenBucket
from server.security.token_store import Ask
from tests.support.memory_token_store import MemoryTokenStore

START = 4e6
"""Seconds on the monotonic clock of a machine that has run for weeks: rounding shows there first."""

limits = st.builds(RateLimit, rate=st.floats(0.1, 5000), burst=st.floats(1, 500))
pauses = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.floats(0, 0.01), st.floats(0, 3)), st.integers(1, 80)), min_size=1, max_size=60
)


def most(admitted: Sequence[tuple[float, int]], limit: RateLimit) -> float:
    """Returns by how much the worst interval exceeds burst + rate * t; below zero where none does."""
    worst = -math.inf
    for first in range(len(admitted)):
        count = 0
        for at, taken in admitted[first:]:
            count += taken
            worst = max(worst, count - limit.burst - limit.rate * (at - admitted[first][0]))
    return worst


@given(limit=limits, pauses=pauses)
@settings(deadline=None, max_examples=150)
def test_no_interval_exceeds_the_limit(limit: RateLimit, pauses: list[tuple[float, int]]) -> None:
    """In any interval of t seconds at most burst + rate * t are admitted, and never none while a token is there."""
    now, bucket, admitted = START, TokenBucket(limit, now=START), []
    for pause, count in pauses:
        now += pause
        there = bucket.tokens(now)
        taken = bucket.take(count, now)
        assert taken == min(count, math.floor(there)) or abs(there - round(there)) < 1e-2
        admitted.append((now, taken))
    # A microsecond's worth is the tolerance against rounding.
    assert most(admitted, limit) <= 1e-6 * limit.rate + 1e-6 * limit.burst


@given(limit=limits, pauses=pauses)
@settings(deadline=None, max_examples=150)
def test_who_waits_as_told_is_admitted_and_not_much_sooner(limit: RateLimit, pauses: list[tuple[float, int]]) -> None:
    """The delay of a refusal is exact: then there is a token, and half of it before there was none."""
    now, bucket = START, TokenBucket(limit, now=START)
    for pause, count in pauses:
        now += pause
        if bucket.take(count, now) == count:
            continue
        wait = bucket.wait(now)
        assert wait > 0
        if wait > 1e-4:
            assert bucket.take(1, now + wait / 2) == 0
        now += wait
        assert bucket.take(1, now) == 1


@given(
    limit=limits,
    steps=st.lists(st.tuples(st.floats(0, 1), st.integers(1, 50), limits), min_size=1, max_size=20),
)
@settings(deadline=None, max_examples=80)
def test_a_changed_limit_makes_no_tokens(limit: RateLimit, steps: list[tuple[float, int, RateLimit]]) -> None:
    """Whoever changes a limit, to and fro, changes how many tokens are there at most by what no longer fits."""
    now, bucket = START, TokenBucket(limit, now=START)
    for pause, count, other in steps:
        now += pause
        bucket.take(count, now)
        before = bucket.tokens(now)
        bucket.change(other, now)
        slack = 1e-8 * max(other.rate, limit.rate) + 1e-6
        assert bucket.tokens(now) <= min(before, other.burst) + slack


@dataclass
class Fleet:
    """Replicas that share one bucket, each with round trips to the store that take a while.

    Attributes:
        now: Seconds.
        admitted: When, and how many.
    """

    limit: RateLimit
    replicas: int
    now: float = START
    admitted: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryTokenStore(lambda: self.now)
        self.buckets = [LeasedBucket(self.limit, replicas=self.replicas, now=START) for _ in range(self.replicas)]
        self.asked: list[Ask | None] = [None] * self.replicas

    def take(self, replica: int, count: int) -> None:
        """Has requests come to a replica."""
        self.admitted.append((self.now, self.buckets[replica].take(count, self.now)))

    def settle(self, replica: int) -> None:
        """Ends a replica's round trip, or begins one."""
        ask, bucket = self.asked[replica], self.buckets[replica]
        if ask is None:
            self.asked[replica] = bucket.ask(self.now)
        else:
            bucket.granted(self.store.settle_one("bucket", ask), self.now)
            self.asked[replica] = None


steps = st.lists(
    st.tuples(st.one_of(st.just(0.0), st.floats(0, 0.02), st.floats(0, 2)), st.integers(0, 3), st.integers(0, 40)),
    min_size=1,
    max_size=120,
)


@given(limit=limits, replicas=st.integers(1, 4), steps=steps)
@settings(deadline=None, max_examples=200)
def test_all_replicas_together_exceed_the_limit_by_their_leases_at_most(
    limit: RateLimit, replicas: int, steps: list[tuple[float, int, int]]
) -> None:
    """In any interval burst + rate * t + 2 * R * lease is the most, however round trips and requests interleave."""
    fleet = Fleet(limit, replicas)
    for pause, replica, count in steps:
        fleet.now += pause
        if count:
            fleet.take(replica % replicas, count)
        else:
            fleet.settle(replica % replicas)
    assert most(fleet.admitted, limit) <= 2 * replicas * lease_of(limit, replicas) + 1e-3


@given(rate=st.floats(1, 2000), seconds_of_burst=st.floats(0.1, 2), replicas=st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_replicas_under_load_admit_the_whole_limit(rate: float, seconds_of_burst: float, replicas: int) -> None:
    """With more demand than the limit, and a round trip each 5 ms, the limit is used up, wherever the load goes."""
    # A bucket that holds less than comes in a few round trips overflows between them, wherever it is.
    limit = RateLimit(rate=rate, burst=2 + rate * seconds_of_burst)
    fleet, seconds = Fleet(limit, replicas), max(1.0, 20 / limit.rate)
    ticks = min(4000, int(seconds / 0.0025))
    for _ in range(ticks):
        fleet.now += seconds / ticks
        # All load comes to the first replica: its even share would not do.
        fleet.take(0, math.ceil(2 * limit.rate * seconds / ticks))
        for replica in range(replicas):
            fleet.settle(replica)
    total = sum(taken for _, taken in fleet.admitted)
    allowed = limit.burst + limit.rate * seconds
    assert total <= allowed + 2 * replicas * lease_of(limit, replicas)
    assert total >= 0.9 * limit.rate * seconds - 1


@given(
    limit=limits,
    replicas=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    requests=pauses,
)
@settings(deadline=None, max_examples=60)
def test_a_replica_by_itself_keeps_to_its_share(
    limit: RateLimit, replicas: list[int], requests: list[tuple[float, int]]
) -> None:
    """Without a store a replica admits rate / R, though their number changes meanwhile."""
    now = START
    limiter = RateLimiter(replicas=replicas[0], clock=lambda: now)
    admitted = []
    for (pause, cost), count in zip(requests, itertools.cycle(replicas), strict=False):
        now += pause
        limiter.replicas = count
        try:
            taken = limiter.admit("key", PriorityClass.STANDARD, limit, cost=cost)
        except Refusal:
            taken = 0
        admitted.append((now, taken))
    # The largest share is that of the fewest replicas; its burst is one at least.
    fewest = min(replicas)
    share = RateLimit(rate=limit.rate / fewest, burst=max(1.0, limit.burst / fewest))
    assert most(admitted, share) <= 1e-6 * limit.rate + 1e-6 * limit.burst + 1e-6
