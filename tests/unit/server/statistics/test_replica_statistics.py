"""Laws of a replica's statistics: its own first, the others' with their age, and no board can spoil them."""

import asyncio
import logging
from pathlib import Path
from typing import cast

import pytest

from batching import Scheduler, SchedulerConfig
from model.registry import Registry
from server.call import Call
from server.config.live_settings import LiveSettings
from server.config.settings import Settings
from server.health.health import Health
from server.models.model_pool import ModelPool
from server.replica import Replica
from server.results.known_results import SharedResultsStatistics
from server.results.request_ledger import LedgerStatistics
from server.results.result_cache import ResultCacheStatistics
from server.rpc.model_service import ModelService
from server.statistics.replica_snapshot import CacheFigures, ReplicaSnapshot
from server.statistics.statistics_board import Board, StatisticsBoard
from tests.support.fakes import FakeEngine, use_engine
from tests.support.registry import make_registry
from tests.support.service import settings_for
from tickserve.v1.model_service_pb2 import GetStatisticsResponse, ReplicaStatistics

LIVE = LiveSettings(Settings())
CACHE = CacheFigures(
    results=ResultCacheStatistics(entries=1, size_bytes=2, hits=3, misses=4, expirations=5, evictions=6),
    shared=SharedResultsStatistics(
        available=True, hits=1, misses=2, timeouts=3, skipped=4, failures=5, writes=6, dropped=7
    ),
    request_ids=LedgerStatistics(entries=1, size_bytes=2, replays=3, reused=4),
)
CALL = Call(method="/m", received_at=0.0)


class LocalBoard:
    """A board in this process that fails when told to.

    Attributes:
        board: Holds the figures.
        failing: Whether every call raises.
        attempts: How often somebody wanted to publish; one is released for each.
    """

    def __init__(self, clock: float = 0.0) -> None:
        self.clock = clock
        self.board = Board(lambda: self.clock)
        self.failing = False
        self.attempts = asyncio.Semaphore(0)

    async def publish(self, replica_id: str, figures: bytes, details: bytes = b"") -> bool:
        """See `StatisticsBoard`."""
        self.attempts.release()
        if self.failing:
            raise ConnectionError("the board is gone")
        return self.board.publish(replica_id, figures, details)

    async def others(self, replica_id: str) -> list[tuple[float, bytes]]:
        """See `StatisticsBoard`."""
        if self.failing:
            raise ConnectionError("the board is gone")
        return self.board.others(replica_id)

    async def details(self, replica_id: str) -> dict[str, bytes]:
        """See `StatisticsBoard`."""
        if self.failing:
            raise ConnectionError("the board is gone")
        return self.board.details(replica_id)


class EmptyPool:
    """Has loaded nothing."""

    def loaded(self) -> dict[object, object]:
        """Returns nothing."""
        return {}


def service(replica_id: str, board: StatisticsBoard | None) -> ModelService:
    """Returns the service of a replica that has done nothing yet."""

    def snapshot() -> ReplicaSnapshot:
        statistics = Scheduler[object, object](SchedulerConfig()).statistics(0.0)
        return ReplicaSnapshot(
            replica_id=replica_id,
            scheduler=statistics,
            uptime=9.0,
            open_streams=2,
            symbols=3,
            profile="legacy",
            cache=CACHE,
        )

    return ModelService(
        registry=Registry("/nowhere"),
        pool=cast("ModelPool", EmptyPool()),
        snapshot=snapshot,
        board=board,
        live=LIVE,
    )


async def statistics(asked: ModelService) -> list[ReplicaStatistics]:
    """Returns what `GetStatistics` answers."""
    response = await asked.get_statistics(b"", CALL)
    assert isinstance(response, GetStatisticsResponse)
    return list(response.replicas)


async def test_the_answering_replica_comes_first() -> None:
    """Its figures are new; the others follow by id with the age of theirs, all else as they told it."""
    board = LocalBoard()
    for name, clock in (("c", 1.0), ("a", 2.0), ("b", 2.5)):
        board.clock = clock
        await board.publish(name, service(name, None).serialized_snapshot())
    board.clock = 4.5
    told = await statistics(service("b", board))
    assert [replica.replica_id for replica in told] == ["b", "a", "c"]
    assert [replica.sample_age.ToMilliseconds() for replica in told] == [0, 2500, 3500]
    for replica in told:
        assert (replica.profile, replica.open_stream_count, replica.symbol_count) == ("legacy", 2, 3)


async def test_a_replica_without_a_board_tells_of_itself() -> None:
    """There are no others."""
    assert [replica.replica_id for replica in await statistics(service("a", None))] == ["a"]


async def test_a_board_that_fails_costs_only_news_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Its own figures are told all the same, and the log has why there are no more."""
    board = LocalBoard()
    board.failing = True
    assert [replica.replica_id for replica in await statistics(service("a", board))] == ["a"]
    assert "the board is gone" in caplog.text


async def test_what_a_board_holds_for_others_may_be_damaged(caplog: pytest.LogCaptureFixture) -> None:
    """Figures that cannot be read, as another release may publish, do not end the call."""
    board = LocalBoard()
    await board.publish("other", b"\xff\xff\xff")
    assert [replica.replica_id for replica in await statistics(service("a", board))] == ["a"]
    assert caplog.records


async def test_what_is_remembered_is_told() -> None:
    """Each figure under its own name."""
    [told] = await statistics(service("a", None))
    cache = told.cache
    assert (cache.entry_count, cache.size_bytes, cache.hit_count, cache.miss_count) == (1, 2, 3, 4)
    assert (cache.expiration_count, cache.eviction_count) == (5, 6)
    shared, ids = cache.shared, cache.request_ids
    assert (shared.available, shared.hit_count, shared.miss_count, shared.timeout_count) == (True, 1, 2, 3)
    assert (shared.skip_count, shared.failure_count, shared.write_count, shared.drop_count) == (4, 5, 6, 7)
    assert (ids.entry_count, ids.size_bytes, ids.replay_count, ids.reuse_count) == (1, 2, 3, 4)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A registry with one version."""
    return settings_for(make_registry(tmp_path, versions=1), profile="off_hours")


async def test_a_replica_publishes_and_a_board_that_fails_does_not_stop_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on trying, and is told of once the board is back; it stays in service all the while."""
    monkeypatch.setattr("server.replica_news.INTERVAL", 0.0)
    caplog.set_level(logging.ERROR)
    board = LocalBoard()
    board.failing = True
    with use_engine(FakeEngine):
        replica = Replica(settings, replica_id="one", health=Health(), on_hang=lambda: None, board=board)
    await replica.start()
    async with asyncio.timeout(30):
        for _ in range(3):
            await board.attempts.acquire()
        assert replica.is_serving()
        board.failing = False
        while not board.board.others("two"):
            await board.attempts.acquire()
    [(_, figures)] = board.board.others("two")
    told = ReplicaStatistics.FromString(figures)
    assert (told.replica_id, told.profile) == ("one", "off_hours")
    assert [model.name for model in told.models] == ["cnn_lstm"]
    await replica.close()
