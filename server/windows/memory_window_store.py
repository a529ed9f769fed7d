"""The windows of all symbols in one replica's memory, and nowhere else.

Owns nothing but the order of steps: who holds what is `held_windows`'s. One replica only: several need a store that
they share. Nothing is ever durable here: the windows end with the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from model.model_config import ModelConfig
from server.config.window_settings import WindowSettings
from server.inference.predictor import InputOrigin
from server.time_slice import TimeSlice
from server.windows.held_windows import HeldWindows, WindowListener
from server.windows.symbol_window import SymbolWindow
from server.windows.window_key import WindowKey, check_symbol, check_symbols, key_of
from server.windows.window_store import FloatArray, check_age, new_window, origin_of, symbol_not_found


class MemoryWindowStore:
    """A `WindowStore` without a server.

    Args:
        settings: How much of a window is kept.
        max_symbols: Most windows kept. At the limit the one longest unused, and held by no stream, makes room.
        wall_clock: Seconds since the epoch; used for `max_age` only, because bars carry event time.
    """

    def __init__(
        self,
        settings: WindowSettings | None = None,
        *,
        max_symbols: int,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings or WindowSettings()
        self._wall_clock = wall_clock
        self._held = HeldWindows(max_symbols)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def max_symbols(self) -> int:
        """Most windows kept; may be changed at any time."""
        return self._held.max_symbols

    @max_symbols.setter
    def max_symbols(self, limit: int) -> None:
        self._held.max_symbols = limit

    @property
    def failure_count(self) -> int:
        """See `WindowStore.failure_count`; nothing can fail."""
        return 0

    async def start(self) -> None:
        """Has nothing to start."""

    async def close(self) -> None:
        """Has nothing to close."""

    async def hold(
        self, symbols: Sequence[str], config: ModelConfig, *, owner: str = "", listener: WindowListener
    ) -> list[SymbolWindow]:
        """See `WindowStore.hold`."""
        time_slice = TimeSlice()
        await check_symbols(symbols, time_slice)
        keys = [key_of(symbol, config, owner) for symbol in symbols]
        self._held.check_room(keys)
        made: dict[WindowKey, SymbolWindow] = {}
        for key in keys:
            if self._held.get(key) is None:
                made[key] = new_window(key.symbol, config, self._settings)
            await time_slice.give_way()
        # Others may have been here meanwhile. From now on nothing waits: all or none.
        self._held.check_room(keys)
        self._held.make_room(keys)
        return [self._take_over(key, made.get(key), config, listener) for key in keys]

    def release(self, window: SymbolWindow) -> None:
        """See `WindowStore.release`."""
        held = self._held.of(window)
        if held is not None:
            self._held.release(held)

    async def window(
        self, symbol: str, config: ModelConfig, *, owner: str = "", max_age: float | None
    ) -> tuple[FloatArray, InputOrigin]:
        """See `WindowStore.window`."""
        check_symbol(symbol)
        held = self._held.get(key_of(symbol, config, owner))
        if held is None:
            raise symbol_not_found(symbol)
        self._held.use(held)
        values = held.window.window()
        check_age(held.window.as_of_time, max_age, now=self._wall_clock())
        return values, origin_of(held.window, config)

    def changed(self, window: SymbolWindow) -> None:
        """See `WindowStore.changed`; there is nowhere to write to."""

    def durable_sequence(self, window: SymbolWindow) -> int | None:
        """See `WindowStore.durable_sequence`."""
        del window
        return None

    async def flush(self) -> None:
        """See `WindowStore.flush`; there is nowhere to write to."""

    def _take_over(
        self, key: WindowKey, made: SymbolWindow | None, config: ModelConfig, listener: WindowListener
    ) -> SymbolWindow:
        held = self._held.get(key)
        if held is None:
            # Made above, unless another stream's end or the room made for others has forgotten it since.
            held = self._held.add(key, made or new_window(key.symbol, config, self._settings))
        held.window.epoch += 1
        held.take_over(listener)
        return held.window
