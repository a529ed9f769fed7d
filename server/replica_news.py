"""Tells the other replicas of this one, and this one how many they are."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from server.statistics.statistics_board import WATCHED_FOR, StatisticsBoard
from server.telemetry.recent import RecentActivity

INTERVAL = 1.0
"""Seconds between two pieces of news."""

logger = logging.getLogger("tickserve")


class ReplicaNews:
    """What a replica publishes every second.

    Args:
        board: Where replicas tell each other of themselves.
        replica_id: Of this one.
        figures: Returns its figures, serialized.
        recent: Its newest requests; followed while anybody looks.
        counts: Whether anybody wants to know how many replicas there are.
        on_others: Each told how many other replicas there are.
    """

    def __init__(
        self,
        board: StatisticsBoard,
        *,
        replica_id: str,
        figures: Callable[[], bytes],
        recent: RecentActivity,
        counts: Callable[[], bool],
        on_others: Sequence[Callable[[int], None]],
    ) -> None:
        self._board = board
        self._replica_id = replica_id
        self._figures = figures
        self._recent = recent
        self._counts = counts
        self._on_others = on_others

    async def run(self) -> None:
        """Publishes until it is cancelled; a board that is gone costs the others news, and this one nothing."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                if await self._board.publish(self._replica_id, self._figures(), self._recent.details()):
                    self._recent.watch(WATCHED_FOR)
                if self._counts():
                    others = len(await self._board.others(self._replica_id))
                    for tell in self._on_others:
                        tell(others)
            except Exception as error:
                logger.warning("statistics were not published: %s", error)
