"""The windows that one replica keeps in its memory: whose they are, and how many there may be.

Owns who holds what, the limit, and which idle window makes room. Pure state, no clock, no I/O; knows no store.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Protocol

from server.refusal import Reason, Refusal
from server.windows.symbol_window import SymbolWindow
from server.windows.window_key import WindowKey

logger = logging.getLogger("tickserve")


class WindowListener(Protocol):
    """What a stream is told of the windows that it holds; neither may block or raise.

    It is told until the window has no holder any more, so now and then of one that it has released itself.
    """

    def durable(self, window: SymbolWindow, sequence: int) -> None:
        """The window up to a sequence number survives the loss of this replica."""

    def lost(self, window: SymbolWindow) -> None:
        """Another stream has taken the symbol over; the window must not be written to any more. Told once a hold."""


class HeldWindow:
    """One window and who writes to it.

    Attributes:
        key: Names it.
        window: The working copy.
        listener: Of the stream that opened it last; None where no stream holds it.
        holders: Streams that have not released it yet. All but the last have lost it.
        durable_sequence: What `listener` was last told to be durable; 0 for nothing.
        checked_at: When its store last confirmed that it is this replica's, monotonic seconds.
    """

    __slots__ = ("checked_at", "durable_sequence", "holders", "key", "listener", "window")

    def __init__(self, key: WindowKey, window: SymbolWindow) -> None:
        self.key = key
        self.window = window
        self.listener: WindowListener | None = None
        self.holders = 0
        self.durable_sequence = 0
        self.checked_at = 0.0

    def take_over(self, listener: WindowListener) -> None:
        """Makes a stream the holder, and tells the one before that it has lost the window."""
        self.tell_lost()
        self.listener = listener
        self.holders += 1

    def tell_lost(self) -> None:
        """Tells the holder, if there is one, that the window is not its own any more; nobody hears of it after that."""
        listener, self.listener = self.listener, None
        self.durable_sequence = 0
        if listener is not None:
            try:
                listener.lost(self.window)
            except Exception:  # one stream's fault must not reach the others' windows
                logger.exception("a stream failed to let go of a symbol")

    def tell_durable(self, sequence: int) -> None:
        """Tells the holder, if there is one, what is stored; each sequence number once."""
        if self.listener is None or sequence == self.durable_sequence:
            return
        self.durable_sequence = sequence
        try:
            self.listener.durable(self.window, sequence)
        except Exception:
            logger.exception("a stream failed to hear what is durable")


class HeldWindows:
    """All windows in a replica's memory.

    Args:
        max_symbols: Most windows kept. At the limit the one longest unused, and held by no stream, makes room.
    """

    def __init__(self, max_symbols: int) -> None:
        self.max_symbols = max_symbols
        self._by_key: dict[WindowKey, HeldWindow] = {}
        self._by_window: dict[SymbolWindow, HeldWindow] = {}
        # Those that no stream holds, longest unused first: making room must not take a search.
        self._idle: OrderedDict[WindowKey, HeldWindow] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[HeldWindow]:
        return iter(self._by_key.values())

    def get(self, key: WindowKey) -> HeldWindow | None:
        """Returns what is kept under a key."""
        return self._by_key.get(key)

    def of(self, window: SymbolWindow) -> HeldWindow | None:
        """Returns what is kept about a window; None where it was lost or made room."""
        return self._by_window.get(window)

    def use(self, held: HeldWindow) -> None:
        """Counts a prediction as use, so that the window makes room later."""
        if held.key in self._idle:
            self._idle.move_to_end(held.key)

    def check_room(self, keys: Sequence[WindowKey]) -> None:
        """Refuses to hold more than there is room for.

        Args:
            keys: Distinct; what a stream asks for.

        Raises:
            Refusal: LIMIT_EXCEEDED where streams hold too many windows to make room.
        """
        new = sum(key not in self._by_key for key in keys)
        spare = len(self._idle) - sum(key in self._idle for key in keys)
        if len(self._by_key) + new - spare > self.max_symbols:
            raise Refusal(
                Reason.LIMIT_EXCEEDED,
                f"This server keeps at most {self.max_symbols} symbols and streams hold too many of them; close some.",
                field="symbols",
                metadata={"limit": str(self.max_symbols)},
            )

    def make_room(self, keys: Sequence[WindowKey]) -> list[HeldWindow]:
        """Forgets the idle windows that must go before all of `keys` can be added, and returns them.

        Those among `keys` are not idle any more; after this each of them must be taken over or added.
        """
        for key in keys:
            self._idle.pop(key, None)
        new = sum(key not in self._by_key for key in keys)
        forgotten = []
        while self._idle and len(self._by_key) + new > self.max_symbols:
            held = next(iter(self._idle.values()))
            self.forget(held)
            forgotten.append(held)
        return forgotten

    def add(self, key: WindowKey, window: SymbolWindow) -> HeldWindow:
        """Keeps a window that no stream holds yet, under a key that is free."""
        held = self._by_key[key] = self._by_window[window] = HeldWindow(key, window)
        return held

    def release(self, held: HeldWindow) -> bool:
        """Counts one holder less; tells whether it was the last, so that the window is idle now."""
        held.holders -= 1
        if held.holders:
            return False
        held.listener = None
        self._idle[held.key] = held
        return True

    def forget(self, held: HeldWindow) -> None:
        """Keeps a window no longer. Idempotent."""
        if self._by_key.get(held.key) is held:
            del self._by_key[held.key]
            self._idle.pop(held.key, None)
        self._by_window.pop(held.window, None)
