"""Where the replicas of a deployment keep the token buckets that they share: the port, and what goes through it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from server.grant import RateLimit


class TokenStoreError(Exception):
    """The store cannot be reached, or did not answer in time; nobody knows whether it did what it was asked."""


class Ask(NamedTuple):
    """What a replica wants of one bucket.

    Attributes:
        limit: Of the bucket.
        debt: Tokens that were spent already, at least 0: charged, if need be below zero.
        more: Tokens that it wants beside; below zero: so many are given back.
    """

    limit: RateLimit
    debt: int
    more: int


class Given(NamedTuple):
    """What it got.

    Attributes:
        tokens: The debt that was charged, and as many of the wanted tokens as there were; none for what went back.
        left: Tokens that are left in the bucket; below zero where more were spent than there were.
    """

    tokens: int
    left: float


class TokenStore(Protocol):
    """Keeps the buckets."""

    async def settle(self, asks: Mapping[str, Ask]) -> Mapping[str, Given]:
        """Charges, gives and takes back, by the bucket's name; one that failed alone is missing in the answer.

        Raises:
            TokenStoreError: Nothing is known of any.
        """

    async def close(self) -> None:
        """Ends its connections. Idempotent."""
