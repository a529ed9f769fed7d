"""The limits that hold for each caller: how often he may ask, and how many streams he may have open.

Owns which limit holds for a call: its key's own one, else the default of the settings, else none. Who shows neither
key nor certificate is one caller with all others like him, `anonymous`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from batching import PriorityClass
from server.call import Call
from server.config.limit_settings import LimitSettings
from server.grant import RateLimit
from server.refusal import Refusal
from server.security.lease_keeper import LeaseKeeper
from server.security.rate_limiter import RateLimiter
from server.security.stream_limit import StreamLimit
from server.security.token_store import TokenStore

ANONYMOUS = "anonymous"


class CallerLimits:
    """Counts what callers ask for. Event loop only.

    Args:
        settings: Returns the defaults in force.
        replicas: How many replicas share the limits, as far as is known; at least 1.
        store: Where they share them; None: each takes its even share.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        settings: Callable[[], LimitSettings],
        *,
        replicas: int = 1,
        store: TokenStore | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._store = store
        self._task: asyncio.Task[None] | None = None
        self._streams = StreamLimit(replicas=replicas)
        self._rates = RateLimiter(replicas=replicas, on_use=self._wake, clock=clock)
        self._keeper: LeaseKeeper | None = None
        if store is not None:
            self._keeper = LeaseKeeper(store, buckets=self._rates.leased, on_change=self._note_shared, clock=clock)

    @property
    def is_used(self) -> bool:
        """Whether any limit has been met with."""
        return self._rates.is_used or bool(self._streams.open)

    @property
    def is_shared(self) -> bool:
        """Whether rates are held by all replicas together, through the store."""
        return self._rates.is_shared

    def start(self) -> None:
        """Begins to reach the store; needs a running event loop."""
        if self._keeper is not None:
            self._task = asyncio.get_running_loop().create_task(self._keeper.run())

    async def close(self) -> None:
        """Ends the task and the store's connections. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._store is not None:
            await self._store.close()

    def note_replicas(self, count: int) -> None:
        """Takes how many replicas there are, this one included."""
        self._rates.replicas = self._streams.replicas = max(1, count)

    def admit(self, call: Call, priority: PriorityClass, *, cost: int = 1) -> int:
        """Counts requests of one class; they count from here on, whatever becomes of them.

        Args:
            call: In which they came.
            priority: Their class.
            cost: How many, at least 1.

        Returns:
            How many may go on, the first ones: 1 to `cost`. The others get `refusal`.

        Raises:
            Refusal: RATE_LIMITED; none may.
        """
        limit = self._limit(call, priority)
        return cost if limit is None else self._rates.admit(caller_of(call), priority, limit, cost=cost)

    def refusal(self, call: Call, priority: PriorityClass) -> Refusal:
        """Returns what the requests are told that `admit` did not admit."""
        return self._rates.refusal(caller_of(call), priority)

    def stream(self, call: Call) -> AbstractContextManager[None]:
        """Counts a stream while the context is entered.

        Raises:
            Refusal: RATE_LIMITED, when it is entered: the caller has too many open.
        """
        limit = call.grant.max_streams if call.grant is not None else 0
        limit = limit or self._settings().max_streams_per_key
        return self._streams.held(caller_of(call), limit) if limit else contextlib.nullcontext()

    def _limit(self, call: Call, priority: PriorityClass) -> RateLimit | None:
        own = call.grant.rate_limits.get(priority) if call.grant is not None else None
        return own or self._settings().default_limit()

    def _wake(self) -> None:
        if self._keeper is not None:
            self._keeper.wake()

    def _note_shared(self, is_shared: bool) -> None:
        self._rates.is_shared = is_shared


def caller_of(call: Call) -> str:
    """Returns whom a call's requests are counted to: its key or certificate; what it says of itself is not believed."""
    return call.grant.key_id if call.grant is not None else call.owner or ANONYMOUS
