"""The model's input: a window of features, checked for its shape before it is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from tickserve.v1 import window_pb2
from tickserve.wire import to_timestamp

__all__ = ("Window", "WindowLike")

_FLOAT32_LE = np.dtype("<f4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One model input: `feature_count` features at `time_steps` successive bars, oldest bar first.

    Only its shape is checked here. Whether the numbers suit the model (count of features, finite values, schema) is for
    the service to say, which tells it as `InvalidRequestError`.
    """

    raw_float32: bytes
    """The values, `[feature_count][time_steps]`, float32, little-endian, feature-major."""
    feature_count: int
    """Rows."""
    time_steps: int
    """Columns, in bars."""
    feature_schema: str = ""
    """The feature schema that the values follow; empty: not checked."""
    as_of_time: datetime | None = None
    """The time of the newest bar, with a time zone; echoed in the answer."""

    def __post_init__(self) -> None:
        """Checks that bytes and shape agree, and that the time means one instant.

        Raises:
            ValueError: They do not.
        """
        if self.feature_count < 1 or self.time_steps < 1:
            raise ValueError(f"a window needs at least 1 x 1 values, not {self.feature_count} x {self.time_steps}")
        need = 4 * self.feature_count * self.time_steps
        if len(self.raw_float32) != need:
            raise ValueError(
                f"{self.feature_count} features x {self.time_steps} steps are {need} bytes of float32,"
                f" not {len(self.raw_float32)}"
            )
        if self.as_of_time is not None:
            to_timestamp(self.as_of_time)

    @classmethod
    def from_array(
        cls,
        values: npt.ArrayLike | Sequence[Sequence[float]],
        *,
        feature_schema: str = "",
        as_of_time: datetime | None = None,
    ) -> Window:
        """Makes a window of an array or nested lists, `[features, steps]`, of any numeric type.

        Values are converted to float32; what does not fit becomes infinite, and the service refuses it.

            >>> window = tickserve.Window.from_array([[1, 2, 3], [4, 5, 6]])
            >>> window.feature_count, window.time_steps
            (2, 3)

        Raises:
            ValueError: `values` does not have two dimensions, is empty, ragged or not numeric.
        """
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(values, dtype=_FLOAT32_LE)
        # ascontiguousarray makes a scalar one-dimensional, so both wrong ranks end here.
        if array.ndim != 2:
            raise ValueError(f"a window has the shape [features, steps]; this one has the shape {list(array.shape)}")
        return cls(
            raw_float32=array.tobytes(),
            feature_count=array.shape[0],
            time_steps=array.shape[1],
            feature_schema=feature_schema,
            as_of_time=as_of_time,
        )

    @classmethod
    def from_bytes(
        cls,
        raw_float32: bytes | bytearray | memoryview,
        *,
        feature_count: int,
        time_steps: int,
        feature_schema: str = "",
        as_of_time: datetime | None = None,
    ) -> Window:
        """Makes a window of float32 bytes, `[feature_count][time_steps]`, little-endian, feature-major.

        Raises:
            ValueError: The number of bytes does not fit the shape.
        """
        return cls(
            raw_float32=bytes(raw_float32),
            feature_count=feature_count,
            time_steps=time_steps,
            feature_schema=feature_schema,
            as_of_time=as_of_time,
        )

    @classmethod
    def of(cls, window: WindowLike) -> Window:
        """Takes a window as it is, and makes one of anything `from_array` takes.

        Raises:
            ValueError: It has not two dimensions, or is bytes, which do not tell their shape.
        """
        if isinstance(window, Window):
            return window
        if isinstance(window, bytes | bytearray | memoryview):
            raise ValueError("bytes do not tell their shape; use Window.from_bytes(..., feature_count=, time_steps=)")
        return cls.from_array(window)

    def to_array(self) -> npt.NDArray[np.float32]:
        """Gives the values, `[feature_count, time_steps]`, read-only and without a copy."""
        return np.frombuffer(self.raw_float32, dtype=_FLOAT32_LE).reshape(self.feature_count, self.time_steps)

    def to_proto(self) -> window_pb2.Window:
        """Gives the contract's message."""
        return window_pb2.Window(
            feature_schema=self.feature_schema,
            feature_count=self.feature_count,
            time_steps=self.time_steps,
            raw_float32=self.raw_float32,
            as_of_time=None if self.as_of_time is None else to_timestamp(self.as_of_time),
        )


WindowLike = Window | npt.NDArray[Any] | Sequence[Sequence[float]]
"""What a method takes as a window: a `Window`, an array `[features, steps]` or nested lists of that shape."""
