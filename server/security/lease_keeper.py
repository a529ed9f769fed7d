"""Settles this replica's leased tokens with the store, in the background.

Owns when the store is asked, and whether it counts as there. One task, one round trip at a time for all buckets, with a
pause after each: what that costs the event loop does not grow with the load.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping

from server.security.leased_bucket import LeasedBucket
from server.security.token_store import TokenStore, TokenStoreError

logger = logging.getLogger("tickserve")

_LINGER = 0.005
"""Seconds between two round trips."""
_LOOK_ROUND = 1.0
"""Seconds after which the buckets are looked through without a request: some have tokens to give back."""


class LeaseKeeper:
    """Asks the store for what the buckets need.

    Args:
        store: Keeps the shared buckets.
        buckets: Returns this replica's parts by name.
        on_change: Called with whether the store is there, each time that this changes; it is not at first.
        retry_interval: Seconds between two attempts to reach a store that is gone.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        store: TokenStore,
        *,
        buckets: Callable[[], Mapping[str, LeasedBucket]],
        on_change: Callable[[bool], None],
        retry_interval: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._buckets = buckets
        self._on_change = on_change
        self._retry_interval = retry_interval
        self._clock = clock
        self._is_there = False
        self._is_known_gone = False
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Has the buckets settled soon: one was used."""
        self._wake.set()

    async def run(self) -> None:
        """Settles until it is cancelled."""
        while True:
            if not self._is_there and not await self.settle():
                await asyncio.sleep(self._retry_interval)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_ROUND):
                    await self._wake.wait()
            self._wake.clear()
            await self.settle()
            await asyncio.sleep(_LINGER)

    async def settle(self) -> bool:
        """Makes one round trip, if there is anything to ask or the store was gone; returns whether it is there."""
        now = self._clock()
        buckets = self._buckets() if self._is_there else {}
        asks = {name: ask for name, bucket in buckets.items() if (ask := bucket.ask(now)) is not None}
        if not asks and self._is_there:
            return True
        try:
            given = await self._store.settle(asks)
        except TokenStoreError as error:
            self._note(is_there=False, error=error)
            return False
        now = self._clock()
        for name, answer in given.items():
            buckets[name].granted(answer, now)
        self._note(is_there=True)
        return True

    def _note(self, *, is_there: bool, error: Exception | None = None) -> None:
        if is_there:
            self._is_known_gone = False
        elif not self._is_known_gone:
            # Once: a store that is gone for an hour is one fact.
            self._is_known_gone = True
            logger.warning(
                "the store of the rate limits does not answer, each replica takes its even share meanwhile: %s", error
            )
        if is_there != self._is_there:
            self._is_there = is_there
            if is_there:
                logger.info("rate limits are shared with the other replicas")
            self._on_change(is_there)
