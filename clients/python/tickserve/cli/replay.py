"""Replays bars through a tick stream at a chosen pace, and keeps count. Must not know how it is shown."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from tickserve.errors import StreamClosedError, TickserveError
from tickserve.events import Gap, TickEvent, TickFailure, TickPrediction
from tickserve.market import Bar, WindowReset
from tickserve.tick_stream import TickStream

__all__ = ("Pace", "Replay", "Tally")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast bars are sent."""

    text: str = "max"
    """`100x`: 100 times real time; `50/s`: 50 bars a second; `max`: as fast as the service takes them."""

    def __post_init__(self) -> None:
        """Checks the text.

        Raises:
            ValueError: It is none of the three, or not positive.
        """
        self.delay(1.0)

    def delay(self, bar_interval: float) -> float:
        """Gives the seconds between two bars of `bar_interval` seconds.

        Bars follow each other evenly, whatever time lies between them: nights and weekends are not waited for.
        """
        if self.text == "max":
            return 0.0
        per_second = self.text.endswith("/s")
        try:
            number = float(self.text.removesuffix("/s") if per_second else self.text.removesuffix("x"))
        except ValueError:
            number = 0.0
        if not 0.0 < number < float("inf"):
            raise ValueError(f"a speed is written 100x (times real time), 50/s (bars a second) or max, not {self.text}")
        return 1.0 / number if per_second else bar_interval / number


@dataclass(slots=True)
class Tally:
    """What came of a replay so far."""

    bars_sent: int = 0
    history_bars: int = 0
    predictions: int = 0
    conflated: int = 0
    gaps: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    """Errors by reason."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from handing over a bar to its prediction, in order of arrival."""
    started: float = field(default_factory=time.perf_counter)

    def percentile(self, share: float) -> float:
        """Gives a latency in seconds, by nearest rank; NaN without any."""
        if not self.latencies:
            return float("nan")
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Replay:
    """One replay of one symbol over an open stream: a thread sends while the caller iterates over the events.

    Args:
        stream: An open stream.
        symbol: A symbol of it.
        bars: The bars, oldest first. The first of them fill the window, as history; the others are sent as ticks.
        pace: How fast the ticks are sent.
        limit: How many ticks to send; None: all.
        reset: Whether to empty the symbol's window first.
    """

    def __init__(
        self, stream: TickStream, symbol: str, bars: Iterable[Bar], *, pace: Pace, limit: int | None, reset: bool
    ) -> None:
        self.tally = Tally()
        self._stream = stream
        self._symbol = symbol
        self._bars = iter(bars)
        self._delay = pace.delay(stream.opened.bar_interval)
        self._limit = limit
        self._reset = reset
        self._sent: dict[int, tuple[float, Bar]] = {}
        self._stopped = threading.Event()
        self._failure: BaseException | None = None

    def bar(self, sequence: int) -> Bar | None:
        """Gives the bar that was sent with a number, if it has not been answered yet."""
        entry = self._sent.get(sequence)
        return None if entry is None else entry[1]

    def events(self) -> Iterator[TickEvent]:
        """Yields the events until all is answered; counts each after the caller is done with it.

        Raises:
            OSError: The bars could not be read.
            ValueError: As `OSError`.
            TickserveError: The stream broke.
        """
        sender = threading.Thread(target=self._send, name="tickserve-replay", daemon=True)
        sender.start()
        try:
            for event in self._stream:
                arrived = time.perf_counter()
                yield event
                self._count(event, arrived)
        finally:
            self._stopped.set()
            # A sender that waits for room on a stream that nobody reads any more would never end.
            self._stream.close()
            sender.join()
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        try:
            state = self._stream.opened.symbols[self._symbol]
            number, have = state.next_sequence, state.have
            if self._reset:
                self._stream.tick(self._symbol, WindowReset("replay"), sequence=number)
                number, have = number + 1, 0
            warm_up = list(islice(self._bars, max(0, state.need - have - 1)))
            self._stream.history(self._symbol, warm_up)
            self.tally.history_bars = len(warm_up)
            due = self.tally.started = time.perf_counter()
            for number, bar in enumerate(islice(self._bars, self._limit), start=number):  # noqa: B020  # goes on from it
                if self._stopped.wait(max(0.0, due - time.perf_counter())):
                    return
                self._sent[number] = (time.perf_counter(), bar)
                self._stream.tick(self._symbol, bar, sequence=number)
                self.tally.bars_sent += 1
                due += self._delay
            self._stream.finish()
        except TickserveError as error:
            if not (self._stopped.is_set() and isinstance(error, StreamClosedError)):
                self._failure = error
        except Exception as error:  # any: it is raised again, where the events are read
            self._failure = error
            self._stream.close()

    def _count(self, event: TickEvent, arrived: float) -> None:
        match event:
            case TickPrediction():
                self.tally.predictions += 1
                self.tally.conflated += event.conflated_count
                for sequence in range(event.first_sequence, event.sequence):
                    self._sent.pop(sequence, None)
                entry = self._sent.pop(event.sequence, None)
                if entry is not None:
                    self.tally.latencies.append(arrived - entry[0])
            case TickFailure():
                self.tally.errors[event.error.reason or event.error.code.name] += 1
                self._sent.pop(event.sequence, None)
            case Gap():
                self.tally.gaps += 1
            case _:
                self._sent.pop(getattr(event, "sequence", 0), None)
