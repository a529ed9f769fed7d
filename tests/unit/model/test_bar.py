"""Laws of `model.bar.Bar`."""

import math
from dataclasses import FrozenInstanceError

import pytest

from model.bar import MAX_VOLUME, Bar
from model.data_errors import DataError, InvalidBarError
from model.errors import ModelError

GOOD = {"open_time": 0.0, "open": 1.2, "high": 1.4, "low": 1.1, "close": 1.3, "volume": 5.0}


def test_a_valid_bar_keeps_its_fields() -> None:
    """A valid bar holds exactly what it was given."""
    bar = Bar(**GOOD)
    assert {name: getattr(bar, name) for name in GOOD} == GOOD


def test_edges_are_valid() -> None:
    """A bar of one price without volume is valid, and so is the largest volume."""
    flat = {"open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0}
    assert Bar(open_time=-1.0, **flat, volume=0.0).high == 1.0
    assert Bar(open_time=1e12, **flat, volume=MAX_VOLUME).volume == MAX_VOLUME


def test_a_bar_is_frozen() -> None:
    """A bar cannot be changed after its validation."""
    with pytest.raises(FrozenInstanceError):
        Bar(**GOOD).close = 2.0  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        *[({name: value}, name) for name in GOOD for value in (math.nan, math.inf, -math.inf)],
        ({"open": 0.0}, "open"),
        ({"low": -1.0}, "low"),
        ({"close": -1.3}, "close"),
        ({"high": 1.29}, "high"),
        ({"low": 1.21}, "low"),
        ({"high": 1.0}, "high"),
        ({"volume": -1e-9}, "volume"),
        ({"volume": 2 * MAX_VOLUME}, "volume"),
    ],
)
def test_a_broken_rule_names_field_and_remedy(changes: dict[str, float], field: str) -> None:
    """Each broken rule is refused by an error with the field's name, the value and a remedy."""
    with pytest.raises(InvalidBarError, match="; ") as caught:
        Bar(**{**GOOD, **changes})
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field} is ")
    assert isinstance(caught.value, DataError)
    assert isinstance(caught.value, ModelError)
