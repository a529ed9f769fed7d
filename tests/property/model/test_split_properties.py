"""Properties of the chronological split for arbitrary sizes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from model.data_errors import NotEnoughBarsError
from model.dataset import SAMPLE_REACH, chronological_split


@given(
    bar_count=st.integers(0, 20_000),
    horizon=st.integers(1, 200),
    extra=st.integers(0, 500),
    train=st.floats(0.05, 0.9),
    rest=st.floats(0.05, 0.95),
)
def test_parts_are_ordered_apart_and_never_empty(
    bar_count: int, horizon: int, extra: int, train: float, rest: float
) -> None:
    """Either the bars are refused, naming a number that suffices, or no part's bars come within another's embargo."""
    embargo = horizon + 60 + extra
    shares = (train, (1 - train) * rest)
    refusal = None
    try:
        split = chronological_split(bar_count, horizon=horizon, embargo=embargo, shares=shares)
    except NotEnoughBarsError as error:
        refusal = error
    if refusal is not None:
        assert refusal.need > bar_count
        chronological_split(refusal.need, horizon=horizon, embargo=embargo, shares=shares)
        return
    parts = (split.train, split.validation, split.test)
    assert parts[0].start == 0
    assert parts[-1].stop == bar_count
    for part in parts:
        anchors = part.anchors(horizon)
        assert len(anchors) >= 1
        assert anchors[0] - (SAMPLE_REACH - 1) >= part.start
        assert anchors[-1] + horizon < part.stop
    for before, after in pairwise(parts):
        assert after.start - before.stop == embargo
