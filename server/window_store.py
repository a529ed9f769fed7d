"""Where the symbols' windows live: in this replica's memory.

Owns which windows exist, who writes to each, and how many are kept. One replica only: several would need a store that
they share. Pure state, no I/O.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from model.model_config import ModelConfig
from server.predictor import InputOrigin
from server.refusal import Reason, Refusal
from server.symbol_window import SymbolWindow

FloatArray = npt.NDArray[np.float32]
# Models that read the same features of the same bars share a symbol's window.
Key = tuple[str, float, str]

_SYMBOL = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)


class WindowStore:
    """Keeps the windows of all symbols in memory.

    Args:
        max_symbols: Most windows kept. At the limit the one longest unused, and held by no stream, makes room.
        wall_clock: Seconds since the epoch; used for `max_age` only, because bars carry event time.
    """

    def __init__(self, *, max_symbols: int, wall_clock: Callable[[], float] = time.time) -> None:
        self.max_symbols = max_symbols
        self._wall_clock = wall_clock
        self._windows: dict[Key, SymbolWindow] = {}
        # Those that no stream holds, longest unused first: making room must not take a search.
        self._idle: OrderedDict[Key, SymbolWindow] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def hold(self, symbols: Sequence[str], config: ModelConfig) -> list[SymbolWindow]:
        """Returns symbols' windows for one stream to write to, and takes them from any other stream; all or none.

        The stream remembers each window's `epoch`, compares it before each write, and calls `release` at its end.

        Args:
            symbols: Distinct names.
            config: Of the stream's model.

        Raises:
            Refusal: INVALID_SYMBOL; LIMIT_EXCEEDED where streams hold too many windows to make room.
        """
        for index, symbol in enumerate(symbols):
            check_symbol(symbol, field=f"symbols[{index}]")
        keys = [_key(symbol, config) for symbol in symbols]
        new = sum(key not in self._windows for key in keys)
        spare = len(self._idle) - sum(key in self._idle for key in keys)
        if len(self._windows) + new - spare > self.max_symbols:
            raise Refusal(
                Reason.LIMIT_EXCEEDED,
                f"This server keeps at most {self.max_symbols} symbols and streams hold too many of them; close some.",
                field="symbols",
                metadata={"limit": str(self.max_symbols)},
            )
        for key in keys:
            self._idle.pop(key, None)
        return [self._hold_one(key, symbol, config) for key, symbol in zip(keys, symbols, strict=True)]

    def release(self, window: SymbolWindow, config: ModelConfig) -> None:
        """Lets a stream's window be forgotten when room is needed; until then it can be predicted on and resumed."""
        window.holders -= 1
        if not window.holders:
            self._idle[_key(window.symbol, config)] = window

    def window(self, symbol: str, config: ModelConfig, *, max_age: float | None) -> tuple[FloatArray, InputOrigin]:
        """Returns a symbol's newest window and its origin.

        Args:
            symbol: Name.
            config: Of the model that will read it.
            max_age: Longest time since the newest bar's end, seconds, or None.

        Raises:
            Refusal: INVALID_SYMBOL, SYMBOL_NOT_FOUND, WINDOW_INCOMPLETE or WINDOW_STALE.
        """
        check_symbol(symbol)
        key = _key(symbol, config)
        kept = self._windows.get(key)
        if kept is None:
            raise Refusal(
                Reason.SYMBOL_NOT_FOUND,
                "No window is kept for this symbol; send its bars through StreamTicks first.",
                field="symbol",
                metadata={"symbol": symbol},
            )
        if key in self._idle:
            self._idle.move_to_end(key)
        values = kept.window()
        age = None if kept.as_of_time is None else self._wall_clock() - kept.as_of_time
        if max_age is not None and (age is None or age > max_age):
            raise Refusal(
                Reason.WINDOW_STALE,
                "The symbol's newest bar is older than max_age allows; send newer bars, or allow more.",
                field="max_age",
                metadata={"age": "unknown" if age is None else f"{age:.3f}", "max_age": f"{max_age:.3f}"},
            )
        return values, origin_of(kept, config)

    def _hold_one(self, key: Key, symbol: str, config: ModelConfig) -> SymbolWindow:
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self.max_symbols:
                forgotten, _ = self._idle.popitem(last=False)
                del self._windows[forgotten]
            window = self._windows[key] = SymbolWindow(symbol, config)
        window.epoch += 1
        window.holders += 1
        return window


def origin_of(window: SymbolWindow, config: ModelConfig) -> InputOrigin:
    """Returns the evidence that a prediction from this window carries."""
    return InputOrigin(
        feature_schema=config.feature_schema,
        symbol=window.symbol,
        last_sequence=window.last_sequence,
        as_of_time=window.as_of_time,
    )


def check_symbol(symbol: str, *, field: str = "symbol") -> None:
    """Refuses what is no symbol.

    Raises:
        Refusal: INVALID_SYMBOL.
    """
    if _SYMBOL.fullmatch(symbol) is None:
        raise Refusal(
            Reason.INVALID_SYMBOL,
            "A symbol has 1 to 64 characters from A-Z a-z 0-9 . _ : / -",
            field=field,
            metadata={"length": str(len(symbol))},
        )


def _key(symbol: str, config: ModelConfig) -> Key:
    return (config.feature_schema, config.bar_interval_seconds, symbol)
