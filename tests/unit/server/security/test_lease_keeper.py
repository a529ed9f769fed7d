"""Laws of tokens on lease: nobody waits for the store, one that is gone costs precision, idle tokens go back."""

import logging
from dataclasses import dataclass, field

import pytest

from batching import PriorityClass
from server.grant import RateLimit
from server.refusal import Refusal
from server.security.lease_keeper import LeaseKeeper
from server.security.leased_bucket import lease_of
from server.security.rate_limiter import RateLimiter
from tests.support.memory_token_store import MemoryTokenStore

LIMIT = RateLimit(rate=100, burst=40)
STANDARD = PriorityClass.STANDARD
NAME = "key:standard"


@dataclass
class Deployment:
    """Replicas that share a store, on one clock."""

    replicas: int = 2
    now: float = 1000.0
    limiters: list[RateLimiter] = field(default_factory=list)
    keepers: list[LeaseKeeper] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = MemoryTokenStore(lambda: self.now)
        for _ in range(self.replicas):
            limiter = RateLimiter(replicas=self.replicas, clock=lambda: self.now)

            def note(is_shared: bool, limiter: RateLimiter = limiter) -> None:
                limiter.is_shared = is_shared

            keeper = LeaseKeeper(self.store, buckets=limiter.leased, on_change=note, clock=lambda: self.now)
            self.limiters.append(limiter)
            self.keepers.append(keeper)

    async def settle(self) -> None:
        """Has every replica make a round trip."""
        for keeper in self.keepers:
            await keeper.settle()

    def admit(self, replica: int, cost: int = 1) -> int:
        """Returns how many requests a replica admits."""
        try:
            return self.limiters[replica].admit("key", STANDARD, LIMIT, cost=cost)
        except Refusal:
            return 0


async def test_one_replica_may_use_what_the_other_does_not() -> None:
    """The whole burst goes through one replica, which by itself would have had half of it."""
    deployment = Deployment()
    await deployment.settle()
    total = 0
    for _ in range(20):
        total += deployment.admit(0, 40)
        await deployment.settle()
    assert total == 40
    deployment.now += 1.0
    for _ in range(40):
        total += deployment.admit(0, 40)
        await deployment.settle()
    assert total == 80  # a second fills the bucket, whose forty are less than the rate's hundred


async def test_a_refusal_says_when_the_store_has_the_next_token() -> None:
    """The delay is the store's word, and then one is admitted."""
    deployment = Deployment(replicas=1)
    await deployment.settle()
    while deployment.admit(0):
        await deployment.settle()
    delay = deployment.limiters[0].refusal("key", STANDARD).retry_delay
    assert delay is not None
    assert delay == pytest.approx(1 / LIMIT.rate, rel=0.01)
    deployment.now += delay / 2
    assert deployment.admit(0) == 0
    deployment.now += delay / 2 + 1e-6
    assert deployment.admit(0) == 1


async def test_tokens_that_nobody_uses_go_back() -> None:
    """An idle replica keeps none from the others, and costs the store no further round trips."""
    deployment = Deployment(replicas=1)
    await deployment.settle()
    assert deployment.admit(0, 3) == 3
    await deployment.settle()
    assert deployment.store.levels[NAME] == LIMIT.burst - 6  # three are spent, three are held for the next ones
    deployment.now += 1.0
    await deployment.settle()
    assert deployment.limiters[0].leased() == {}
    assert deployment.store.levels[NAME] == LIMIT.burst
    calls = deployment.store.calls
    await deployment.settle()
    assert deployment.store.calls == calls


async def test_a_store_that_is_gone_leaves_each_replica_its_share(caplog: pytest.LogCaptureFixture) -> None:
    """Half the burst and half the rate each; the log says so once, and both come together again when it is back."""
    deployment = Deployment()
    deployment.store.fails = True
    with caplog.at_level(logging.INFO, logger="tickserve"):
        for _ in range(5):
            await deployment.settle()
        assert [deployment.admit(replica, 40) for replica in (0, 1)] == [20, 20]
        deployment.now += 0.1
        assert [deployment.admit(replica, 40) for replica in (0, 1)] == [5, 5]
        deployment.store.fails = False
        await deployment.settle()
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == len(deployment.keepers)
    assert all(limiter.is_shared for limiter in deployment.limiters)


async def test_a_store_that_comes_and_goes_makes_no_tokens() -> None:
    """What was spent before it went is not given again: each time costs one token, and that is charged."""
    deployment = Deployment(replicas=1)
    await deployment.settle()
    total, times = 0, 10
    for _ in range(times):
        deployment.store.fails = False
        await deployment.settle()
        for _ in range(5):
            total += deployment.admit(0, 100)
            await deployment.settle()
        deployment.store.fails = True
        deployment.now += 0.02
        total += deployment.admit(0, 100)  # so that there is something to ask, and to find out by
        await deployment.settle()
        assert not deployment.limiters[0].is_shared
        total += deployment.admit(0, 100)
    earned = LIMIT.rate * 0.02 * times
    assert total <= LIMIT.burst + earned + times + lease_of(LIMIT, 1)


@pytest.mark.parametrize("replicas", [3, 1])
def test_more_replicas_take_smaller_shares(replicas: int) -> None:
    """The share follows the number of replicas that is known, without a store."""
    now = 0.0
    limiter = RateLimiter(replicas=2, clock=lambda: now)
    assert limiter.admit("key", STANDARD, LIMIT, cost=40) == 20
    limiter.replicas = replicas
    now += 100.0
    assert limiter.admit("key", STANDARD, LIMIT, cost=40) == int(40 / replicas)
