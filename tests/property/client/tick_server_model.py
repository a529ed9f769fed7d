"""A model of the service's side of tick streams, in pure Python: replicas, a store that lags, answers that wait.

What it computes is a digest of the bars in a window, so that a tick that is lost, applied twice or out of order shows
in every later answer. Messages are the contract's own, so that what is sent can be read.
"""

from __future__ import annotations

import copy
import hashlib
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tickserve.v1 import prediction_pb2, prediction_service_pb2, tick_pb2

Request = prediction_service_pb2.StreamTicksRequest
Response = prediction_service_pb2.StreamTicksResponse

STEPS = 2
"""Bars of a window."""
INTERVAL = 10
"""Seconds of a bar from trades."""


@dataclass(frozen=True)
class Row:
    """One closed bar of a window."""

    sequence: int
    as_of_time: int
    number: int
    bar: str
    live: bool


@dataclass
class Window:
    """What is stored of a symbol."""

    sequence: int = 0
    rows: list[Row] = field(default_factory=list)
    row_count: int = 0
    open_start: int | None = None
    open_trades: list[int] = field(default_factory=list)
    lost_sequence: int = 0
    closed_until: int = 0


@dataclass
class ModelServer:
    """The service: replicas come and go, the store stays. At most one connection at a time.

    Args:
        resume_depth: Rows kept beyond a window.
        predict_every: A prediction is due at every n-th row.
        has_store: Whether anything survives a replica.
    """

    resume_depth: int = 6
    predict_every: int = 1
    has_store: bool = True
    stored: dict[str, Window] = field(default_factory=dict)
    windows: dict[str, Window] = field(default_factory=dict)
    pending: dict[str, deque[Response]] = field(default_factory=dict)
    out: deque[Response] = field(default_factory=deque)

    def lose_replica(self) -> None:
        """Kills the replica: what the store does not have is gone, and so is every answer on its way."""
        self.windows = copy.deepcopy(self.stored)
        self.lose_connection()

    def lose_connection(self) -> None:
        """Cuts the connection: every answer on its way is gone."""
        self.pending.clear()
        self.out.clear()

    def flush(self, symbol: str) -> None:
        """Has the store catch up with one symbol, and says so."""
        window = self.windows.get(symbol)
        if window is None or not self.has_store:
            return
        self.stored[symbol] = copy.deepcopy(window)
        self.out.append(Response(durable=tick_pb2.TickDurable(symbol=symbol, sequence=window.sequence)))

    def answer(self, symbol: str) -> None:
        """Finishes one prediction of a symbol."""
        if self.pending.get(symbol):
            self.out.append(self.pending[symbol].popleft())

    def open(self, request: Request) -> tick_pb2.StreamOpened:
        """Begins a session; what a returning client is owed is due from now on."""
        opened = tick_pb2.StreamOpened()
        for symbol in request.open.symbols:
            window = self.windows.setdefault(symbol, Window())
            opened.symbols.add(
                symbol=symbol, sequence=window.sequence, next_sequence=window.sequence + 1, have=0, need=STEPS
            )
        for point in request.open.resume:
            window = self.windows[point.symbol]
            after: tuple[int, int | None] = (point.last_answered_sequence, None)
            if point.HasField("last_answered_as_of_time"):
                after = (point.last_answered_sequence, point.last_answered_as_of_time.seconds)
            if window.lost_sequence > after[0]:
                self._gap(point.symbol, window.sequence, after[0] + 1, window.lost_sequence)
            for row in window.rows:
                if row.live and follows(row, after) and row.sequence > window.lost_sequence:
                    self._predict(point.symbol, row)
        return opened

    def take(self, request: Request) -> None:
        """Takes one message."""
        match request.WhichOneof("message"):
            case "history":
                self._history(request.history)
            case "tick":
                self._tick(request.tick)
            case "watermark":
                for symbol, window in self.windows.items():
                    for row in self._close_until(window, request.watermark.event_time.seconds):
                        self._predict(symbol, row)

    def _history(self, history: tick_pb2.BarHistory) -> None:
        window = self.windows[history.symbol]
        assert not history.last_sequence or history.last_sequence >= window.sequence, "a history behind ticks"
        newest = window.rows[-1].as_of_time if window.rows else -1
        for bar in history.bars:
            if bar.start_time.seconds + INTERVAL > newest:
                self._close(window, bar.start_time.seconds, f"{bar.close_price}", live=False)
        window.sequence = max(window.sequence, history.last_sequence)
        self._progress(history.symbol, window.sequence)

    def _tick(self, tick: tick_pb2.Tick) -> None:
        window = self.windows[tick.symbol]
        if tick.sequence <= window.sequence:
            self._progress(tick.symbol, tick.sequence, duplicate=True)
            return
        if tick.sequence > window.sequence + 1:
            self._gap(tick.symbol, tick.sequence, window.sequence + 1, tick.sequence - 1)
        time = tick.event_time.seconds
        rows = []
        window.sequence = tick.sequence
        if tick.WhichOneof("event") == "bar":
            rows.append(self._close(window, tick.bar.start_time.seconds, f"{tick.bar.close_price}"))
        else:
            assert time >= window.closed_until, "a trade came behind a watermark that had closed its bar"
            start = time - time % INTERVAL
            if window.open_start is not None and start > window.open_start:
                rows += self._close_until(window, start)
            window.open_start = start
            window.open_trades.append(tick.sequence)
        if not [row for row in rows if self._predict(tick.symbol, row)]:
            self._progress(tick.symbol, tick.sequence)

    def _close_until(self, window: Window, time: int) -> list[Row]:
        window.closed_until = max(window.closed_until, time - time % INTERVAL)
        if window.open_start is None or window.open_start + INTERVAL > time:
            return []
        start, trades = window.open_start, window.open_trades
        window.open_start, window.open_trades = None, []
        return [self._close(window, start, "+".join(map(str, trades)))]

    def _close(self, window: Window, start: int, bar: str, *, live: bool = True) -> Row:
        window.row_count += 1
        row = Row(window.sequence, start + INTERVAL, window.row_count, bar, live)
        window.rows.append(row)
        while len(window.rows) > STEPS + self.resume_depth:
            del window.rows[0]
            # The window of the row that is now STEPS - 1 from the end cannot be rebuilt any more.
            gone = window.rows[STEPS - 2]
            if gone.live and gone.number >= STEPS:
                window.lost_sequence = gone.sequence
        return row

    def _predict(self, symbol: str, row: Row) -> bool:
        window = self.windows[symbol]
        if row.number < STEPS or row.number % self.predict_every:
            return False
        place = next(index for index, kept in enumerate(window.rows) if kept.number == row.number)
        if place < STEPS - 1:
            return False
        text = ",".join(kept.bar for kept in window.rows[place - STEPS + 1 : place + 1])
        prediction = tick_pb2.TickPrediction(symbol=symbol, sequence=row.sequence, first_sequence=row.sequence)
        prediction.prediction.CopyFrom(
            prediction_pb2.Prediction(
                input=prediction_pb2.InputEvidence(sha256=hashlib.sha256(text.encode()).hexdigest())
            )
        )
        prediction.prediction.input.as_of_time.FromDatetime(datetime.fromtimestamp(row.as_of_time, UTC))
        self.pending.setdefault(symbol, deque()).append(Response(prediction=prediction))
        return True

    def _progress(self, symbol: str, sequence: int, *, duplicate: bool = False) -> None:
        self.out.append(Response(progress=tick_pb2.TickProgress(symbol=symbol, sequence=sequence, duplicate=duplicate)))

    def _gap(self, symbol: str, sequence: int, first: int, last: int) -> None:
        gap = tick_pb2.TickGap(
            symbol=symbol, sequence=sequence, first_missing_sequence=first, last_missing_sequence=last
        )
        self.out.append(Response(gap=gap))


def follows(row: Row, after: tuple[int, int | None]) -> bool:
    """Tells whether a row comes after the place that a resume point names."""
    sequence, as_of_time = after
    if row.sequence != sequence or as_of_time is None:
        return row.sequence > sequence
    return row.as_of_time > as_of_time
