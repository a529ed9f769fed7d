"""One symbol's ticks and whether its answers fit them. Pure: the driver tells what it sent and saw, and when."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Answered(NamedTuple):
    """What an answer or an error was about; instants on the monotonic clock.

    Attributes:
        due: When its tick was due to be sent; 0 where the tick is unknown.
        sent: When it was handed to gRPC; 0 where the tick is unknown.
        fault: What is wrong with it, in a word or two; empty: nothing.
        behind: Seconds for which a newer tick of the symbol had been due by then; 0: it was the newest.
    """

    due: float
    sent: float
    fault: str = ""
    behind: float = 0.0


class Lane:
    """The ticks of one symbol on one stream.

    Args:
        number: Of the symbol.
        next_sequence: Of its next tick.
        conflate: Whether one answer may stand for several ticks.

    Attributes:
        number: Of the symbol.
        next_sequence: Of its next tick.
        conflated: Ticks that newer ones stood in for.
    """

    def __init__(self, number: int, *, next_sequence: int, conflate: bool) -> None:
        self.number = number
        self.next_sequence = next_sequence
        self.conflated = 0
        self._conflate = conflate
        self._ended = next_sequence - 1
        # By sequence: when it was due, and sent.
        self._waiting: dict[int, tuple[float, float]] = {}
        self._undurable: deque[tuple[int, float]] = deque()

    @property
    def waiting(self) -> int:
        """Ticks that have neither an answer nor an error, by themselves or through a newer one."""
        return len(self._waiting)

    @property
    def undurable(self) -> int:
        """Ticks that have not been confirmed as stored."""
        return len(self._undurable)

    def send(self, due: float, now: float) -> int:
        """Notes that the next tick is sent; returns its sequence."""
        sequence = self.next_sequence
        self.next_sequence += 1
        self._waiting[sequence] = (due, now)
        self._undurable.append((sequence, now))
        return sequence

    def answer(self, *, first_sequence: int, sequence: int, conflated_count: int, now: float) -> Answered:
        """Takes an answer: each tick has exactly one, in order; a conflated one has that of a newer tick."""
        fault = ""
        if sequence not in self._waiting:
            fault = "sequence"
        elif first_sequence != self._ended + 1:
            fault = "first sequence"
        elif conflated_count != sequence - first_sequence:
            fault = "conflated count"
        elif conflated_count and not self._conflate:
            fault = "conflated"
        else:
            self.conflated += conflated_count
        return self._end(sequence, now, fault)

    def error(self, sequence: int, now: float) -> Answered:
        """Takes an error in an answer's place; where conflation is on, it may stand for older ticks, too."""
        fault = "" if sequence in self._waiting else "sequence"
        return self._end(sequence, now, fault)

    def unanswered(self) -> list[tuple[float, float]]:
        """Returns when each tick without an answer was due and sent."""
        return list(self._waiting.values())

    def durable(self, sequence: int, now: float) -> list[float]:
        """Takes the word that ticks up to one are stored; returns the seconds since each was sent."""
        lags = []
        while self._undurable and self._undurable[0][0] <= sequence:
            lags.append(now - self._undurable.popleft()[1])
        return lags

    def _end(self, sequence: int, now: float, fault: str) -> Answered:
        due, sent = self._waiting.get(sequence, (0.0, 0.0))
        newer = self._waiting.get(sequence + 1)
        for ended in range(self._ended + 1, sequence + 1):
            self._waiting.pop(ended, None)
        self._ended = max(self._ended, sequence)
        return Answered(due, sent, fault, max(0.0, now - newer[0]) if newer else 0.0)
