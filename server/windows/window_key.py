"""What tells one symbol's window from another. Owns the parts of the key and which symbols there may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from model.model_config import ModelConfig
from server.refusal import Reason, Refusal
from server.time_slice import TimeSlice

_SYMBOL = re.compile(r"[A-Za-z0-9._:/-]{1,64}", re.ASCII)


class WindowKey(NamedTuple):
    """Names one window. Models that read windows of one length, of the same features of the same bars, share it.

    Attributes:
        owner: Whose symbol it is: an API key's id, or empty.
        feature_schema: Id of the schema of its rows.
        bar_interval: Length of a bar in seconds.
        time_steps: Rows of a window.
        symbol: Name.
    """

    owner: str
    feature_schema: str
    bar_interval: float
    time_steps: int
    symbol: str


def key_of(symbol: str, config: ModelConfig, owner: str) -> WindowKey:
    """Returns the key of a symbol's window.

    Args:
        symbol: Name, checked.
        config: Of a model that reads the window.
        owner: Whose symbol it is.
    """
    return WindowKey(owner, config.feature_schema, config.bar_interval_seconds, config.network.time_steps, symbol)


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


async def check_symbols(symbols: Sequence[str], time_slice: TimeSlice) -> None:
    """Refuses a list that has what is no symbol.

    Raises:
        Refusal: INVALID_SYMBOL.
    """
    for index, symbol in enumerate(symbols):
        check_symbol(symbol, field=f"symbols[{index}]")
        await time_slice.give_way()
