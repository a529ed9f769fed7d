"""Laws of routing and of rollback, for any key, percentage and run of outcomes."""

import string

from hypothesis import given
from hypothesis import strategies as st

from server.call import Call
from server.config.route_settings import RouteSettings
from server.routes.arm_statistics import ArmFigures, ArmStatistics, Outcome
from server.routes.latency_histogram import LatencyHistogram
from server.routes.rollback_policy import Fault, judge
from server.routes.router import Arm, arm_of, place, routing_key

KEYS = st.text(max_size=40)
NAMES = st.text(string.ascii_lowercase + string.digits + "_.-", min_size=1, max_size=20)
PERCENTS = st.floats(0, 100)
OUTCOMES = st.sampled_from(list(Outcome))


@given(NAMES, KEYS)
def test_every_key_has_a_place(model: str, key: str) -> None:
    """In [0, 1), and the same one each time."""
    found = place(model, key)
    assert 0 <= found < 1
    assert place(model, key) == found


@given(NAMES, KEYS, PERCENTS, PERCENTS)
def test_more_percent_only_adds_keys(model: str, key: str, one: float, other: float) -> None:
    """Whoever meets the candidate at some percentage meets it at every higher one."""
    lower, higher = sorted((one, other))
    if arm_of(model, key, lower) is Arm.CANDIDATE:
        assert arm_of(model, key, higher) is Arm.CANDIDATE


@given(NAMES, KEYS)
def test_none_is_none_and_all_is_all(model: str, key: str) -> None:
    """0 % is nobody and 100 % everybody, without exception."""
    assert arm_of(model, key, 0) is Arm.STABLE
    assert arm_of(model, key, 100) is Arm.CANDIDATE


@given(KEYS, KEYS, st.text(min_size=1), st.text())
def test_an_identity_is_never_taken_for_another(caller: str, symbol: str, sent: str, request_id: str) -> None:
    """The key that was sent wins; else the caller with its symbol; else the request's own id."""
    call = Call(method="/m", received_at=0.0, caller=caller, routing_key=sent)
    assert routing_key(call, symbol=symbol, request_id=request_id) == sent
    anonymous = Call(method="/m", received_at=0.0, caller=caller)
    found = routing_key(anonymous, symbol=symbol, request_id=request_id)
    if caller and symbol:
        assert found == f"{caller}\0{symbol}"
    else:
        assert found == (request_id or symbol)


def figures(outcomes: list[Outcome]) -> ArmFigures:
    """Returns what is counted of such calls."""
    counted = ArmFigures()
    for outcome in outcomes:
        counted.count(outcome, None)
    return counted


@given(st.lists(OUTCOMES, max_size=30), st.integers(31, 100))
def test_few_samples_never_condemn(outcomes: list[Outcome], min_requests: int) -> None:
    """However badly it begins: below `min_requests` nothing is taken back."""
    limits = RouteSettings(min_requests=min_requests, max_error_rate=0, max_late_rate=0, max_disagreement=0)
    assert judge(figures(outcomes), figures([]), limits) is None


@given(st.integers(1, 200), st.integers(0, 50), st.integers(0, 1000), st.floats(0, 0.99))
def test_nothing_but_errors_always_condemns(min_requests: int, more: int, declined: int, limit: float) -> None:
    """From `min_requests` on, if stable has none, whatever was declined beside it."""
    limits = RouteSettings(min_requests=min_requests, max_error_rate=limit)
    bad = figures([Outcome.ERROR] * (min_requests + more) + [Outcome.DECLINED] * declined)
    verdict = judge(bad, figures([Outcome.ANSWERED] * min_requests), limits)
    assert verdict is not None
    assert (verdict.fault, verdict.rate, verdict.requests) == (Fault.ERRORS, 1.0, min_requests + more)


@given(st.lists(OUTCOMES, max_size=60), st.integers(1, 20), st.floats(0, 1), st.floats(0, 1))
def test_a_candidate_like_stable_is_never_condemned(
    outcomes: list[Outcome], min_requests: int, errors: float, late: float
) -> None:
    """What happens to both alike is no fault of the candidate: overload, or windows that nobody can answer."""
    limits = RouteSettings(min_requests=min_requests, max_error_rate=errors, max_late_rate=late)
    assert judge(figures(outcomes), figures(outcomes), limits) is None


@given(st.lists(st.sampled_from([Outcome.ANSWERED, Outcome.DECLINED]), max_size=60))
def test_a_candidate_that_answers_is_never_condemned(outcomes: list[Outcome]) -> None:
    """Not even under limits of zero: to be declined is no fault."""
    limits = RouteSettings(min_requests=1, max_error_rate=0, max_late_rate=0, max_disagreement=0)
    assert judge(figures(outcomes), figures([]), limits) is None


@given(
    st.lists(st.tuples(OUTCOMES, st.floats(0, 0.5), st.integers(0, 40)), max_size=60),
    st.floats(1.2, 1000),
)
def test_the_window_holds_what_is_younger_and_drops_what_is_older(
    calls: list[tuple[Outcome, float, int]], window: float
) -> None:
    """Up to eleven twelfths of its length all is in, from its length on nothing is; the total keeps everything."""
    clock = [0.0]
    statistics = ArmStatistics(window=window, clock=lambda: clock[0])
    times = []
    for outcome, seconds, steps in calls:
        clock[0] += steps * window / 24
        statistics.count(outcome, seconds)
        times.append(clock[0])
    recent = statistics.recent
    slack = window * 1e-9
    surely_in = sum(clock[0] - time < window * 11 / 12 - slack for time in times)
    surely_out = sum(clock[0] - time >= window + slack for time in times)
    assert surely_in <= recent.requests <= len(times) - surely_out
    assert recent.latency.count == recent.requests
    assert statistics.total.requests == len(times)


@given(st.lists(st.floats(1e-4, 100), min_size=1, max_size=80), st.floats(0.01, 1))
def test_a_quantile_is_at_most_a_tenth_too_large(seconds: list[float], share: float) -> None:
    """And never too small, within the histogram's range."""
    histogram = LatencyHistogram()
    for value in seconds:
        histogram.add(value)
    found = histogram.quantile(share)
    least = min(value for value in seconds if sum(other <= value for other in seconds) >= share * len(seconds))
    assert least * (1 - 1e-9) <= found <= least * 1.1 * (1 + 1e-9)
