"""Windows of which no two are the same, so that neither a cache nor a shared execution answers for the engine."""

from __future__ import annotations

import struct

from tickserve.catalog import Model
from tickserve.example import example_window
from tickserve.window import Window

__all__ = ("Windows",)

# How far two windows of the same base lie apart in their first value: above float32's step for |value| < 8, and small
# enough that a hundred thousand of them stay in the range of real features.
_STEP = 1e-5


class Windows:
    """Makes windows of a model's shape by number.

    Args:
        model: As the service describes it.
        seed: Of the windows that all others are made of.
        bases: How many of those there are, at least 1.
    """

    def __init__(self, model: Model, *, seed: int, bases: int = 64) -> None:
        self._bases = [example_window(model, seed * bases + index) for index in range(bases)]

    def make(self, number: int) -> Window:
        """Returns the window of that number, at least 0, which no other number has."""
        base = self._bases[number % len(self._bases)]
        values = bytearray(base.raw_float32)
        first: float = struct.unpack_from("<f", values)[0]
        struct.pack_into("<f", values, 0, first + number // len(self._bases) * _STEP)
        return Window(
            raw_float32=bytes(values),
            feature_count=base.feature_count,
            time_steps=base.time_steps,
            feature_schema=base.feature_schema,
        )
