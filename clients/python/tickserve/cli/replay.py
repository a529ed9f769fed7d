"""Replays bars through a tick stream at a chosen pace, and keeps count. Must not know how it is shown."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice

from tickserve.cli.tally import Pace, Tally
from tickserve.errors import StreamClosedError, TickserveError
from tickserve.events import Gap, SymbolState, TickEvent, TickFailure, TickPrediction
from tickserve.market import Bar, WindowReset
from tickserve.tick_stream import TickStream

__all__ = ("Replay", "replay_symbols")


def replay_symbols(symbol: str, count: int) -> list[str]:
    """Gives the names under which a file is replayed: the symbol's own, or with a number each where there are more."""
    return [symbol] if count == 1 else [f"{symbol}-{number:0{len(str(count))}}" for number in range(1, count + 1)]


class Replay:
    """One replay of the same bars as one or more symbols over an open stream.

    A thread sends while the caller iterates over the events.

    Args:
        stream: An open stream.
        symbols: Symbols of it; each gets all bars.
        bars: The bars, oldest first. The first of them fill the windows, as history; the others are sent as ticks, each
            bar for all symbols before the next.
        pace: How fast the bars are sent.
        limit: How many bars to send as ticks; None: all.
        reset: Whether to empty the symbols' windows first.
    """

    def __init__(
        self,
        stream: TickStream,
        symbols: Iterable[str],
        bars: Iterable[Bar],
        *,
        pace: Pace,
        limit: int | None,
        reset: bool,
    ) -> None:
        self.tally = Tally()
        self._stream = stream
        self._symbols = list(symbols)
        self._bars = iter(bars)
        self._delay = pace.delay(stream.opened.bar_interval)
        self._limit = limit
        self._reset = reset
        self._states = dict(stream.opened.symbols)
        self._sent: dict[tuple[str, int], tuple[float, Bar]] = {}
        self._stopped = threading.Event()
        self._failure: BaseException | None = None

    def bar(self, symbol: str, sequence: int) -> Bar | None:
        """Gives the bar that was sent with a number, if it has not been answered yet."""
        entry = self._sent.get((symbol, sequence))
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
            self.tally.reconnects = self._stream.reconnect_count
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        try:
            numbers = self._warm_up()
            due = self.tally.started = time.perf_counter()
            for bar in islice(self._bars, self._limit):
                if self._stopped.wait(max(0.0, due - time.perf_counter())):
                    return
                for symbol in self._symbols:
                    number = numbers[symbol]
                    numbers[symbol] += 1
                    self._sent[symbol, number] = (time.perf_counter(), bar)
                    self._stream.tick(symbol, bar, sequence=number)
                    self.tally.bars_sent += 1
                due += self._delay
            self._stream.finish()
        except TickserveError as error:
            if not (self._stopped.is_set() and isinstance(error, StreamClosedError)):
                self._failure = error
        except Exception as error:  # any: it is raised again, where the events are read
            self._failure = error
            self._stream.close()

    def _warm_up(self) -> dict[str, int]:
        """Fills each window but for one bar; gives the next number of each symbol's ticks."""
        missing = {symbol: self._missing(self._states[symbol]) for symbol in self._symbols}
        warm_up = list(islice(self._bars, max(missing.values())))
        numbers = {}
        for symbol in self._symbols:
            number = self._states[symbol].next_sequence
            if self._reset:
                self._stream.tick(symbol, WindowReset("replay"), sequence=number)
                number += 1
            # The newest of them: all symbols go on with the same bar.
            past = warm_up[len(warm_up) - missing[symbol] :] if missing[symbol] <= len(warm_up) else warm_up
            self._stream.history(symbol, past)
            self.tally.history_bars += len(past)
            numbers[symbol] = number
        return numbers

    def _missing(self, state: SymbolState) -> int:
        return max(0, state.need - (0 if self._reset else state.have) - 1)

    def _count(self, event: TickEvent, arrived: float) -> None:
        match event:
            case TickPrediction(symbol=symbol):
                self.tally.predictions += 1
                self.tally.conflated += event.conflated_count
                for sequence in range(event.first_sequence, event.sequence):
                    self._sent.pop((symbol, sequence), None)
                entry = self._sent.pop((symbol, event.sequence), None)
                if entry is not None:
                    self.tally.latencies.append(arrived - entry[0])
            case TickFailure():
                self.tally.errors[event.error.reason or event.error.code.name] += 1
                self._sent.pop((event.symbol, event.sequence), None)
            case Gap():
                self.tally.gaps += 1
                missing = range(event.first_missing_sequence, event.last_missing_sequence + 1)
                for key in [key for key in self._sent if key[0] == event.symbol and key[1] in missing]:
                    self._sent.pop(key, None)
            case _:
                self._sent.pop((getattr(event, "symbol", ""), getattr(event, "sequence", 0)), None)
