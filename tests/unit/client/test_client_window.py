"""Windows reach the wire as little-endian float32, feature-major, or not at all."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tickserve import Window

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.mark.parametrize(
    "values",
    [
        ARRAY,
        ARRAY.astype(np.float64),
        ARRAY.astype(np.int32),
        ARRAY.astype(">f4"),
        np.asfortranarray(ARRAY),
        np.repeat(ARRAY, 2, axis=1)[:, ::2],
        ARRAY.tolist(),
    ],
)
def test_any_layout_of_the_same_values_is_the_same_window(values: Any) -> None:
    """Type, byte order and memory order of the caller's array do not reach the wire."""
    window = Window.from_array(values)
    assert window.raw_float32 == ARRAY.astype("<f4").tobytes()
    assert (window.feature_count, window.time_steps) == (2, 3)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(width=32, allow_nan=False)))
def test_the_wire_holds_the_very_values(array: np.ndarray[Any, Any]) -> None:
    """Every float32 arrives bit by bit, row by row."""
    message = Window.from_array(array).to_proto()
    assert message.raw_float32 == array.astype("<f4").tobytes()
    assert (message.feature_count, message.time_steps) == array.shape
    np.testing.assert_array_equal(Window.from_array(array).to_array(), array)


@pytest.mark.parametrize("values", [1.0, [1.0, 2.0], np.zeros((1, 2, 3)), np.zeros((0, 3)), np.zeros((3, 0)), []])
def test_another_shape_is_refused_before_it_is_sent(values: Any) -> None:
    """A window has two dimensions, neither of them empty."""
    with pytest.raises(ValueError, match="window"):
        Window.from_array(values)


@pytest.mark.parametrize("values", [[[1.0], [1.0, 2.0]], [["a"]]])
def test_what_is_no_array_is_refused(values: Any) -> None:
    """Ragged lists and words are no window."""
    with pytest.raises(ValueError):  # noqa: PT011  # numpy's own words
        Window.from_array(values)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_left_to_the_service(value: float) -> None:
    """The service has the last word on numbers, so a bad one is sent, as NaN or infinity and without a warning."""
    assert not np.isfinite(Window.from_array([[value]]).to_array()).any()


def test_bytes_are_taken_as_they_are() -> None:
    """Ready-made bytes are not touched."""
    data = ARRAY.tobytes()
    assert Window.from_bytes(memoryview(data), feature_count=2, time_steps=3).raw_float32 == data


@pytest.mark.parametrize(("features", "steps"), [(2, 2), (3, 3), (0, 3), (-2, -3)])
def test_bytes_of_another_length_are_refused(features: int, steps: int) -> None:
    """The shape must account for every byte."""
    with pytest.raises(ValueError, match=r"window|bytes"):
        Window.from_bytes(ARRAY.tobytes(), feature_count=features, time_steps=steps)


def test_bare_bytes_do_not_tell_their_shape() -> None:
    """Bytes in place of an array are refused with the remedy."""
    with pytest.raises(ValueError, match="from_bytes"):
        Window.of(ARRAY.tobytes())  # type: ignore[arg-type]  # the point of the test


def test_time_and_schema_are_sent() -> None:
    """What identifies a window beside its values arrives."""
    message = Window.from_array(ARRAY, feature_schema="s", as_of_time=datetime(2026, 1, 2, tzinfo=UTC)).to_proto()
    assert message.feature_schema == "s"
    assert message.as_of_time.ToJsonString() == "2026-01-02T00:00:00Z"


def test_a_time_without_a_zone_is_refused() -> None:
    """A naive time would be another instant on another machine."""
    with pytest.raises(ValueError, match="time zone"):
        Window.from_array(ARRAY, as_of_time=datetime(2026, 1, 2))  # noqa: DTZ001  # the point of the test
