"""Laws of the split: a caller has one bucket, and raising the share only ever moves callers from old to new."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.migration.split import (
    BUCKETS,
    ShareError,
    Shares,
    bucket_of,
    buckets_of_percent,
    from_map,
    percent_of,
    to_map,
)

SHARES = st.integers(0, BUCKETS)


@given(st.text(), SHARES, SHARES)
def test_a_higher_share_only_adds_callers(key: str, one: int, other: int) -> None:
    """Who is on the new side at a share is on it at every higher one."""
    low, high = sorted((one, other))
    assert 0 <= bucket_of(key) < BUCKETS
    assert not (bucket_of(key) < low and bucket_of(key) >= high)


def test_no_caller_is_new_at_none_and_every_one_at_all() -> None:
    """0 % and 100 % are exact."""
    buckets = [bucket_of(f"caller-{number}") for number in range(2000)]
    assert not any(bucket < buckets_of_percent("0") for bucket in buckets)
    assert all(bucket < buckets_of_percent("100") for bucket in buckets)


@pytest.mark.parametrize("keys", ["caller-{}", "10.0.0.{}", "Bearer k{}", "EURUSD{}"])
def test_buckets_are_even(keys: str) -> None:
    """Of 20,000 callers whose names differ in a number alone, each percent has its 200, within five deviations."""
    found = Counter(bucket_of(keys.format(number)) * 100 // BUCKETS for number in range(20_000))
    assert len(found) == 100
    assert all(abs(count - 200) < 5 * 200**0.5 for count in found.values())


@given(SHARES, SHARES)
def test_the_file_says_what_was_put_in(split: int, sample: int) -> None:
    """What is written is what is read."""
    shares = Shares(split=split, sample=sample)
    assert from_map(to_map(shares)) == shares
    assert buckets_of_percent(f"{percent_of(split):.2f}") == split


def test_what_the_file_does_not_say_is_none() -> None:
    """As HAProxy takes it: all is old."""
    assert from_map("") == Shares(split=0, sample=0)


@pytest.mark.parametrize("text", ["split", "split many", "spilt 3", "split -1", "split 10001", "split 1.5"])
def test_a_file_of_something_else_is_refused(text: str) -> None:
    """Nobody guesses who is moved."""
    with pytest.raises(ShareError):
        from_map(text)


@pytest.mark.parametrize(("text", "buckets"), [("0", 0), ("20", 2000), ("0.25", 25), ("100", BUCKETS), ("99.99", 9999)])
def test_percentages_have_two_decimals(text: str, buckets: int) -> None:
    """A bucket is a hundredth of a percent."""
    assert buckets_of_percent(text) == buckets


@pytest.mark.parametrize("text", ["", "-1", "100.01", "20%", "0.001", "nan", "inf", "a"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    """With what one is."""
    with pytest.raises(ShareError, match="from 0 to 100"):
        buckets_of_percent(text)
