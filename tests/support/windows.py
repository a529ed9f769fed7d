"""What tests of the window stores share: a stream that only listens, and windows filled from real bars."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from model.bar import Bar
from server.windows.symbol_window import SymbolWindow


class Listener:
    """A stream that remembers what it was told.

    Attributes:
        durable_sequences: Symbol and sequence number of each confirmation.
        lost_windows: Windows lost, in order.
    """

    def __init__(self) -> None:
        self.durable_sequences: list[tuple[str, int]] = []
        self.lost_windows: list[SymbolWindow] = []

    def durable(self, window: SymbolWindow, sequence: int) -> None:
        """Remembers."""
        self.durable_sequences.append((window.symbol, sequence))

    def lost(self, window: SymbolWindow) -> None:
        """Remembers."""
        self.lost_windows.append(window)

    def durable_sequence(self, symbol: str) -> int:
        """Returns the newest confirmation of a symbol; 0 for none."""
        return next((sequence for name, sequence in reversed(self.durable_sequences) if name == symbol), 0)

    @property
    def lost_symbols(self) -> list[str]:
        """Symbols of the windows lost, in order."""
        return [window.symbol for window in self.lost_windows]


def fill(window: SymbolWindow, bars: Sequence[Bar], *, first_sequence: int | None = None) -> None:
    """Applies bars as ticks, one after the other, numbered from `first_sequence` or on from the window's last."""
    sequence = window.last_sequence + 1 if first_sequence is None else first_sequence
    for number, bar in enumerate(bars, sequence):
        window.apply_bars([bar], sequence=number)


async def eventually(look: Callable[[], object], *, timeout: float = 60.0) -> None:
    """Waits until `look` finds something, within a bound that a busy machine keeps to.

    Raises:
        TimeoutError: It never did.
    """
    deadline = time.monotonic() + timeout
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout:g} s in vain")
        await asyncio.sleep(0.01)
