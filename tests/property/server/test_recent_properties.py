"""Laws of the console's sliding window, for any order of events and silences."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from batching import PriorityClass
from server.refusal import Reason
from server.routes.latency_histogram import LatencyHistogram
from server.telemetry.recent import RecentActivity
from server.telemetry.recent_figures import Fate, RecentFigures, Tally, fate_of
from tests.support.ended_requests import answered, refused

# Made once: the helpers look at real windows.
ANSWERED, REFUSED = answered(), refused()
_SLOT = 3.0
_SLOTS = 10
REASONS = (None, Reason.QUEUE_FULL, Reason.EXPIRED_IN_QUEUE, Reason.INFERENCE_FAILED, Reason.INVALID_SHAPE)
EVENTS = st.lists(
    st.tuples(
        st.floats(0.0, 12.0),
        st.sampled_from([PriorityClass.REAL_TIME, PriorityClass.STANDARD, PriorityClass.BACKGROUND]),
        st.sampled_from(REASONS),
        st.floats(0.0, 2.0),
    ),
    max_size=40,
)


def tally(fates: list[Fate]) -> Tally:
    """Counts fates one by one."""
    return Tally(*(fates.count(fate) for fate in Fate))


@settings(deadline=None)
@given(EVENTS)
def test_the_window_has_what_ended_in_its_slots_and_the_totals_have_all(
    events: list[tuple[float, PriorityClass, Reason | None, float]],
) -> None:
    """As many in each class as a count by hand, whatever the silences between, and as many latencies as answers."""
    now = 50.0
    recent = RecentActivity(clock=lambda: now, wall_clock=lambda: now)
    recent.watch(1e6)
    ended: list[tuple[float, str, Fate]] = []
    for pause, priority, reason, seconds in events:
        now += pause
        record = ANSWERED if reason is None else dataclasses.replace(REFUSED, reason=reason)
        recent.request_ended(dataclasses.replace(record, priority=priority, received_at=now - seconds, ended_at=now))
        ended.append((now, priority.name, Fate.ANSWERED if reason is None else fate_of(reason)))
    figures = recent.figures()
    first = (now // _SLOT - _SLOTS + 1) * _SLOT
    names = {name for _, name, _ in ended}
    assert figures.totals == {name: tally([fate for _, other, fate in ended if other == name]) for name in names}
    for name in names:
        inside = [fate for at, other, fate in ended if other == name and at >= first]
        assert figures.window.get(name, Tally()) == tally(inside)
        assert sum(figures.latencies.get(name, {}).values()) == inside.count(Fate.ANSWERED)
    refusals = [fate for at, _, fate in ended if at >= first and fate is not Fate.ANSWERED]
    assert sum(figures.reasons.values()) == len(refusals)
    assert 0 <= figures.span <= _SLOT * _SLOTS


@settings(deadline=None)
@given(st.lists(st.floats(0.0, 300.0), max_size=60), st.lists(st.floats(0.0, 300.0), max_size=60))
def test_histograms_of_two_replicas_add_up_to_that_of_both(here: list[float], there: list[float]) -> None:
    """Quantiles over all replicas are those of one replica that had answered everything."""
    one, other, both = LatencyHistogram(), LatencyHistogram(), LatencyHistogram()
    for seconds in here:
        one.add(seconds)
        both.add(seconds)
    for seconds in there:
        other.add(seconds)
        both.add(seconds)
    added = LatencyHistogram()
    added.add_buckets(one.buckets())
    added.add_buckets(other.buckets())
    assert (added.count, added.buckets()) == (both.count, both.buckets())
    assert [added.quantile(share) for share in (0.5, 0.95, 0.99)] == [both.quantile(s) for s in (0.5, 0.95, 0.99)]


def test_figures_of_another_replica_may_be_anything_and_break_nothing() -> None:
    """Buckets that there are not do not count."""
    histogram = LatencyHistogram()
    histogram.add_buckets({-1: 3, 9999: 5, 0: 2})
    assert (histogram.count, histogram.buckets()) == (2, {0: 2})
    assert RecentFigures(at=0.0, count_id=1, span=0.0).window == {}
