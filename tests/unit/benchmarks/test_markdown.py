"""Laws of figures in words: as many digits as are worth reading, and never an exponent for what is large."""

import pytest

from benchmarks.markdown import number


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.012345, "0.0123"),
        (12.345, "12.3"),
        (999.4, "999"),
        (999.5, "1000"),
        (999.7, "1000"),
        (-999.7, "-1000"),
        (1234.6, "1235"),
        (1e7, "10000000"),
    ],
)
def test_large_figures_have_no_exponent(value: float | None, words: str) -> None:
    """Also those that only rounding makes large."""
    assert number(value) == words
    assert number(value, unit="ms") == (words if value is None else f"{words} ms")
