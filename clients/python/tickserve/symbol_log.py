"""What a tick session remembers of one symbol: the ticks that may be asked for again, and which answers it has.

Two things are kept apart. A tick is *done* once the service has said so, or has been found to have applied it: then it
need only be kept until it is durable. The *floor* is the number up to which all answers are here: it is what the
service is told on return, and it never passes an answer that may still come. Pure state; it knows no messages but
their bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

__all__ = ("EPOCH", "Entry", "SymbolLog")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every bar: all bars of a sequence number are still to be answered."""


@dataclass(slots=True, eq=False)
class Entry:
    """One message that may be sent again."""

    position: int
    """Its place among all messages of the session."""
    sequence: int
    data: bytes
    """The serialised request: far smaller than the message."""
    one_row: bool = False
    """Whether it closes at most one bar, whatever the service does with it."""
    is_reset: bool = False
    watermark: int = 0
    """The number of watermarks before it."""
    done: bool = False
    refused: bool = False
    in_flight: bool = False
    """Whether it was sent on this connection, and counts among those without an answer."""


@dataclass(slots=True, eq=False)
class SymbolLog:
    """The ticks of one symbol.

    Args:
        sequence: The last tick that the service had applied when the session opened; the first floor.
        on_done: Called with each tick that need only be kept until it is durable, oldest first.
        on_dropped: Called with each tick that is not kept any more.
    """

    sequence: int
    on_done: Callable[[SymbolLog, Entry], None]
    on_dropped: Callable[[Entry], None]
    next_sequence: int = 0
    """The number of the next tick."""
    sent: int = 0
    """The highest number that was sent."""
    need: int = 0
    """Bars that the first window needs; more of a history need not be kept."""
    durable: int = 0
    dropped: int = 0
    """The highest number that is not kept any more."""
    dropped_position: int = -1
    floor: int = 0
    resent: range = range(0)
    """The numbers that were sent again on this connection."""
    _kept: deque[Entry] = field(default_factory=deque)  # done, waiting to be durable
    _open: deque[Entry] = field(default_factory=deque)  # from the first that is not done on
    _index: dict[int, Entry] = field(default_factory=dict)  # of `_open`
    _passed: int = 0
    _blocked_until: int = 0  # only a prediction moves the floor, until one for this number or a later one has come
    _floor_watermark: int = 0
    _row: int = 0  # sequence of the newest answered bar, and its end; None: all bars of that sequence
    _as_of_time: datetime | None = EPOCH
    _partial: int = 0
    _in_flight: int = 0  # bars sent on this connection that have no answer
    _owed: int = 0  # bars that the service had applied before, whose answers it may still owe

    def __post_init__(self) -> None:
        self.next_sequence = self.sequence + 1
        self.sent = self.floor = self._row = self._passed = self._partial = self.sequence

    def __len__(self) -> int:
        return len(self._kept) + len(self._open)

    @property
    def has_done(self) -> bool:
        """Whether there is a tick that may be dropped where room is needed."""
        return bool(self._kept)

    def may_fly(self, entry: Entry, limit: int) -> bool:
        """Tells whether a tick may be sent although earlier ones have no answer; at least one at a time always may."""
        return not entry.one_row or self._in_flight < max(1, limit - self._owed)

    def fly(self, entry: Entry) -> None:
        """Notes that a tick is sent."""
        self.sent = max(self.sent, entry.sequence)
        if entry.one_row and not entry.done and not entry.in_flight:
            entry.in_flight = True
            self._in_flight += 1

    def is_open(self, sequence: int) -> bool:
        """Tells whether a tick still waits for its answer."""
        entry = self._index.get(sequence)
        return entry is not None and not entry.done

    def may_be_added(self, sequence: int) -> bool:
        """Tells whether a number is above all that the service may have applied: no repeat, no latecomer."""
        newest = self._open[-1].sequence if self._open else self._kept[-1].sequence if self._kept else 0
        return sequence > max(newest, self.floor, self.durable, self.dropped)

    def add(self, entry: Entry) -> None:
        """Keeps a tick; its number must be one that `may_be_added`."""
        self._open.append(entry)
        self._index[entry.sequence] = entry

    def answer(self, sequence: int) -> bool:
        """Takes the answer to one tick, which says nothing of others; tells whether it was waited for."""
        if not self.is_open(sequence):
            return False
        entry = self._index[sequence]
        self._set_done(entry)
        if entry.is_reset:  # bars may be older than those before it
            self._row, self._as_of_time = sequence, EPOCH
        self._advance()
        return True

    def predict(self, sequence: int, as_of_time: datetime | None, *, partial: bool) -> bool:
        """Takes a prediction, which comes after all others that were due before it; tells whether it is a new one."""
        if partial:
            if sequence <= max(self._partial, self._row):
                return False
            self._partial = sequence
        else:
            if not self._is_new(sequence, as_of_time):
                return False
            self._row, self._as_of_time = sequence, as_of_time
            self._owed = max(0, self._owed - 1) if sequence < self._blocked_until else 0
        for entry in self._open:
            if entry.sequence > sequence:
                break
            self._set_done(entry)
            self._floor_watermark = entry.watermark
        self._advance()
        # All that was due up to here has been heard, also of ticks whose own word was lost with a connection.
        if sequence >= self._blocked_until:
            self._blocked_until = 0
        self._raise_floor(sequence)
        return True

    def fail(self, sequence: int) -> bool:
        """Takes the failure of a due prediction; tells whether it was waited for."""
        entry = self._index.get(sequence)
        waited = self.answer(sequence)
        if waited and entry is not None and entry.one_row and sequence > self._row:
            self._row, self._as_of_time = sequence, None
        return waited

    def refuse(self, sequence: int) -> bool:
        """Forgets a tick that the service has not applied: its number may be used again."""
        entry = self._index.pop(sequence, None)
        if entry is None or entry.done:
            return False
        self._set_done(entry)
        entry.refused = True
        self._advance()
        return True

    def make_durable(self, sequence: int) -> None:
        """Takes the service's word that ticks up to a number survive it."""
        self.durable = max(self.durable, sequence)
        while self._kept and self._kept[0].sequence <= self.durable:
            self.drop_oldest()

    def drop_oldest(self) -> None:
        """Forgets the oldest tick that is done."""
        self._drop(self._kept.popleft())

    def clear(self) -> None:
        """Forgets all ticks."""
        for entry in (*self._kept, *self._open):
            self.on_dropped(entry)
        self._kept.clear()
        self._open.clear()
        self._index.clear()

    def resume(self, next_sequence: int) -> list[Entry]:
        """Takes the number that the service expects after a break; gives the ticks that it lacks, oldest first.

        Those before that number it has applied: their predictions it computes again, as far as they lie behind the
        floor; their other answers are lost. So they wait for nothing, yet they hold the floor until a prediction
        has passed them.
        """
        self._in_flight = 0
        for entry in self._open:
            entry.in_flight = False
        for entry in self._open:
            if entry.sequence >= next_sequence:
                break
            if not entry.done:
                entry.done = True
                self._owed += entry.one_row
                self._blocked_until = max(self._blocked_until, entry.sequence)
        self._advance()
        missing = [
            entry for entry in (*self._kept, *self._open) if entry.sequence >= next_sequence and not entry.refused
        ]
        self.resent = range(missing[0].sequence, missing[-1].sequence + 1) if missing else range(0)
        return missing

    def resume_point(self, *, watermarked: bool) -> tuple[int, datetime | None]:
        """Gives the floor, and the end of the newest answered bar; None: all bars of the floor are answered.

        Args:
            watermarked: Whether a watermark was sent in this session. It may have closed a bar under the number at
                which the session began; else all bars of that number were another session's.
        """
        if self.floor == self.sequence and self._as_of_time is EPOCH and not watermarked:
            return self.floor, None
        if self.floor > self._row and self._as_of_time is None:
            return self.floor, EPOCH
        return self.floor, self._as_of_time

    def __iter__(self) -> Iterator[Entry]:
        """Yields the ticks that may be sent again, oldest first."""
        return (entry for entry in (*self._kept, *self._open) if not entry.refused)

    def _set_done(self, entry: Entry) -> None:
        entry.done = True
        if entry.in_flight:
            entry.in_flight = False
            self._in_flight -= 1

    def _is_new(self, sequence: int, as_of_time: datetime | None) -> bool:
        if sequence != self._row:
            return sequence > self._row
        return self._as_of_time is not None and as_of_time is not None and as_of_time > self._as_of_time

    def _advance(self) -> None:
        while self._open and self._open[0].done:
            entry = self._open.popleft()
            self._index.pop(entry.sequence, None)
            if entry.refused:
                self.on_dropped(entry)
                continue
            self._passed = entry.sequence
            if entry.watermark != self._floor_watermark:
                # Predictions that the watermark between made due may still come, and other answers overtake them.
                self._blocked_until = entry.sequence
            if entry.sequence <= self.durable:
                self._drop(entry)
            else:
                self._kept.append(entry)
                self.on_done(self, entry)
        while self._open and self._open[-1].refused:  # so that its number can be added again
            self.on_dropped(self._open.pop())
        self._raise_floor(self._passed)

    def _raise_floor(self, sequence: int) -> None:
        if not self._blocked_until:
            self.floor = max(self.floor, sequence, self._passed)
        elif sequence == self._row or sequence == self._partial:
            self.floor = max(self.floor, sequence)

    def _drop(self, entry: Entry) -> None:
        self.dropped = max(self.dropped, entry.sequence)
        self.dropped_position = max(self.dropped_position, entry.position)
        self.on_dropped(entry)
