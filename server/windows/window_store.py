"""Where the symbols' windows live: what every store does, whatever it is made of.

Owns the Protocol that sessions and RPCs are written against, and the words that all stores share. Each store is a file
of its own: `memory_window_store`, `redis_window_store`.

    hold ---> the stream writes to the windows in memory ---> changed ---> (flush) ---> listener.durable
                                                                      another replica's hold ---> listener.lost
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from model.model_config import ModelConfig
from server.config.window_settings import WindowSettings
from server.inference.predictor import InputOrigin
from server.refusal import Reason, Refusal
from server.windows.held_windows import WindowListener
from server.windows.symbol_window import SymbolWindow

FloatArray = npt.NDArray[np.float32]


class WindowStore(Protocol):
    """Keeps the windows of all symbols."""

    @property
    def max_symbols(self) -> int:
        """Most windows that this replica keeps in its memory."""

    @max_symbols.setter
    def max_symbols(self, limit: int) -> None:
        """Sets another limit; what is held beyond it stays until it is released."""

    def __len__(self) -> int:
        """Windows in this replica's memory."""

    @property
    def failure_count(self) -> int:
        """Writes that failed and were, or will be, repeated."""

    async def start(self) -> None:
        """Begins what goes on in the background. Does not wait for a server: one that is away is told by `hold`."""

    async def close(self) -> None:
        """Writes what can be written at once and ends what goes on in the background. Idempotent."""

    async def hold(
        self, symbols: Sequence[str], config: ModelConfig, *, owner: str = "", listener: WindowListener
    ) -> list[SymbolWindow]:
        """Returns symbols' windows for one stream to write to, and takes them from any other stream; all or none.

        The stream calls `changed` after each write and `release` at its end, also of what it was told to have lost.
        If this raises, a refusal or a cancellation, no stream has lost a symbol - unless the store fails in the middle
        and stays away, so that what was taken cannot be given back.

        Args:
            symbols: Distinct names.
            config: Of the stream's model.
            owner: Whose symbols they are; each owner has its own.
            listener: Told what becomes durable and what is lost.

        Raises:
            Refusal: INVALID_SYMBOL; LIMIT_EXCEEDED where streams hold too many windows to make room;
                STORE_UNAVAILABLE.
        """

    def release(self, window: SymbolWindow) -> None:
        """Lets go of a window that `hold` returned; once for each hold. What is not stored yet still will be."""

    async def window(
        self, symbol: str, config: ModelConfig, *, owner: str = "", max_age: float | None
    ) -> tuple[FloatArray, InputOrigin]:
        """Returns a symbol's newest window, float32 `[feature_count, time_steps]`, and its origin.

        Args:
            symbol: Name.
            config: Of the model that will read it.
            owner: Whose symbol it is.
            max_age: Longest time since the newest bar's end, seconds, or None.

        Raises:
            Refusal: INVALID_SYMBOL, SYMBOL_NOT_FOUND, WINDOW_INCOMPLETE, WINDOW_STALE or STORE_UNAVAILABLE.
        """

    def changed(self, window: SymbolWindow) -> None:
        """Has a window written to the store soon. Waits for nothing; of one that is lost, it is passed over."""

    def durable_sequence(self, window: SymbolWindow) -> int | None:
        """Returns the sequence number up to which the store has a window, 0 for nothing; None if it never will."""

    async def flush(self) -> None:
        """Waits until all that has changed is stored, or lost to other streams.

        Raises:
            Refusal: STORE_UNAVAILABLE; it goes on being tried.
        """


def new_window(symbol: str, config: ModelConfig, settings: WindowSettings) -> SymbolWindow:
    """Returns an empty window."""
    return SymbolWindow(symbol, config, resume_depth=settings.resume_depth, lateness_bound=settings.lateness_bound)


def restored_window(
    symbol: str, config: ModelConfig, settings: WindowSettings, head: bytes, entries: Iterable[bytes]
) -> SymbolWindow:
    """Returns the window that a store has; an empty one for an empty head.

    Raises:
        WindowStateError: The bytes are damaged, or of another version.
    """
    if not head:
        return new_window(symbol, config, settings)
    return SymbolWindow.restore(
        symbol, config, head, entries, resume_depth=settings.resume_depth, lateness_bound=settings.lateness_bound
    )


def origin_of(window: SymbolWindow, config: ModelConfig) -> InputOrigin:
    """Returns the evidence that a prediction from this window carries."""
    return InputOrigin(
        feature_schema=config.feature_schema,
        symbol=window.symbol,
        last_sequence=window.last_sequence,
        as_of_time=window.as_of_time,
    )


def symbol_not_found(symbol: str) -> Refusal:
    """Returns the refusal of a symbol that nobody has opened."""
    return Refusal(
        Reason.SYMBOL_NOT_FOUND,
        "No window is kept for this symbol; send its bars through StreamTicks first.",
        field="symbol",
        metadata={"symbol": symbol},
    )


def check_age(as_of_time: float | None, max_age: float | None, *, now: float) -> None:
    """Refuses a window that is older than the caller allows.

    Args:
        as_of_time: End of the newest bar, seconds since the epoch, or None if nobody said.
        max_age: Longest time since then, seconds, or None.
        now: Seconds since the epoch.

    Raises:
        Refusal: WINDOW_STALE.
    """
    age = None if as_of_time is None else now - as_of_time
    if max_age is not None and (age is None or age > max_age):
        raise Refusal(
            Reason.WINDOW_STALE,
            "The symbol's newest bar is older than max_age allows; send newer bars, or allow more.",
            field="max_age",
            metadata={"age": "unknown" if age is None else f"{age:.3f}", "max_age": f"{max_age:.3f}"},
        )
