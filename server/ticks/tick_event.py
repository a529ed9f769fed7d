"""What goes into a tick session and what comes out of it, as domain values. Knows no protobuf and decides nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from model.bar import Bar
from server.inference.predictor import InputOrigin
from server.ticks.late_window import LateWindow

FloatArray = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class FeatureRow:
    """A ready row of features, `[feature_count]`."""

    values: FloatArray


@dataclasses.dataclass(frozen=True, slots=True)
class Trade:
    """One trade; its time is the tick's `event_time`."""

    price: float
    size: float


@dataclasses.dataclass(frozen=True, slots=True)
class Correction:
    """The newest bar as it should have been."""

    bar: Bar


@dataclasses.dataclass(frozen=True, slots=True)
class Reset:
    """Empties a window."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One validated tick; `event_time` in seconds since the epoch, `valid_duration` in seconds."""

    symbol: str
    sequence: int
    event: Bar | Trade | FeatureRow | Correction | Reset
    event_time: float | None = None
    valid_duration: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResumePoint:
    """How far a returning client got with one symbol.

    Attributes:
        symbol: Name.
        sequence: Of the newest tick whose answer it holds; 0 for none.
        as_of_time: End of that answer's bar, seconds since the epoch; None: it holds all answers of that tick.
    """

    symbol: str
    sequence: int
    as_of_time: float | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A tick or a history was applied, or was a repeat, and no prediction is due."""

    symbol: str
    sequence: int
    have: int
    need: int
    duplicate: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Sequence numbers `first_missing` to `last_missing` were never seen, or their answers are lost."""

    symbol: str
    sequence: int
    first_missing: int
    last_missing: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DuePrediction:
    """A prediction that a tick made due, with its own copy of the window.

    Attributes:
        symbol: Name.
        sequence: Of the tick.
        source: The window, or what copies it when it is asked for.
        origin: Where the window came from.
        valid_duration: Seconds from receipt for which the answer is of use; None: the class's default.
        partial: The newest bar has not closed yet.
    """

    symbol: str
    sequence: int
    source: FloatArray | LateWindow
    origin: InputOrigin
    valid_duration: float | None
    partial: bool = False

    @property
    def window(self) -> FloatArray:
        """`[feature_count, time_steps]`, oldest step first."""
        return self.source.values() if isinstance(self.source, LateWindow) else self.source


Event = Progress | Gap | DuePrediction
