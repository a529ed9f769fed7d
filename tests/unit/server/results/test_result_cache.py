"""Laws of the result cache: what was put is found, for a time and within a budget, and everything is counted."""

import tracemalloc

import pytest

from server.results.result_cache import ResultCache, ResultKey

VALUE = b"v" * 1124
MIB = 1024**2


class Clock:
    """Time that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Returns it."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Stands still."""
    return Clock()


@pytest.fixture
def cache(clock: Clock) -> ResultCache:
    """Room for some thousand entries, for a minute."""
    return ResultCache(max_bytes=8 * MIB, ttl=60.0, clock=clock)


def key(number: int = 0, **fields: str) -> ResultKey:
    """Returns a key of its own for each number."""
    return ResultKey(f"{number:064x}", (50, 60), "ab" * 32, "openvino", "bf16")._replace(**fields)  # type: ignore[arg-type]


def test_what_was_put_is_found_under_its_key_alone(cache: ResultCache) -> None:
    """Another window, shape, model, engine or precision is another answer."""
    cache.put(key(), VALUE)
    assert cache.get(key()) == VALUE
    others = [key(1), key(model="cd" * 32), key(engine="torchscript"), key(precision="fp32")]
    others.append(key()._replace(shape=(60, 50)))
    for other in others:
        assert other not in cache
        assert cache.get(other) is None
    told = cache.statistics()
    assert (told.entries, told.hits, told.misses) == (1, 1, 5)


def test_an_answer_is_kept_for_its_time(cache: ResultCache, clock: Clock) -> None:
    """To the instant, from when it was put; a use does not prolong it."""
    cache.put(key(), VALUE)
    clock.now += 59.9
    assert cache.get(key()) == VALUE
    clock.now += 0.1
    assert key() not in cache
    assert cache.get(key()) is None
    told = cache.statistics()
    assert (told.entries, told.size_bytes, told.expirations, told.evictions) == (0, 0, 1, 0)


def test_a_shorter_time_holds_at_once(cache: ResultCache, clock: Clock) -> None:
    """Settings change while the service runs."""
    cache.put(key(), VALUE)
    clock.now += 10.0
    cache.ttl = 5.0
    assert cache.get(key()) is None


def test_the_least_recently_used_makes_room(cache: ResultCache) -> None:
    """Not the oldest one: what is asked for stays."""
    cache.put(key(0), VALUE)
    size = cache.statistics().size_bytes
    cache.max_bytes = 3 * size
    cache.put(key(1), VALUE)
    cache.put(key(2), VALUE)
    cache.get(key(0))
    cache.put(key(3), VALUE)
    assert [number for number in range(4) if key(number) in cache] == [0, 2, 3]
    assert cache.statistics().evictions == 1


def test_a_smaller_budget_holds_from_the_next_put(cache: ResultCache) -> None:
    """All that is over it goes, and what cannot fit at all is not kept."""
    for number in range(10):
        cache.put(key(number), VALUE)
    size = cache.statistics().size_bytes // 10
    cache.max_bytes = 2 * size
    cache.put(key(10), VALUE)
    assert (cache.statistics().entries, cache.statistics().evictions) == (2, 9)
    cache.max_bytes = size - 1
    cache.put(key(11), VALUE)
    assert key(11) not in cache


def test_putting_again_replaces(cache: ResultCache, clock: Clock) -> None:
    """One entry for each key, as old as its last put."""
    cache.put(key(), b"old")
    clock.now += 30.0
    cache.put(key(), VALUE)
    clock.now += 40.0
    assert cache.get(key()) == VALUE
    assert cache.statistics().entries == 1


def test_old_entries_are_swept_by_those_that_come(cache: ResultCache, clock: Clock) -> None:
    """Each put takes some away, so memory for windows of yesterday is given back while others are kept."""
    for number in range(10):
        cache.put(key(number), VALUE)
    clock.now += 61.0
    for number in range(10, 15):
        cache.put(key(number), VALUE)
    told = cache.statistics()
    assert (told.entries, told.expirations, told.evictions) == (5, 10, 0)


def test_clearing_forgets_everything(cache: ResultCache) -> None:
    """Nothing is found and nothing is held."""
    cache.put(key(), VALUE)
    cache.clear()
    assert cache.get(key()) is None
    assert (cache.statistics().entries, cache.statistics().size_bytes) == (0, 0)


def test_the_bytes_told_are_the_bytes_held(clock: Clock) -> None:
    """The budget is what the process grows by, to a fifth: keys and tables are counted."""
    cache = ResultCache(max_bytes=64 * MIB, ttl=60.0, clock=clock)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(5000):
        # Each request brings objects of its own, but for the model's and the engine's names.
        shape = (50, *(60 for _ in range(1)))
        cache.put(ResultKey(f"{number:064x}", shape, "ab" * 32, "openvino", "bf16"), bytes(bytearray(VALUE)))
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert held == pytest.approx(cache.statistics().size_bytes, rel=0.2)
