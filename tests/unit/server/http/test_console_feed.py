"""Laws of the console's feed: one look serves all, nobody is waited for, and nothing is looked at for nobody."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest

from server.http.console_feed import ConsoleFeed, FeedClosedError, TooManyViewersError, Viewer
from server.statistics.statistics_board import Board
from server.telemetry.recent import RecentActivity
from server.telemetry.recent_figures import RecentFigures, Tally, write_figures
from tests.support.fakes import settle
from tickserve.v1.model_service_pb2 import ReplicaStatistics


class LocalBoard:
    """A board in this process that fails when told to."""

    def __init__(self) -> None:
        self.board = Board()
        self.failing = False

    async def publish(self, replica_id: str, figures: bytes, details: bytes = b"") -> bool:
        """See `StatisticsBoard`."""
        return self.board.publish(replica_id, figures, details)

    async def others(self, replica_id: str) -> list[tuple[float, bytes]]:
        """See `StatisticsBoard`."""
        return self.board.others(replica_id)

    async def details(self, replica_id: str) -> dict[str, bytes]:
        """See `StatisticsBoard`."""
        if self.failing:
            raise ConnectionError("the board is gone")
        return self.board.details(replica_id)


class Service:
    """Two replicas, one of which is looked at, and time that only the test moves."""

    def __init__(self, *, max_viewers: int = 3) -> None:
        self.board = LocalBoard()
        self.looks = 0
        self.failing = False
        self.recent = RecentActivity()
        self._turn = asyncio.Event()
        self.feed = ConsoleFeed(
            replica_id="a",
            statistics=self._statistics,
            recent=self.recent,
            board=self.board,
            max_viewers=max_viewers,
            wall_clock=lambda: 5.0,
            pause=self._pause,
        )

    async def pass_a_second(self) -> None:
        """Lets one pause end."""
        self._turn.set()
        await settle()

    async def _statistics(self) -> list[ReplicaStatistics]:
        self.looks += 1
        if self.failing:
            raise RuntimeError("no figures")
        return [ReplicaStatistics(replica_id="a", batch_count=self.looks), ReplicaStatistics(replica_id="b")]

    async def _pause(self, seconds: float) -> None:
        assert 0.5 <= seconds <= 1.0
        await self._turn.wait()
        self._turn.clear()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """A service that nobody watches yet."""
    made = Service()
    yield made
    made.feed.close()


async def read(viewer: Viewer) -> dict[str, object]:
    """Returns a viewer's next frame."""
    frame = await viewer.next()
    assert frame is not None
    found: dict[str, object] = json.loads(frame)
    return found


async def test_nothing_is_looked_at_for_nobody(service: Service) -> None:
    """Before the first viewer comes and after the last has left."""
    await settle()
    assert (service.looks, service.recent.watched) == (0, False)
    with Viewer(service.feed) as viewer:
        await read(viewer)
        assert (service.looks, service.recent.watched) == (1, True)
    await service.pass_a_second()
    await service.pass_a_second()
    assert service.looks == 1


async def test_one_look_serves_all(service: Service) -> None:
    """However many watch, and one that comes later has the newest frame at once."""
    with Viewer(service.feed) as first:
        await read(first)
        with Viewer(service.feed) as second:
            assert (await read(second))["at"] == 5.0
            assert service.looks == 1
            await service.pass_a_second()
            assert (await read(first)) == (await read(second))
            assert service.looks == 2


async def test_a_slow_viewer_misses_frames_and_nothing_piles_up(service: Service) -> None:
    """It has room for one frame, and the others have theirs in time."""
    with Viewer(service.feed) as slow, Viewer(service.feed) as quick:
        for _ in range(5):
            await read(quick)
            await service.pass_a_second()
        await read(slow)
        waiting = asyncio.ensure_future(slow.next())
        await settle()
        assert not waiting.done()
        waiting.cancel()


async def test_as_many_watch_as_may(service: Service) -> None:
    """One more is refused, until one leaves."""
    with Viewer(service.feed), Viewer(service.feed):
        with Viewer(service.feed), pytest.raises(TooManyViewersError), Viewer(service.feed):
            pass
        assert service.feed.viewer_count == 2
        with Viewer(service.feed):
            assert service.feed.viewer_count == 3


async def test_a_leaving_replica_sends_all_away(service: Service) -> None:
    """Those who watch hear the end at once, and nobody comes any more."""
    with Viewer(service.feed) as viewer:
        await read(viewer)
        waiting = asyncio.ensure_future(viewer.next())
        await settle()
        service.feed.close()
        assert await waiting is None
    service.feed.close()
    with pytest.raises(FeedClosedError), Viewer(service.feed):
        pass


async def test_the_others_details_are_shown_once_they_are_told(service: Service) -> None:
    """Watching makes them wanted; what cannot be read is as good as not told."""
    details = write_figures(
        RecentFigures(at=1.0, count_id=1, span=10.0, window={"STANDARD": Tally(answered=3, shed=1)})
    )
    assert not await service.board.publish("b", b"")
    with Viewer(service.feed) as viewer:
        assert (await read(viewer))["headline"]["goodput"] is None  # type: ignore[index]
        assert await service.board.publish("b", b"", details)
        await service.pass_a_second()
        assert (await read(viewer))["headline"]["goodput"] == 0.75  # type: ignore[index]
        await service.board.publish("b", b"", b"garbage")
        await service.pass_a_second()
        assert (await read(viewer))["headline"]["goodput"] is None  # type: ignore[index]


async def test_a_board_that_fails_leaves_this_replica_and_says_so(service: Service) -> None:
    """The page can tell that it shows one replica from that there is one."""
    with Viewer(service.feed) as viewer:
        assert (await read(viewer))["alone"] is False
        service.board.failing = True
        await service.pass_a_second()
        assert (await read(viewer))["alone"] is True


async def test_figures_that_cannot_be_had_are_tried_again(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    """The viewer hears nothing meanwhile, and the log says why, once."""
    with caplog.at_level(logging.ERROR), Viewer(service.feed) as viewer:
        await read(viewer)
        service.failing = True
        for _ in range(3):
            await service.pass_a_second()
        assert len(caplog.records) == 1
        service.failing = False
        await service.pass_a_second()
        assert (await read(viewer))["replica"] == "a"
