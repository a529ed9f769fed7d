"""Which callers the new service answers: a caller's bucket, and the share of the buckets that is the new side's.

Owns the arithmetic and the two lines of the file that HAProxy reads. Pure. A caller is on the new side while his bucket
is below the share, so raising the share moves callers from old to new and never one back.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

BUCKETS = 10_000
"""As many as the original's `TrafficSplitter` had: shares are hundredths of a percent."""

SPLIT_ROW, SAMPLE_ROW = "split", "sample"
_HASH_DIGITS = 8


class ShareError(ValueError):
    """A percentage, or a file of shares, is not one. The message says what is."""


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What goes where, in buckets of `BUCKETS`.

    Attributes:
        split: Callers that the new service answers.
        sample: Requests of the others that go through the mirror.
    """

    split: int = 0
    sample: int = 0

    def __post_init__(self) -> None:
        for value in (self.split, self.sample):
            if not 0 <= value <= BUCKETS:
                raise ShareError(f"a share must be from 0 to {BUCKETS} hundredths of a percent, not {value}")


def bucket_of(key: str) -> int:
    """Returns the bucket of a caller's key, 0 to `BUCKETS` - 1; the edge computes the same (`split_config`)."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:_HASH_DIGITS], 16) % BUCKETS


def buckets_of_percent(text: str) -> int:
    """Returns a percentage, 0 to 100 with at most two decimals, as a number of buckets.

    Raises:
        ShareError: It is something else.
    """
    try:
        buckets = Decimal(text) * (BUCKETS // 100)
    except InvalidOperation:
        buckets = Decimal("NaN")
    if not buckets.is_finite() or buckets != buckets.to_integral_value() or not 0 <= buckets <= BUCKETS:
        raise ShareError(f"{text!r} is no percentage: give a number from 0 to 100 with at most two decimals.")
    return int(buckets)


def percent_of(buckets: int) -> float:
    """Returns a number of buckets as a percentage."""
    return buckets * 100 / BUCKETS


def to_map(shares: Shares) -> str:
    """Returns the file that HAProxy looks the shares up in."""
    return f"{SPLIT_ROW} {shares.split}\n{SAMPLE_ROW} {shares.sample}\n"


def from_map(text: str) -> Shares:
    """Returns the shares of such a file; a row that is missing is 0, as it is for HAProxy.

    Raises:
        ShareError: A row is not one of ours.
    """
    found = {SPLIT_ROW: 0, SAMPLE_ROW: 0}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, value = line.partition(" ")
        if name not in found or not value.strip().isdecimal():
            raise ShareError(f"{line!r} is no row of shares")
        found[name] = int(value)
    return Shares(split=found[SPLIT_ROW], sample=found[SAMPLE_ROW])
