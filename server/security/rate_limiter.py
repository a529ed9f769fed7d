"""How often each caller may ask: one token bucket per caller and class, for the whole deployment.

Owns whose bucket a request is taken from and what an empty one means to the caller. Two ways to hold one limit on many
replicas: tokens on lease from a shared store, while that is there; else each replica admits its even share of the rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from batching import PriorityClass
from server.grant import RateLimit
from server.refusal import Reason, Refusal
from server.security.leased_bucket import LeasedBucket
from server.security.token_bucket import TokenBucket, share_of


class RateLimiter:
    """Takes a token for each request, or refuses it. Event loop only; nothing here waits.

    Args:
        replicas: How many replicas share each limit, at least 1.
        on_use: Called when tokens on lease were used or wanted.
        clock: Monotonic seconds.

    Attributes:
        replicas: Assign what is known now.
        is_shared: Whether the shared store is there; assign it when that changes.
    """

    def __init__(
        self,
        *,
        replicas: int,
        on_use: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = replicas
        self._on_use = on_use
        self._clock = clock
        self._is_shared = False
        self._limits: dict[tuple[str, PriorityClass], RateLimit] = {}
        self._own: dict[tuple[str, PriorityClass], TokenBucket] = {}
        self._leased: dict[tuple[str, PriorityClass], LeasedBucket] = {}
        # Those of them that the store may have to be asked about: there may be thousands of keys.
        self._active: dict[tuple[str, PriorityClass], LeasedBucket] = {}

    @property
    def is_used(self) -> bool:
        """Whether any limit has been met with: without one nobody need count replicas."""
        return bool(self._limits)

    @property
    def replicas(self) -> int:
        """How many replicas share each limit."""
        return self._replicas

    @replicas.setter
    def replicas(self, replicas: int) -> None:
        if replicas != self._replicas:
            self._replicas = replicas
            now = self._clock()
            for key, limit in self._limits.items():
                self._change(key, limit, now)

    @property
    def is_shared(self) -> bool:
        """Whether tokens come from the shared store."""
        return self._is_shared

    @is_shared.setter
    def is_shared(self, is_shared: bool) -> None:
        if is_shared == self._is_shared:
            return
        self._is_shared = is_shared
        now = self._clock()
        for key, limit in self._limits.items():
            if is_shared:
                self._leased[key] = LeasedBucket(limit, replicas=self._replicas, now=now, is_new=False)
            else:
                # What was held, or owed, goes with it: a store that comes and goes must not be a new burst each time.
                tokens = self._leased[key].tokens
                self._own[key] = TokenBucket(share_of(limit, self._replicas), now=now, tokens=tokens)
        (self._own if is_shared else self._leased).clear()
        self._active = {}

    def leased(self) -> dict[str, LeasedBucket]:
        """Returns the buckets that the shared store may have to be asked about, by the name that they have there."""
        self._active = {key: bucket for key, bucket in self._active.items() if bucket.is_active}
        return {f"{caller}:{priority.name.lower()}": bucket for (caller, priority), bucket in self._active.items()}

    def admit(self, caller: str, priority: PriorityClass, limit: RateLimit, *, cost: int = 1) -> int:
        """Takes a token for each of several requests, as far as there are any.

        Args:
            caller: Whose they are.
            priority: Their class; each has a bucket of its own.
            limit: The caller's for this class, in the whole deployment.
            cost: How many there are, at least 1.

        Returns:
            How many are admitted, the first ones: 1 to `cost`.

        Raises:
            Refusal: RATE_LIMITED; none is.
        """
        key, now = (caller, priority), self._clock()
        if self._limits.get(key) != limit:
            self._change(key, limit, now)
        if self._is_shared:
            bucket = self._active[key] = self._leased[key]
            admitted = bucket.take(cost, now)
            self._on_use()
        else:
            admitted = self._own[key].take(cost, now)
        if not admitted:
            raise self.refusal(caller, priority)
        return admitted

    def refusal(self, caller: str, priority: PriorityClass) -> Refusal:
        """Returns why a request is refused for which there is no token; its delay ends when there is the next one."""
        key = caller, priority
        limit = self._limits[key]
        return Refusal(
            Reason.RATE_LIMITED,
            f"More than {limit.rate:g} requests a second of this class; retry after the delay, or ask for more.",
            retry_delay=(self._leased if self._is_shared else self._own)[key].wait(self._clock()),
            metadata={
                "what": "requests",
                "class": priority.name,
                "rate": f"{limit.rate:g}",
                "burst": f"{limit.burst:g}",
            },
        )

    def _change(self, key: tuple[str, PriorityClass], limit: RateLimit, now: float) -> None:
        """Makes a bucket, or has it go on with another limit."""
        self._limits[key] = limit
        if self._is_shared:
            if key in self._leased:
                self._leased[key].change(limit, self._replicas)
            else:
                self._leased[key] = LeasedBucket(limit, replicas=self._replicas, now=now)
            return
        share = share_of(limit, self._replicas)
        if key in self._own:
            self._own[key].change(share, now)
        else:
            self._own[key] = TokenBucket(share, now=now)
