"""Laws of the limiter: the first at once, so many an interval, and every line is told or counted in one that is."""

from hypothesis import given
from hypothesis import strategies as st

from server.telemetry.log_limiter import LogLimiter


def test_the_first_of_a_kind_is_said_at_once_and_the_next_has_the_count() -> None:
    """Between two lines of a kind at least an interval passes; the second says how many were not written."""
    limiter: LogLimiter[str] = LogLimiter(interval=10)
    assert limiter.offer("full", now=0) == 0
    assert [limiter.offer("full", now=now) for now in (0, 5, 9.9)] == [None] * 3
    assert limiter.offer("full", now=10) == 3
    assert limiter.offer("full", now=20) == 0
    assert limiter.suppressed_count == 3


def test_kinds_do_not_disturb_each_other() -> None:
    """A flood of one kind hides no line of another."""
    limiter: LogLimiter[str] = LogLimiter(interval=10)
    for _ in range(100):
        limiter.offer("flood", now=0)
    assert limiter.offer("rare", now=0) == 0


def test_a_burst_is_said_whole() -> None:
    """As many lines as the burst allows are written in an interval."""
    limiter: LogLimiter[str] = LogLimiter(interval=1, burst=3)
    assert [limiter.offer("x", now=0.1) for _ in range(5)] == [0, 0, 0, None, None]
    assert [limiter.offer("x", now=1.1) for _ in range(4)] == [2, 0, 0, None]


def test_what_was_suppressed_is_due_when_its_interval_is_over() -> None:
    """And once only: the line that tells it begins another interval."""
    limiter: LogLimiter[str] = LogLimiter(interval=10)
    for now in (0, 1, 2):
        limiter.offer("full", now=now)
    assert limiter.has_untold
    assert list(limiter.due(now=9)) == []
    assert list(limiter.due(now=10)) == [("full", 2)]
    assert not limiter.has_untold
    assert list(limiter.due(now=99)) == []
    limiter.offer("full", now=10)
    assert limiter.offer("full", now=19) is None


def test_kinds_without_number_share_one_allowance() -> None:
    """Memory stays bounded whatever is logged; kinds that are over make room first."""
    limiter: LogLimiter[int] = LogLimiter(interval=10, max_keys=4)
    assert [limiter.offer(key, now=0) for key in range(4)] == [0] * 4
    assert limiter.offer(4, now=1) == 0
    assert [limiter.offer(key, now=2) for key in range(5, 50)] == [None] * 45
    assert list(limiter.due(now=11)) == [(None, 45)]
    assert limiter.offer(99, now=12) == 0
    assert len(limiter._allowances) <= 4 + 1


@given(
    interval=st.floats(0.1, 100),
    burst=st.integers(1, 5),
    steps=st.lists(st.tuples(st.floats(0, 30), st.sampled_from("abc"), st.booleans())),
)
def test_every_line_is_told_or_counted_in_one_that_is(
    interval: float, burst: int, steps: list[tuple[float, str, bool]]
) -> None:
    """Lines written and counts told add up to lines offered, for any timing, and no interval has more than a burst."""
    limiter: LogLimiter[str] = LogLimiter(interval=interval, burst=burst)
    now = 0.0
    offered = told = 0
    written: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for wait, key, asks_due in steps:
        now += wait
        offered += 1
        untold = limiter.offer(key, now=now)
        if untold is not None:
            told += 1 + untold
            written[key].append(now)
        for due, count in limiter.due(now=now) if asks_due else ():
            assert due is not None
            told += count
            written[due].append(now)
    told += sum(count for _, count in limiter.due(now=now + 2 * interval))
    assert told == offered
    for times in written.values():
        for first, last in zip(times, times[2 * burst :], strict=False):
            # Two intervals may touch: never more than two bursts within less than one.
            assert last - first >= interval * (1 - 1e-9)
