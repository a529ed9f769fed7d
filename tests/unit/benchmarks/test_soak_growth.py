"""Laws of the soak's arithmetic."""

import pytest

from benchmarks.soak.growth import settled, slope


def test_a_line_has_its_slope() -> None:
    """Whatever its offset."""
    assert slope([(x, 7.0 + 3.0 * x) for x in (0.0, 10.0, 15.0, 40.0)]) == pytest.approx(3.0)


def test_one_place_has_no_slope() -> None:
    """It is refused, not reported as flat."""
    for readings in ([], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 3.0)]):
        with pytest.raises(ValueError, match="two different places"):
            slope(readings)


def test_the_beginning_is_left_out() -> None:
    """By its share of the way, not of the readings."""
    readings = [(0.0, 1.0), (1.0, 2.0), (50.0, 3.0), (100.0, 4.0)]
    assert settled(readings, share=0.4) == [(50.0, 3.0), (100.0, 4.0)]
    assert settled([], share=0.4) == []
