"""Laws of the two levels of known answers: the near one first, what is found far comes near, and settings hold live."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from model.model_config import NetworkConfig
from server.config.cache_settings import CacheSettings
from server.config.live_settings import LiveSettings
from server.config.settings import Settings
from server.results.known_results import KnownResults, SharedResultsStatistics
from server.results.packed_row import pack
from server.results.result_cache import ResultKey
from tests.unit.server.results.test_packed_row import row, same

KEY = ResultKey("0" * 64, (50, 60), "ab" * 32, "openvino", "bf16")
NETWORK = NetworkConfig()
NOW = 100.0


class FakeShared:
    """A second level in memory.

    Attributes:
        values: What it holds.
        asked: The time that was left at each look-up, seconds.
        open: Whether it was started and not closed.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self.settings = settings
        self.values: dict[ResultKey, bytes] = {}
        self.asked: list[float] = []
        self.open = False

    def start(self) -> None:
        """See `SharedResults`."""
        self.open = True

    async def close(self) -> None:
        """See `SharedResults`."""
        await asyncio.sleep(0)
        self.open = False

    async def get(self, key: ResultKey, *, remaining: float) -> bytes | None:
        """See `SharedResults`."""
        self.asked.append(remaining)
        return self.values.get(key)

    def put(self, key: ResultKey, value: bytes) -> None:
        """See `SharedResults`."""
        self.values[key] = value

    def statistics(self) -> SharedResultsStatistics:
        """See `SharedResults`."""
        return SharedResultsStatistics(
            available=self.open, hits=0, misses=0, timeouts=0, skipped=0, failures=0, writes=0, dropped=0
        )


class Levels:
    """Both levels, with settings to change.

    Attributes:
        known: Under test.
        made: The second levels that were connected to.
    """

    def __init__(self, **cache: object) -> None:
        self.live = LiveSettings(Settings(cache=CacheSettings(**cache)))  # type: ignore[arg-type]
        self.made: list[FakeShared] = []
        self.known = KnownResults(self.live, connect=self._connect, clock=lambda: NOW)

    def _connect(self, settings: CacheSettings) -> FakeShared:
        self.made.append(FakeShared(settings))
        return self.made[-1]

    async def change(self, **cache: object) -> None:
        """Puts other settings in force."""
        change: Callable[[], Settings] = lambda: Settings(cache=CacheSettings(**cache))  # type: ignore[arg-type]  # noqa: E731
        self.live.change(await asyncio.to_thread(change))
        self.known.apply_settings()

    async def finds(self) -> bool:
        """Tells whether the answer is known, and is the right one."""
        found = await self.known.find(KEY, network=NETWORK, deadline=NOW + 5.0)
        assert found is None or same(found, row())
        return found is not None


@pytest.fixture
def near() -> Levels:
    """The near level alone."""
    return Levels()


@pytest.fixture
def both() -> Levels:
    """With a second one, which its own process's first one hides."""
    return Levels(redis_url="redis://one")


async def test_what_is_kept_is_found(near: Levels) -> None:
    """In this process."""
    near.known.apply_settings()
    assert not await near.finds()
    near.known.keep(KEY, row())
    assert await near.finds()
    results, shared = near.known.statistics()
    assert (results.hits, results.misses, shared) == (1, 1, None)


async def test_requests_that_shared_an_execution_keep_its_answer_once(both: Levels) -> None:
    """The second one neither packs nor sends it again."""
    both.known.apply_settings()
    [far] = both.made
    both.known.keep(KEY, row())
    far.values.clear()
    both.known.keep(KEY, row())
    assert not far.values


async def test_the_far_level_is_asked_only_if_the_near_one_has_nothing(both: Levels) -> None:
    """And what it has is near from then on."""
    both.known.apply_settings()
    [far] = both.made
    far.values[KEY] = pack(row())
    assert await both.finds()
    assert await both.finds()
    assert far.asked == [5.0]


async def test_what_lies_far_and_is_no_answer_is_a_miss(both: Levels) -> None:
    """It does not come near; the computed answer takes its place."""
    both.known.apply_settings()
    [far] = both.made
    far.values[KEY] = b"foreign"
    assert not await both.finds()
    assert both.known.statistics()[0].entries == 0
    both.known.keep(KEY, row())
    assert far.values[KEY] == pack(row())


async def test_nothing_is_kept_or_found_while_it_is_off(both: Levels) -> None:
    """Switching it off forgets what was kept."""
    both.known.apply_settings()
    both.known.keep(KEY, row())
    await both.change(enabled=False)
    assert not await both.finds()
    both.known.keep(KEY, row())
    assert both.known.statistics()[0].entries == 0
    await both.change()
    assert not await both.finds()


async def test_the_second_level_follows_the_settings(both: Levels) -> None:
    """Another URL is another connection, the old one is let go; other changes touch neither."""
    both.known.apply_settings()
    await both.change(redis_url="redis://one", max_bytes=1024**2, ttl=5.0)
    assert [far.open for far in both.made] == [True]
    await both.change(redis_url="redis://two")
    assert [far.settings.redis_url for far in both.made] == ["redis://one", "redis://two"]
    await both.change()
    assert both.known.statistics()[1] is None
    await both.known.close()
    await both.known.close()
    assert [far.open for far in both.made] == [False, False]


async def test_a_smaller_budget_holds_at_once(near: Levels) -> None:
    """So an operator who lowers it need not restart."""
    near.known.apply_settings()
    await near.change(max_bytes=1024**2)
    for number in range(2000):
        near.known.keep(KEY._replace(digest=f"{number:064x}"), row())
    assert near.known.statistics()[0].size_bytes <= 1024**2
