"""What a tick session can send again: ticks, watermarks and histories, in their order, within bounds.

A tick is kept until it is durable and answered. Where a service never says durable (its windows live and die with the
replica), or falls behind, the oldest answered ticks make room; where there are none, there is no room. Pure state.

Watermarks stand between ticks, and the bars that they close carry the number of the tick before them. So one is kept as
long as a later one does not say the same: until no tick that may be sent again lies between the two. The last is always
kept. Of a history the newest `need` bars are kept, until a later tick is durable.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tickserve.events import SymbolState
from tickserve.symbol_log import Entry, SymbolLog
from tickserve.v1 import tick_pb2

__all__ = ("PastBars", "TickBuffer")

_FAIR_SHARE = 1_000
"""Ticks that a symbol may keep at most, where its share of the buffer is not more: a busy one leaves room to others."""
_MANY = 64


@dataclass(slots=True, eq=False)
class PastBars:
    """The newest bars of a symbol's history."""

    symbol: str
    position: int
    base: int
    """The tick after which it was given."""
    last_sequence: int = 0
    bars: deque[bytes] = field(default_factory=deque)
    answered: bool = False
    """Whether the reader has heard of its progress."""


class TickBuffer:
    """The ticks of all symbols of a session.

    Args:
        size: Ticks kept at most, at least 1.
        states: Where the service stood with each symbol when the session opened.
        predict_every: Every how many bars a prediction is due.

    Attributes:
        logs: What is remembered of each symbol.
        forgotten: The next numbers of the symbols that other streams have taken over.
        watermark_number: How many watermarks there were.
    """

    def __init__(self, size: int, states: Mapping[str, SymbolState], *, predict_every: int = 1) -> None:
        self._size = size
        self._predict_every = max(1, predict_every)
        self._symbol_size = max(size // max(1, len(states)), min(size, _FAIR_SHARE))
        self._count = 0
        self._position = 0
        self._last_tick_position = 0
        self._done: OrderedDict[int, SymbolLog] = OrderedDict()  # by position, oldest first
        self._watermarks: deque[Entry] = deque()
        self._compact_at = _MANY
        self._histories: dict[str, deque[PastBars]] = {}
        self.logs: dict[str, SymbolLog] = {}
        self.forgotten: dict[str, int] = {}
        self.watermark_number = 0
        for symbol, state in states.items():
            log = SymbolLog(state.sequence, on_done=self._note_done, on_dropped=self._note_dropped, need=state.need)
            log.next_sequence = state.next_sequence
            self.logs[symbol] = log

    def __len__(self) -> int:
        return self._count

    @property
    def watermark_count(self) -> int:
        """Watermarks that are kept."""
        return len(self._watermarks)

    def has_room(self, log: SymbolLog) -> bool:
        """Tells whether one more tick of a symbol can be kept, if need be in the place of one that is done."""
        return (len(log) < self._symbol_size or log.has_done) and (self._count < self._size or bool(self._done))

    def add(self, log: SymbolLog, sequence: int, data: bytes, *, one_row: bool, is_reset: bool) -> Entry:
        """Keeps a tick; there must be room."""
        if len(log) >= self._symbol_size:
            log.drop_oldest()
        if self._count >= self._size:
            next(iter(self._done.values())).drop_oldest()
        entry = Entry(self._next_position(), sequence, data, one_row=one_row, is_reset=is_reset)
        entry.watermark = self.watermark_number
        self._last_tick_position = entry.position
        self._count += 1
        log.add(entry)
        return entry

    def add_watermark(self, data: bytes) -> Entry:
        """Keeps a watermark."""
        if self._watermarks and self._watermarks[-1].position > self._last_tick_position:
            self._watermarks.pop()  # nothing lies between the two: the later says it all
        self.watermark_number += 1
        entry = Entry(self._next_position(), 0, data)
        self._watermarks.append(entry)
        if len(self._watermarks) > self._compact_at:
            self._compact()
            self._compact_at = max(_MANY, 2 * len(self._watermarks))
        return entry

    def forget_watermark(self) -> None:
        """Forgets the last watermark: the service has refused it."""
        if self._watermarks:
            self._watermarks.pop()

    def add_history(self, symbol: str, bars: Sequence[tick_pb2.Bar], last_sequence: int) -> None:
        """Keeps the newest bars of a history, as far as they can matter to a window that is gone."""
        log = self.logs[symbol]
        histories = self._histories.setdefault(symbol, deque())
        newest = histories[-1] if histories else None
        base = log.next_sequence - 1
        if newest is None or max(newest.base, newest.last_sequence) != base:
            newest = PastBars(symbol, self._next_position(), base)
            histories.append(newest)
        excess = max(0, len(newest.bars) + len(bars) - log.need)
        # The service counts a history's bars, too, when it looks for every n-th: the count must stay the same modulo n.
        excess -= excess % self._predict_every
        for _ in range(min(excess, len(newest.bars))):
            newest.bars.popleft()
            excess -= 1
        newest.bars.extend(bar.SerializeToString() for bar in bars[excess:])
        newest.last_sequence = last_sequence or newest.last_sequence
        newest.answered = False
        if len(histories) > 1 and not any(histories[0].position < entry.position < newest.position for entry in log):
            histories.popleft()  # no tick that may be sent again was answered on it

    def answer_history(self, symbol: str) -> None:
        """Notes that the reader has heard of all that was given so far."""
        for past in self._histories.get(symbol, ()):
            past.answered = True

    def forget_history(self, symbol: str) -> None:
        """Forgets what was given last: the service has refused it."""
        histories = self._histories.get(symbol)
        if histories:
            histories.pop()

    def make_durable(self, symbol: str, sequence: int) -> None:
        """Takes the service's word that a symbol's ticks up to a number survive it."""
        self.logs[symbol].make_durable(sequence)
        histories = self._histories.get(symbol)
        while histories and max(histories[0].base, histories[0].last_sequence) < sequence:
            histories.popleft()

    def forget(self, symbol: str) -> None:
        """Forgets a symbol altogether: it is another stream's."""
        log = self.logs.pop(symbol)
        log.clear()
        self.forgotten[symbol] = log.next_sequence
        self._histories.pop(symbol, None)

    def resume(self, states: Mapping[str, SymbolState]) -> list[Entry | PastBars]:
        """Gives all that a service lacks that stands as `states` say, in the order in which it was first sent."""
        missing: list[Entry | PastBars] = []
        for symbol, state in states.items():
            missing += self.logs[symbol].resume(state.next_sequence)
            for past in self._histories.get(symbol, ()):
                if state.sequence <= max(past.base, past.last_sequence):
                    missing.append(past)
        missing += self._open_watermarks(states)
        missing.sort(key=lambda entry: entry.position)
        return missing

    def _open_watermarks(self, states: Mapping[str, SymbolState]) -> list[Entry]:
        """Gives the watermarks that a symbol may not have seen: those after the newest tick that the service has of it.

        To the others a repeated one is nothing new, save where a reset lies between: their time may have gone back.
        """
        seen: list[int] = []
        for symbol, state in states.items():
            log = self.logs[symbol]
            applied = [entry.position for entry in log if entry.sequence < state.next_sequence]
            seen.append(max([log.dropped_position, *applied[-1:]]))
        earliest = min(seen, default=-1)
        return [entry for entry in self._watermarks if entry.position > earliest]

    def _compact(self) -> None:
        positions = sorted(entry.position for log in self.logs.values() for entry in log)
        kept: deque[Entry] = deque()
        for entry in self._watermarks:
            if kept and bisect_left(positions, kept[-1].position) == bisect_left(positions, entry.position):
                kept.pop()
            kept.append(entry)
        self._watermarks = kept

    def _next_position(self) -> int:
        self._position += 1
        return self._position

    def _note_done(self, log: SymbolLog, entry: Entry) -> None:
        self._done[entry.position] = log

    def _note_dropped(self, entry: Entry) -> None:
        self._done.pop(entry.position, None)
        self._count -= 1
