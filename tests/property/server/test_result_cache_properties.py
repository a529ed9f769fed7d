"""Any sequence of uses of the result cache: it finds what a plain account says it may, and keeps its budget."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from server.results.result_cache import ResultCache, ResultKey

TTL = 10.0
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 7), st.integers(0, 3000)),
        st.tuples(st.just("get"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 12), st.just(0)),
        st.tuples(st.just("budget"), st.integers(0, 6000), st.just(0)),
    ),
    max_size=60,
)


def key(number: int) -> ResultKey:
    """Returns a key of its own for each number."""
    return ResultKey(str(number), (50, 60), "m", "e", "p")


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_what_is_found_was_put_last_and_is_young(steps: list[tuple[str, int, int]]) -> None:
    """A hit is the key's newest value, younger than the TTL; what was just put is there if it has room at all."""
    now = 0.0
    cache = ResultCache(max_bytes=6000, ttl=TTL, clock=lambda: now)
    newest: dict[int, tuple[bytes, float]] = {}
    looks = 0
    for serial, (step, number, size) in enumerate(steps):
        if step == "put":
            value = serial.to_bytes(2, "big") + bytes(size)
            cache.put(key(number), value)
            newest[number] = value, now
            empty = ResultCache(max_bytes=cache.max_bytes, ttl=TTL)
            empty.put(key(number), value)
            assert (key(number) in cache) == (key(number) in empty)
        elif step == "get":
            looks += 1
            found = cache.get(key(number))
            if found is not None:
                value, at = newest[number]
                assert found == value
                assert now - at < TTL
        elif step == "wait":
            now += number
        else:
            cache.max_bytes = number
        told = cache.statistics()
        assert told.hits + told.misses == looks
        assert told.size_bytes <= 6000
        assert (told.entries == 0) == (told.size_bytes == 0)
