"""What a store of windows says to a write, or that it says nothing. Knows no store."""

from __future__ import annotations

import enum


class StoreWord(enum.IntEnum):
    """The store's answer to one change."""

    ACCEPTED = 1
    """It is stored."""
    MISMATCH = 0
    """It does not follow what is stored, or nothing is stored: everything must be sent."""
    LOST = -1
    """Another stream has taken the symbol over."""


class StoreUnavailableError(Exception):
    """The store cannot be reached, does not answer in time, or answers with an error. The message is for logs."""
