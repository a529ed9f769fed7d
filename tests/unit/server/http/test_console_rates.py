"""Laws of rates: a counter's growth over the replica's own time, and nothing where that is not known."""

from __future__ import annotations

from server.http.console_rates import Counts, rates
from server.telemetry.recent_figures import RecentFigures, Tally


def counts(uptime: float, batches: int, ticks: int = 0) -> Counts:
    """A look at the counters."""
    return Counts(uptime=uptime, batches=batches, ticks=ticks)


def recent(at: float, answered: int, *, count_id: int = 1, span: float = 10.0, window: int = 0) -> RecentFigures:
    """A look at the last half minute, of one class."""
    return RecentFigures(
        at=at,
        count_id=count_id,
        span=span,
        totals={"STANDARD": Tally(answered=answered)},
        window={"STANDARD": Tally(answered=window)},
    )


def test_one_look_gives_no_rate_of_counters() -> None:
    """Growth needs two looks."""
    first = rates(None, counts(10.0, 500), None)
    assert (first.batches, first.ticks, first.answered) == (None, None, None)


def test_growth_is_over_the_replicas_own_time() -> None:
    """Whenever the figures were looked at."""
    found = rates(rates(None, counts(10.0, 500, 40), None), counts(12.0, 700, 50), None)
    assert (found.batches, found.ticks) == (100.0, 5.0)


def test_the_same_figures_again_change_no_rate() -> None:
    """A replica that publishes more seldom than the page is told has not stopped."""
    second = rates(rates(None, counts(10.0, 500), recent(100.0, 5)), counts(12.0, 700), recent(102.0, 25))
    third = rates(second, counts(12.0, 700), recent(102.0, 25))
    assert (third.batches, third.answered) == (100.0, {"STANDARD": 10.0})


def test_a_replica_that_started_anew_has_no_rate_yet() -> None:
    """Counters that fell are other counters."""
    found = rates(rates(None, counts(100.0, 5000), None), counts(1.0, 3), None)
    assert found.batches is None


def test_answers_grow_within_one_count_only() -> None:
    """A count that began anew is judged by its own window, and by nothing while that is short."""
    before = rates(None, counts(10.0, 0), recent(100.0, 1000))
    short = rates(before, counts(11.0, 0), recent(101.0, 3, count_id=2, span=0.5, window=3))
    long = rates(before, counts(11.0, 0), recent(101.0, 30, count_id=2, span=6.0, window=30))
    assert short.answered is None
    assert long.answered == {"STANDARD": 5.0}


def test_a_class_that_is_new_counts_from_zero() -> None:
    """Its first answers are growth, too."""
    before = rates(None, counts(10.0, 0), RecentFigures(at=100.0, count_id=1, span=10.0))
    assert rates(before, counts(12.0, 0), recent(102.0, 6)).answered == {"STANDARD": 3.0}


def test_a_replica_that_tells_no_details_has_no_answers() -> None:
    """And its other rates all the same."""
    before = rates(None, counts(10.0, 0), recent(100.0, 6))
    found = rates(before, counts(12.0, 10), None)
    assert (found.batches, found.answered) == (5.0, None)


def test_a_replica_that_answers_nobody_answers_nothing_a_second() -> None:
    """Which is known, and not the same as unknown."""
    before = rates(None, counts(10.0, 0), RecentFigures(at=100.0, count_id=1, span=10.0))
    found = rates(before, counts(12.0, 0), RecentFigures(at=102.0, count_id=1, span=12.0))
    assert found.answered == {}
