"""The statistics board in a Ray actor that all replicas of a cluster find by its name."""

from __future__ import annotations

import asyncio
from typing import Any

import ray

from server.statistics.statistics_board import Board

# The number follows the board's methods: a detached actor outlives the release that made it.
_NAME = "tickserve_statistics.2"
_NAMESPACE = "tickserve"
_TIMEOUT = 1.0


class RayStatisticsBoard:
    """Reaches the board's actor, and makes it where there is none (any more)."""

    def __init__(self) -> None:
        self._actor: Any = None

    async def publish(self, replica_id: str, figures: bytes, details: bytes = b"") -> bool:
        """Puts up a replica's figures and details; returns whether details are wanted.

        Raises:
            ray.exceptions.RayError: The actor is gone; the next call makes another.
            TimeoutError: It does not answer.
        """
        watched: bool = await self._call("publish", replica_id, figures, details)
        return watched

    async def others(self, replica_id: str) -> list[tuple[float, bytes]]:
        """Returns the others' figures.

        Raises:
            ray.exceptions.RayError, TimeoutError: As `publish`.
        """
        found: list[tuple[float, bytes]] = await self._call("others", replica_id)
        return found

    async def details(self, replica_id: str) -> dict[str, bytes]:
        """Returns the others' details, and lets them be wanted for a while.

        Raises:
            ray.exceptions.RayError, TimeoutError: As `publish`.
        """
        found: dict[str, bytes] = await self._call("details", replica_id)
        return found

    async def _call(self, method: str, *arguments: object) -> Any:
        if self._actor is None:
            # Looks the name up in the cluster's control store: not in the event loop.
            self._actor = await asyncio.to_thread(_find_or_make)
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await getattr(self._actor, method).remote(*arguments)
        except Exception:
            self._actor = None
            raise


def _find_or_make() -> Any:
    board = ray.remote(Board)
    return board.options(
        name=_NAME, namespace=_NAMESPACE, lifetime="detached", get_if_exists=True, num_cpus=0, max_restarts=-1
    ).remote()
