"""How many streams a caller has open at once. Pure; each replica holds its share of the deployment's limit."""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Iterator

from server.refusal import Reason, Refusal

_RETRY_DELAY = 1.0
"""Seconds; nobody knows when a stream will be closed."""


class StreamLimit:
    """Counts the open streams by caller.

    Attributes:
        replicas: How many replicas share the limits, at least 1.
    """

    def __init__(self, *, replicas: int) -> None:
        self.replicas = replicas
        self._open: Counter[str] = Counter()

    @property
    def open(self) -> Counter[str]:
        """Open streams by caller."""
        return self._open

    @contextlib.contextmanager
    def held(self, caller: str, limit: int) -> Iterator[None]:
        """Counts a stream while the context is entered.

        Args:
            caller: Whose it is.
            limit: Most streams that he may have open on all replicas; 0: any number.

        Raises:
            Refusal: RATE_LIMITED; this replica's share of the limit, rounded up, is open.
        """
        share = math.ceil(limit / self.replicas)
        if limit and self._open[caller] >= share:
            raise Refusal(
                Reason.RATE_LIMITED,
                f"This caller has {share} streams open on this replica, of {limit} that it may have on all; close one, "
                "or use one stream for more symbols.",
                retry_delay=_RETRY_DELAY,
                metadata={"what": "streams", "limit": str(limit), "share": str(share)},
            )
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]  # callers come and go
