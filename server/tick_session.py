"""One tick session: its symbols, their order, and which ticks make a prediction due.

The synchronous core of `StreamTicks`: domain values in, events out; no protobuf, no clock, no tasks. Every accepted
tick is applied to its symbol's window exactly once, in sequence order, before any question of prediction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from batching import PriorityClass
from model.bar import Bar
from server.predictor import InputOrigin
from server.refusal import Reason, Refusal
from server.served_model import ServedModel
from server.symbol_window import SymbolWindow
from server.window_store import WindowStore, origin_of

FloatArray = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True)
class FeatureRow:
    """A ready row of features, `[feature_count]`."""

    values: FloatArray


@dataclasses.dataclass(frozen=True, slots=True)
class Reset:
    """Empties a window."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One validated tick; `event_time` in seconds since the epoch, `valid_duration` in seconds."""

    symbol: str
    sequence: int
    event: Bar | FeatureRow | Reset
    event_time: float | None = None
    valid_duration: float | None = None


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
    """A prediction that a tick made due, with its own copy of the window."""

    symbol: str
    sequence: int
    window: FloatArray
    origin: InputOrigin
    valid_duration: float | None


Event = Progress | Gap | DuePrediction


class TickSession:
    """The state of one stream from `open` on.

    Args:
        store: Keeps the windows.
        model: Answers the whole session.
        priority: Class of the session's predictions.
        symbols: Distinct symbol names, at least one.
        predict_every: A prediction is due at every n-th bar, n >= 1.
        resume: For symbols of the session, the highest sequence whose answer a returning client holds.

    Attributes:
        model: Answers the whole session.
        priority: Class of its predictions.
        missed: What a returning client has lost: answers to ticks that were applied are not computed again.

    Raises:
        Refusal: INVALID_SYMBOL, LIMIT_EXCEEDED, SYMBOL_NOT_OPEN or INVALID_TICK; then no stream has lost a symbol.
    """

    def __init__(
        self,
        *,
        store: WindowStore,
        model: ServedModel,
        priority: PriorityClass,
        symbols: Sequence[str],
        predict_every: int,
        resume: Sequence[tuple[str, int]] = (),
    ) -> None:
        _check_resume(resume, set(symbols))
        self.model = model
        self.priority = priority
        self._store = store
        self._predict_every = predict_every
        self._windows = {window.symbol: window for window in store.hold(symbols, model.config)}
        self._epochs = {symbol: window.epoch for symbol, window in self._windows.items()}
        self.missed = [
            Gap(symbol=symbol, sequence=last, first_missing=answered + 1, last_missing=last)
            for symbol, answered in resume
            if answered < (last := self._windows[symbol].last_sequence)
        ]

    @property
    def windows(self) -> Mapping[str, SymbolWindow]:
        """The session's windows by symbol, in the order of `open`."""
        return self._windows

    def close(self) -> None:
        """Lets go of the symbols. Idempotent."""
        for window in self._windows.values():
            self._store.release(window, self.model.config)
        self._windows = {}

    def apply_history(self, symbol: str, bars: Sequence[Bar], last_sequence: int) -> list[Event]:
        """Fills a window without predictions, all bars or none.

        Raises:
            Refusal: SYMBOL_NOT_OPEN or INVALID_TICK.
        """
        window = self._window(symbol)
        if last_sequence and last_sequence < window.last_sequence:
            raise Refusal(
                Reason.INVALID_TICK,
                "last_sequence lies before ticks that were already applied; leave it out, or send a reset first.",
                field="last_sequence",
                metadata={"have": str(last_sequence), "applied": str(window.last_sequence)},
            )
        window.apply_history(bars)
        window.last_sequence = last_sequence or window.last_sequence
        return [_progress(window)]

    def apply(self, tick: Tick) -> list[Event]:
        """Applies one tick and says what follows from it, in the order in which the client must hear it.

        A refused tick leaves the sequence where it was: it may be sent again, mended, under the same number.

        Raises:
            Refusal: SYMBOL_NOT_OPEN or INVALID_TICK; the window is as before.
        """
        window = self._window(tick.symbol)
        last = window.last_sequence
        if tick.sequence <= last:
            return [dataclasses.replace(_progress(window), sequence=tick.sequence, duplicate=True)]
        match tick.event:
            case Bar():
                window.apply_bars([tick.event], path="bar")
            case FeatureRow():
                window.apply_row(tick.event.values, tick.event_time)
            case Reset():
                window.reset()
        window.last_sequence = tick.sequence
        events: list[Event] = []
        if tick.sequence > last + 1:
            events.append(
                Gap(symbol=tick.symbol, sequence=tick.sequence, first_missing=last + 1, last_missing=tick.sequence - 1)
            )
        if window.is_full() and window.row_count % self._predict_every == 0:
            events.append(
                DuePrediction(
                    symbol=tick.symbol,
                    sequence=tick.sequence,
                    window=window.window(),
                    origin=origin_of(window, self.model.config),
                    valid_duration=tick.valid_duration,
                )
            )
        else:
            events.append(_progress(window))
        return events

    def _window(self, symbol: str) -> SymbolWindow:
        window = self._windows.get(symbol)
        if window is None:
            raise Refusal(
                Reason.SYMBOL_NOT_OPEN, "The symbol is not among this stream's; name it in open.", field="symbol"
            )
        if window.epoch != self._epochs[symbol]:
            raise Refusal(
                Reason.SYMBOL_NOT_OPEN,
                "Another stream has opened this symbol and taken it over; open it anew to take it back.",
                field="symbol",
                metadata={"symbol": symbol},
            )
        return window


def _check_resume(resume: Sequence[tuple[str, int]], symbols: Collection[str]) -> None:
    for index, (symbol, answered) in enumerate(resume):
        if symbol not in symbols:
            raise Refusal(Reason.SYMBOL_NOT_OPEN, "A resume point names a symbol that open does not.")
        if answered < 0:
            raise Refusal(
                Reason.INVALID_TICK,
                "last_answered_sequence must not be negative.",
                field=f"resume[{index}].last_answered_sequence",
            )


def _progress(window: SymbolWindow) -> Progress:
    return Progress(symbol=window.symbol, sequence=window.last_sequence, have=window.have, need=window.need)
