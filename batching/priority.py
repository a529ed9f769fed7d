"""Owns the priority classes. Must not know limits, waits or transports."""

from enum import IntEnum


class PriorityClass(IntEnum):
    """How urgent a request is: the lower number goes first.

    The numbers are those of the public contract, whose 0 means "unspecified" and never reaches the scheduler.
    """

    REAL_TIME = 1
    STANDARD = 2
    BACKGROUND = 3
