"""Owns the priority classes. Must not know limits, waits or transports."""

from enum import IntEnum


class PriorityClass(IntEnum):
    """How urgent a request is: the lower number goes first.

    The numbers are those of the public contract, whose 0 means "unspecified" and never reaches the scheduler.

    Somebody awaits the answers of the first three. Nobody awaits those of ``SHADOW``, copies of requests that try out
    another model version: they get what the others leave, and nothing of what the others need. A shadow never shares a
    batch or an execution with another class, runs only while nothing else waits, in batches that are kept short, makes
    room first, and is never promoted: it alone may starve.
    """

    REAL_TIME = 1
    STANDARD = 2
    BACKGROUND = 3
    SHADOW = 4
