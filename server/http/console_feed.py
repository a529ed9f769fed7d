"""Looks at the service once a second while somebody watches, and tells all who do; costs nothing while nobody does.

One look serves all viewers. A viewer has room for one frame: one that is slow misses frames, and nothing piles up.
Knows neither HTTP nor the page.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from server.http.console_frame import write_frame
from server.http.console_rates import ReplicaRates
from server.http.console_view import view
from server.statistics.statistics_board import StatisticsBoard
from server.telemetry.recent import RecentActivity
from server.telemetry.recent_figures import RecentFigures, read_figures
from tickserve.v1.model_service_pb2 import ReplicaStatistics

logger = logging.getLogger("tickserve")

_INTERVAL = 1.0
# Each look lets the replica count for so long: a few looks may come late.
_WATCH = 5.0


class FeedClosedError(Exception):
    """The replica is leaving; another one will answer."""


class TooManyViewersError(Exception):
    """As many are watching as may."""


class Viewer:
    """One who watches, as a context: within it frames arrive."""

    def __init__(self, feed: ConsoleFeed) -> None:
        self._feed = feed
        self._news = asyncio.Event()
        self._frame: bytes | None = None

    async def next(self) -> bytes | None:
        """Returns the newest frame, JSON on one line, that was not returned before; None when the feed has closed."""
        await self._news.wait()
        self._news.clear()
        return self._frame

    def tell(self, frame: bytes | None) -> None:
        """Puts a frame in the place of the one before, read or not; None for the end."""
        self._frame = frame
        self._news.set()

    def __enter__(self) -> Self:
        self._feed.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.leave(self)


class ConsoleFeed:
    """Frames for the viewers of one replica.

    Args:
        replica_id: Who tells.
        statistics: Asks every replica, this one first.
        recent: This replica's last half minute.
        board: Has the others' last half minutes; None where there are none.
        max_viewers: The most that may watch at once; 0: nobody.
        wall_clock: Seconds since the epoch.
        pause: Waits so many seconds between two looks.
    """

    def __init__(
        self,
        *,
        replica_id: str,
        statistics: Callable[[], Awaitable[Sequence[ReplicaStatistics]]],
        recent: RecentActivity,
        board: StatisticsBoard | None,
        max_viewers: int,
        wall_clock: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.max_viewers = max_viewers
        self._replica_id = replica_id
        self._statistics = statistics
        self._recent = recent
        self._board = board
        self._wall_clock = wall_clock
        self._pause = pause
        self._viewers: set[Viewer] = set()
        self._rates: Mapping[str, ReplicaRates] = {}
        self._frame: bytes | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def viewer_count(self) -> int:
        """How many watch."""
        return len(self._viewers)

    def enter(self, viewer: Viewer) -> None:
        """Lets somebody watch, and looks if nobody did before.

        Raises:
            FeedClosedError: The replica is leaving.
            TooManyViewersError: As many are watching as may.
        """
        if self._closed:
            raise FeedClosedError
        if len(self._viewers) >= self.max_viewers:
            raise TooManyViewersError
        self._viewers.add(viewer)
        if self._task is not None:
            if self._frame is not None:
                viewer.tell(self._frame)
        else:
            self._rates, self._frame = {}, None
            self._task = asyncio.get_running_loop().create_task(self._run())

    def leave(self, viewer: Viewer) -> None:
        """Forgets somebody; the last one stops the looking."""
        self._viewers.discard(viewer)
        if not self._viewers:
            self._stop()

    def close(self) -> None:
        """Sends all viewers away, for good. Idempotent."""
        self._closed = True
        for viewer in self._viewers:
            viewer.tell(None)
        self._stop()

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        failing = False
        while True:
            try:
                self._frame = await self._look()
                failing = False
            except Exception:
                # The page says for how long it has had no news; the log says why, once.
                if not failing:
                    logger.exception("the console's figures cannot be had")
                failing = True
            else:
                for viewer in self._viewers:
                    viewer.tell(self._frame)
            await self._pause(_INTERVAL)

    async def _look(self) -> bytes:
        self._recent.watch(_WATCH)
        statistics = await self._statistics()
        others, alone = await self._others()
        found = view(
            statistics,
            {self._replica_id: self._recent.figures(), **others},
            at=self._wall_clock(),
            alone=alone,
            before=self._rates,
        )
        self._rates = found.rates
        return write_frame(found.frame)

    async def _others(self) -> tuple[dict[str, RecentFigures], bool]:
        """Returns the other replicas' last half minutes, and whether they could not be asked."""
        if self._board is None:
            return {}, False
        try:
            details = await self._board.details(self._replica_id)
        except Exception:
            # `ModelService` logs it: the figures of `GetStatistics` come from the same board.
            return {}, True
        read = {name: read_figures(data) for name, data in details.items()}
        return {name: figures for name, figures in read.items() if figures is not None}, False
