"""What users write is read as it is meant, or refused by the option's name."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.planning_error import InvalidDemandError
from planning.spelling import parse_class, parse_mix, parse_slo, parse_span
from tests.unit.planning.demands import BACKGROUND, REAL_TIME, STANDARD


@pytest.mark.parametrize(
    ("text", "seconds"), [("20ms", 0.02), ("1.5s", 1.5), ("0.25", 0.25), (" 500us ", 0.0005), ("3 S", 3.0)]
)
def test_spans(text: str, seconds: float) -> None:
    """With a unit or in seconds."""
    assert parse_span(text, option="--slo") == pytest.approx(seconds)


@given(st.floats(1e-6, 1e6))
def test_a_span_means_the_same_in_each_unit(seconds: float) -> None:
    """Milliseconds are thousandths."""
    assert parse_span(f"{seconds * 1e3!r}ms", option="--slo") == pytest.approx(seconds)
    assert parse_span(repr(seconds), option="--slo") == pytest.approx(seconds)


def test_pairs() -> None:
    """Classes with their values; a class alone has all of a mix."""
    assert parse_mix("real_time=0.1, STANDARD=0.9") == {REAL_TIME: 0.1, STANDARD: 0.9}
    assert parse_mix("background") == {BACKGROUND: 1.0}
    assert parse_slo("real_time=20ms,background=5s") == {REAL_TIME: 0.02, BACKGROUND: 5.0}
    assert parse_slo(" ") == {}


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (parse_mix, "urgent=1", "--mix: 'urgent' is no class"),
        (parse_mix, "standard=0.5,standard=0.5", "--mix: standard is named twice"),
        (parse_mix, "standard=much", "--mix: 'much' is no share"),
        (parse_mix, "shadow=1", "--mix: 'shadow' is no class"),
        (parse_slo, "standard", "--slo: 'standard' says nothing"),
        (parse_slo, "standard=0ms", "--slo: '0ms' is no time above 0"),
        (parse_slo, "standard=-1s", "--slo: '-1s' is no time"),
        (parse_slo, "standard=nan", "--slo: 'nan' is no time"),
        (parse_slo, "standard=5 min", "--slo: '5 min' is no time"),
    ],
)
def test_what_is_written_wrongly_is_refused(read: Callable[[str], object], text: str, says: str) -> None:
    """The message quotes what was written, and names the option."""
    with pytest.raises(InvalidDemandError, match=says):
        read(text)


def test_a_class_is_refused_by_the_option_that_named_it() -> None:
    """As a mix is."""
    with pytest.raises(InvalidDemandError, match="--stream-class: 'x' is no class; name real_time, standard"):
        parse_class("x", option="--stream-class")
