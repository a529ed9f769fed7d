"""Windows that are copied late. Owns that a copy is made before its rows become others, and rarely for nothing.

Most predictions of a stream that conflates are replaced before anybody computes them: to copy each one's window, as
it is when its row comes, took a sixth of the event loop's time.
"""

from __future__ import annotations

import weakref

import numpy as np
import numpy.typing as npt

from server.windows.symbol_window import SymbolWindow

FloatArray = npt.NDArray[np.float32]


class LateWindow:
    """A window that is copied when it is first asked for, and stays as it was then.

    Args:
        window: The symbol's.
        row_number: Of its newest row; kept, and its window full.
    """

    __slots__ = ("__weakref__", "_row_number", "_values", "_window")

    def __init__(self, window: SymbolWindow, row_number: int) -> None:
        self._window = window
        self._row_number = row_number
        self._values: FloatArray | None = None

    def values(self) -> FloatArray:
        """Returns the copy, `[feature_count, time_steps]`, oldest step first; the same one each time."""
        if self._values is None:
            self._values = self._window.window_at(self._row_number)
            assert self._values is not None, "its rows have made room: it should have been settled before"
        return self._values


class LateWindows:
    """The late windows of one session, one a symbol: each row is due there, and takes the older one's place.

    Weak: one that was replaced, or answered, is gone.
    """

    def __init__(self) -> None:
        self._of_symbol: weakref.WeakValueDictionary[str, LateWindow] = weakref.WeakValueDictionary()

    def make(self, window: SymbolWindow, row_number: int) -> LateWindow:
        """Returns a late window of a symbol; its newest row is the symbol's newest."""
        late = self._of_symbol[window.symbol] = LateWindow(window, row_number)
        return late

    def settle(self, symbol: str) -> None:
        """Has a symbol's window copied if nobody has asked for it yet: its rows may soon be others."""
        late = self._of_symbol.pop(symbol, None)
        if late is not None:
            late.values()
