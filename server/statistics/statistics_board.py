"""Where the replicas of one service tell each other how they fare.

Owns the newest figures of each replica and their age; not what is in them. `ray_statistics_board` keeps one in a Ray
actor; this file knows nothing of Ray.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

FORGET_AFTER = 15.0
"""Seconds after which a silent replica is taken to be gone."""


class StatisticsBoard(Protocol):
    """What a replica needs of the board, wherever it is."""

    async def publish(self, replica_id: str, figures: bytes) -> None:
        """Puts up a replica's figures in place of its older ones."""

    async def others(self, replica_id: str) -> list[tuple[float, bytes]]:
        """Returns the figures of all other replicas, each with its age in seconds, by replica id."""


class Board:
    """The board itself: the newest figures by replica.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._figures: dict[str, tuple[float, bytes]] = {}

    def publish(self, replica_id: str, figures: bytes) -> None:
        """Puts up a replica's figures."""
        self._figures[replica_id] = (self._clock(), figures)

    def others(self, replica_id: str) -> list[tuple[float, bytes]]:
        """Returns the others' figures with their ages, and forgets those that have been silent for long."""
        now = self._clock()
        self._figures = {name: entry for name, entry in self._figures.items() if now - entry[0] <= FORGET_AFTER}
        return [(now - at, figures) for name, (at, figures) in sorted(self._figures.items()) if name != replica_id]
