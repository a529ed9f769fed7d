"""One tick session: its symbols, their order, and which ticks make a prediction due.

The core of `StreamTicks`: domain values in, events out; no protobuf, no clock, no tasks. Every accepted tick is applied
to its symbol's window exactly once, in sequence order, before any question of prediction.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from model.bar import Bar
from server.inference.predictor import InputOrigin
from server.refusal import Reason, Refusal
from server.ticks.late_window import LateWindows
from server.ticks.session_terms import SessionTerms
from server.ticks.tick_counters import TickCounters
from server.ticks.tick_event import (
    Correction,
    DuePrediction,
    Event,
    FeatureRow,
    Gap,
    Progress,
    Reset,
    ResumePoint,
    Tick,
    Trade,
)
from server.time_slice import TimeSlice
from server.windows.closed_row import ClosedRow
from server.windows.symbol_window import SymbolWindow
from server.windows.window_store import WindowStore, origin_of


class TickSession:
    """The state of one stream from `open` on; made by `open`.

    Args:
        terms: Of the session.
        store: Keeps the windows.
        counters: Counts what happens.
        on_durable: Called with a symbol and the sequence number up to which it survives the loss of this replica.
        on_lost: Called with a symbol that another stream has taken over.

    Attributes:
        terms: Of the session.
    """

    def __init__(
        self,
        terms: SessionTerms,
        store: WindowStore,
        counters: TickCounters,
        *,
        on_durable: Callable[[str, int], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self.terms = terms
        self._store = store
        self._counters = counters
        self._on_durable = on_durable
        self._on_lost = on_lost
        self._steps = terms.model.config.network.time_steps
        self._windows: dict[str, SymbolWindow] = {}
        self._lost: set[str] = set()
        self._late = LateWindows()
        self._copies_late = terms.conflate and terms.predict_every == 1

    async def open(self) -> None:
        """Takes the symbols over from whoever holds them, all or none.

        Raises:
            Refusal: INVALID_SYMBOL, LIMIT_EXCEEDED or STORE_UNAVAILABLE; then no stream has lost a symbol.
        """
        terms = self.terms
        held = await self._store.hold(terms.symbols, terms.model.config, owner=terms.owner, listener=self)
        self._windows = {window.symbol: window for window in held}

    def close(self) -> None:
        """Lets go of the symbols. Idempotent."""
        for window in self._windows.values():
            self._store.release(window)
        self._windows = {}

    @property
    def windows(self) -> Mapping[str, SymbolWindow]:
        """The session's windows by symbol, in the order of `open`."""
        return self._windows

    def durable(self, window: SymbolWindow, sequence: int) -> None:
        """Hears from the store; see `WindowListener`."""
        if self._windows.get(window.symbol) is window:
            self._on_durable(window.symbol, sequence)

    def lost(self, window: SymbolWindow) -> None:
        """Hears from the store; see `WindowListener`."""
        if self._windows.get(window.symbol) is window and window.symbol not in self._lost:
            self._lost.add(window.symbol)
            self._late.settle(window.symbol)  # from now on another stream writes to it
            self._on_lost(window.symbol)

    def missed(self) -> Iterator[Event]:
        """Yields what a returning client is owed: what is due since it left, and the gaps that cannot be closed.

        One prediction at a time, because each comes with a window of its own.
        """
        for point in self.terms.resume:
            self._counters.resumed += 1
            yield from self._missed_of(self._windows[point.symbol], point)

    def _missed_of(self, window: SymbolWindow, point: ResumePoint) -> Iterator[Event]:
        lost = window.lost_after(point.sequence, point.as_of_time)
        if lost is not None:
            yield Gap(
                symbol=window.symbol,
                sequence=window.last_sequence,
                first_missing=min(point.sequence + 1, lost.sequence),
                last_missing=lost.sequence,
            )
        for row in window.entries_after(point.sequence, point.as_of_time):
            if window.symbol in self._lost:
                return  # meanwhile it may hold another stream's rows
            due = self._due(window, row, None)
            if due is None:
                continue
            # What was due for the bar before it was corrected cannot be computed any more.
            original = dataclasses.replace(row, sequence=row.first_sequence)
            was_due = original.follows(point.sequence, point.as_of_time)
            first_missing = row.first_sequence if was_due else point.sequence + 1
            if first_missing < row.sequence:
                yield Gap(
                    symbol=window.symbol,
                    sequence=row.sequence,
                    first_missing=first_missing,
                    last_missing=row.sequence - 1,
                )
            self._counters.recomputed += 1
            yield due

    async def apply_history(self, symbol: str, bars: Sequence[Bar], last_sequence: int) -> list[Event]:
        """Fills a window without predictions, all bars or none, giving way to others meanwhile.

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
        self._late.settle(symbol)
        time_slice = TimeSlice()
        for _ in window.history_steps(bars, sequence=last_sequence or None):
            await time_slice.give_way()
        self._store.changed(window)
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
            self._counters.duplicates += 1
            return [dataclasses.replace(_progress(window), sequence=tick.sequence, duplicate=True)]
        has_gap = tick.sequence > last + 1
        is_next = isinstance(tick.event, Bar | Trade | FeatureRow) and not has_gap
        if not is_next:
            # Rows may go or change; and a gap is told first, which leaves the older prediction in its place meanwhile.
            self._late.settle(tick.symbol)
        rows = _apply_event(window, tick)
        self._store.changed(window)
        self._counters.applied += 1
        events: list[Event] = []
        if has_gap:
            self._counters.note_missing(tick.sequence - last - 1)
            events.append(
                Gap(symbol=tick.symbol, sequence=tick.sequence, first_missing=last + 1, last_missing=tick.sequence - 1)
            )
        late = self._copies_late and is_next and len(rows) == 1
        due = [self._due(window, row, tick.valid_duration, late=late) for row in rows]
        answers: list[Event] = [event for event in due if event is not None]
        if not answers and self.terms.predict_partial and isinstance(tick.event, Trade):
            answers.extend(self._partial(window, tick.valid_duration))
        events.extend(answers or [_progress(window)])
        return events

    async def close_until(self, event_time: float) -> Iterator[Event]:
        """Takes a watermark for all symbols: every event before it has been sent. Returns what is due.

        All windows have taken it when this returns; the predictions come one at a time, because each has a window of
        its own. They must be taken before anything else is applied.

        Raises:
            Refusal: INVALID_TICK, where the time is out of its range.
        """
        time_slice = TimeSlice()
        closed: list[tuple[SymbolWindow, ClosedRow]] = []
        for symbol, window in list(self._windows.items()):
            if symbol in self._lost:
                continue
            self._late.settle(symbol)
            closed.extend((window, row) for row in window.close_until(event_time))
            self._store.changed(window)
            await time_slice.give_way()
        due = (self._due(window, row, None) for window, row in closed if window.symbol not in self._lost)
        return (event for event in due if event is not None)

    def _due(
        self, window: SymbolWindow, row: ClosedRow, valid_duration: float | None, *, late: bool = False
    ) -> DuePrediction | None:
        """Returns the prediction that a row makes due; None if its window is not full, or it is not its turn."""
        number = row.row_number
        if number < self._steps or number % self.terms.predict_every or not window.has_window_at(number):
            return None
        source = self._late.make(window, number)
        if not late:
            self._late.settle(window.symbol)
        origin = InputOrigin(
            feature_schema=self.terms.model.config.feature_schema,
            symbol=window.symbol,
            last_sequence=row.sequence,
            as_of_time=row.as_of_time,
        )
        return DuePrediction(
            symbol=window.symbol, sequence=row.sequence, source=source, origin=origin, valid_duration=valid_duration
        )

    def _partial(self, window: SymbolWindow, valid_duration: float | None) -> Iterator[DuePrediction]:
        values = window.partial_window()
        if values is not None:
            origin = origin_of(window, self.terms.model.config)
            yield DuePrediction(
                symbol=window.symbol,
                sequence=window.last_sequence,
                source=values,
                origin=origin,
                valid_duration=valid_duration,
                partial=True,
            )

    def _window(self, symbol: str) -> SymbolWindow:
        window = self._windows.get(symbol)
        if window is None:
            raise Refusal(
                Reason.SYMBOL_NOT_OPEN, "The symbol is not among this stream's; name it in open.", field="symbol"
            )
        if symbol in self._lost:
            raise taken_over(symbol)
        return window


def taken_over(symbol: str) -> Refusal:
    """Returns the refusal of a symbol that another stream has opened since."""
    return Refusal(
        Reason.SYMBOL_NOT_OPEN,
        "Another stream has opened this symbol and taken it over; open it anew to take it back.",
        field="symbol",
        metadata={"symbol": symbol},
    )


def _apply_event(window: SymbolWindow, tick: Tick) -> Sequence[ClosedRow]:
    match tick.event:
        case Bar():
            return window.apply_bars([tick.event], sequence=tick.sequence, path="bar")
        case Trade():
            if tick.event_time is None:
                raise Refusal(Reason.INVALID_TICK, "Set event_time, the time of the trade.", field="event_time")
            return window.apply_trade(tick.event.price, tick.event.size, tick.event_time, sequence=tick.sequence)
        case FeatureRow():
            return window.apply_row(tick.event.values, tick.event_time, sequence=tick.sequence)
        case Correction():
            return window.correct(tick.event.bar, sequence=tick.sequence)
        case Reset():
            window.reset(sequence=tick.sequence)
            return ()


def _progress(window: SymbolWindow) -> Progress:
    return Progress(symbol=window.symbol, sequence=window.last_sequence, have=window.have, need=window.need)
