"""A demand says how much of what, or is refused with the option and the remedy."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import PriorityClass
from planning.demand import Demand
from planning.planning_error import InvalidDemandError
from tests.unit.planning.demands import BACKGROUND, MIX, REAL_TIME, SLO, STANDARD, demand


@given(
    rate=st.just(0.0) | st.floats(1e-6, 1e6),
    weights=st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3).filter(lambda weights: sum(weights) > 1e-3),
    streams=st.integers(0, 1000),
    ticks=st.floats(0.01, 100.0),
)
def test_shares_are_parts_of_all(rate: float, weights: list[float], streams: int, ticks: float) -> None:
    """The classes' shares, of unary calls and ticks together, add up to 1, and none that is left has nothing."""
    mix = dict(zip((REAL_TIME, STANDARD, BACKGROUND), (weight / sum(weights) for weight in weights), strict=True))
    if not rate and not streams:
        return
    shares = Demand(
        rate=rate, mix=mix, slo=SLO, streams=streams, ticks_per_stream=ticks if streams else 0.0, stream_class=REAL_TIME
    ).shares
    assert sum(shares.values()) == pytest.approx(1.0)
    assert all(share > 0.0 for share in shares.values())


def test_ticks_join_their_class() -> None:
    """Half of the load is ticks: their class gets that half, and its part of the other."""
    shares = demand(rate=100.0, streams=50, ticks_per_stream=2.0, stream_class=BACKGROUND).shares
    assert shares == pytest.approx({REAL_TIME: 0.05, STANDARD: 0.3, BACKGROUND: 0.65})
    assert demand(rate=100.0, streams=50, ticks_per_stream=2.0).tick_share == pytest.approx(0.5)


def test_classes_that_send_nothing_need_no_goal() -> None:
    """A class whose share is 0 is left out."""
    assert demand(mix={STANDARD: 1.0, REAL_TIME: 0.0}, slo={STANDARD: 0.1}).shares == {STANDARD: 1.0}


@pytest.mark.parametrize(
    ("changes", "option", "remedy"),
    [
        ({"rate": -1.0}, "--rate", "at least 0"),
        ({"rate": float("nan")}, "--rate", "at least 0"),
        ({"rate": 0.0}, "--rate", "give --rate, or --streams"),
        ({"mix": {STANDARD: 0.5}}, "--mix", "must add up to 1"),
        ({"mix": {}}, "--mix", "must add up to 1"),
        ({"mix": {STANDARD: 1.5, REAL_TIME: -0.5}}, "--mix", "from 0 to 1"),
        ({"mix": {**MIX, PriorityClass.SHADOW: 0.0}}, "--mix", "name real_time"),
        ({"slo": {STANDARD: 0.1}}, "--slo", "real_time=50ms"),
        ({"slo": {**SLO, STANDARD: 0.0}}, "--slo", "standard=50ms"),
        ({"goal": 1.0}, "--goal", "such as 0.99"),
        ({"streams": -1}, "--streams", "0 or more"),
        ({"ticks_per_stream": 1.0}, "--ticks-per-second", "give --streams"),
        ({"streams": 1, "ticks_per_stream": -1.0}, "--ticks-per-second", "ticks a second"),
    ],
)
def test_a_demand_that_cannot_be_is_refused(changes: dict[str, Any], option: str, remedy: str) -> None:
    """The message names the option and what to give instead."""
    with pytest.raises(InvalidDemandError, match=remedy) as caught:
        demand(**changes)
    assert caught.value.option == option
    assert str(caught.value).startswith(option)
