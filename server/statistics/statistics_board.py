"""Where the replicas of one service tell each other how they fare.

Owns the newest figures of each replica and their age, and whether anybody wants details, which cost more and which only
people look at; not what is in either. `ray_statistics_board` keeps one in a Ray actor; this file knows nothing of Ray.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

FORGET_AFTER = 15.0
"""Seconds after which a silent replica is taken to be gone."""
WATCHED_FOR = 5.0
"""Seconds after somebody asked for details in which replicas are told to publish them."""


class StatisticsBoard(Protocol):
    """What a replica needs of the board, wherever it is."""

    async def publish(self, replica_id: str, figures: bytes, details: bytes = b"") -> bool:
        """Puts up a replica's figures in place of its older ones; returns whether somebody wants details, too."""

    async def others(self, replica_id: str) -> list[tuple[float, bytes]]:
        """Returns the figures of all other replicas, each with its age in seconds, by replica id."""

    async def details(self, replica_id: str) -> dict[str, bytes]:
        """Returns the details of all other replicas that have published any, and lets them be wanted for a while."""


class Board:
    """The board itself: the newest figures by replica.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._figures: dict[str, tuple[float, bytes]] = {}
        self._details: dict[str, bytes] = {}
        self._watched_until = float("-inf")

    def publish(self, replica_id: str, figures: bytes, details: bytes = b"") -> bool:
        """Puts up a replica's figures, and its details in place of the older ones; tells whether details are wanted."""
        self._figures[replica_id] = (self._clock(), figures)
        self._details[replica_id] = details
        return self._clock() <= self._watched_until

    def others(self, replica_id: str) -> list[tuple[float, bytes]]:
        """Returns the others' figures with their ages, and forgets those that have been silent for long."""
        now = self._forget()
        return [(now - at, figures) for name, (at, figures) in sorted(self._figures.items()) if name != replica_id]

    def details(self, replica_id: str) -> dict[str, bytes]:
        """Returns the others' details, and lets them be wanted for a while."""
        self._watched_until = self._forget() + WATCHED_FOR
        return {name: details for name, details in self._details.items() if details and name != replica_id}

    def _forget(self) -> float:
        """Forgets the replicas that have been silent for long; returns the time."""
        now = self._clock()
        self._figures = {name: entry for name, entry in self._figures.items() if now - entry[0] <= FORGET_AFTER}
        self._details = {name: details for name, details in self._details.items() if name in self._figures}
        return now
