"""Laws of the versions in memory: who was used last stays longest, and what must stay stays whatever it costs."""

import dataclasses
from collections.abc import Iterable

import pytest

from server.models.loaded_versions import Key, LoadedVersions
from tests.support.fakes import served_model
from tests.support.registry import NAME, real_windows

LONG_AGO = -1.0


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


def key(version: int) -> Key:
    """Returns a version's key."""
    return (NAME, version)


def loaded(*versions: int, memory_bytes: int = 10) -> LoadedVersions:
    """Returns versions in memory, the n-th of them used at second n; each holds `memory_bytes`."""
    versions_in_memory = LoadedVersions()
    for now, version in enumerate(versions, start=1):
        served = dataclasses.replace(served_model(version=version), memory_bytes=memory_bytes)
        versions_in_memory.add(key(version), served, float(now))
    return versions_in_memory


def evict(
    versions: LoadedVersions, *, kept: Iterable[int] = (), budget: int = 1000, used_since: float = LONG_AGO
) -> list[int]:
    """Evicts, and returns the numbers of those that left."""
    evicted = versions.evict(kept={key(version) for version in kept}, budget=budget, used_since=used_since)
    return [version for _, version in evicted]


def test_within_the_budget_nothing_leaves() -> None:
    """To the byte."""
    versions = loaded(1, 2, 3)
    assert versions.memory_bytes == 30
    assert evict(versions, budget=30) == []
    assert evict(versions, budget=29) == [1]
    assert versions.memory_bytes == 20


def test_a_use_moves_a_version_to_the_end_of_the_line_and_a_look_does_not() -> None:
    """Statistics look at all versions all the time."""
    versions = loaded(1, 2, 3)
    assert versions.use(key(1), 4.0) is versions[key(1)]
    assert versions.get(key(2)) is not None
    assert key(2) in versions
    assert evict(versions, budget=10) == [2, 3]
    assert versions.use(key(2), 5.0) is None


def test_no_more_leave_than_must() -> None:
    """Large ones count for what they hold."""
    versions = loaded(1, 2, 3)
    versions.add(key(4), dataclasses.replace(served_model(version=4), memory_bytes=1), 4.0)
    assert evict(versions, budget=21) == [1]


def test_the_most_recently_used_stays_over_any_budget() -> None:
    """Somebody waits for it."""
    versions = loaded(1, 2)
    assert evict(versions, budget=0) == [1]
    assert list(versions) == [key(2)]


def test_what_is_kept_stays_and_others_make_room_for_it() -> None:
    """Over budget and idle as it may be."""
    versions = loaded(1, 2, 3, 4)
    assert evict(versions, kept=[1, 3], budget=0) == [2]
    assert evict(versions, kept=[1, 3], used_since=100.0) == [4]
    assert list(versions) == [key(1), key(3)]


def test_the_idle_leave_whatever_the_budget() -> None:
    """Even the most recently used; a version used at that very moment stays."""
    versions = loaded(1, 2, 3)
    assert evict(versions, used_since=2.0) == [1]
    assert evict(versions, used_since=3.5) == [2, 3]
    assert (len(versions), versions.memory_bytes) == (0, 0)


def test_a_version_that_is_loaded_again_takes_the_place_of_the_one_before() -> None:
    """Its memory counts once, and the new one answers."""
    versions = loaded(1, 2)
    again = dataclasses.replace(served_model(version=1), memory_bytes=5)
    versions.add(key(1), again, 3.0)
    assert versions[key(1)] is again
    assert versions.memory_bytes == 15
    assert list(versions) == [key(2), key(1)]


def test_what_is_forgotten_is_gone() -> None:
    """Twice is once; nobody's memory of its use is left."""
    versions = loaded(1, 2)
    for _ in range(2):
        versions.forget(key(1))
    assert list(versions) == [key(2)]
    assert evict(versions, used_since=2.0) == []
