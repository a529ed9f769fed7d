"""A window as a store has it, read without bringing a symbol back to life.

Owns what head and entries must agree on, and how far a window is filled. Computes no features.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from model.features import FeatureExtractor
from model.model_config import ModelConfig
from server.refusal import Reason, Refusal
from server.windows.window_entry import WindowEntry, WindowStateError
from server.windows.window_head import WindowHead

FloatArray = npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredWindow:
    """The newest window of a symbol.

    Attributes:
        values: Features, float32 [feature_count, time_steps], oldest step first.
        last_sequence: Sequence number of the last tick applied.
        as_of_time: End of the newest bar, seconds since the epoch; None if its sender did not say.
    """

    values: FloatArray
    last_sequence: int
    as_of_time: float | None


def read_window(config: ModelConfig, head: bytes, entries: Sequence[bytes]) -> StoredWindow:
    """Returns the newest window that head and entries hold.

    Args:
        config: Of the model that will read it.
        head: As stored.
        entries: The newest that are stored, at least `time_steps` if there are so many, oldest first.

    Raises:
        Refusal: WINDOW_INCOMPLETE, with `have` and `need` in its metadata.
        WindowStateError: The bytes are damaged, of another version, or do not belong together.
    """
    stored = WindowHead.from_bytes(head)
    steps = config.network.time_steps
    if stored.row_count < steps:
        need = FeatureExtractor.warmup_bars + steps
        raise incomplete(have_bars(stored.row_count, stored.bar_count, steps), need)
    newest = [WindowEntry.from_bytes(entry) for entry in entries[-steps:]]
    rows = _known_rows(newest, config)
    if len(rows) < steps or newest[-1].as_of_time != stored.as_of_time:
        msg = f"a stored window has {len(rows)} of {steps} rows, or those of another head"
        raise WindowStateError(msg)
    return StoredWindow(values=np.stack(rows, axis=1), last_sequence=stored.sequence, as_of_time=stored.as_of_time)


def check_stored(head: WindowHead, entries: Sequence[WindowEntry], config: ModelConfig) -> None:
    """Checks that all entries kept and their head belong together and suffice to go on.

    Raises:
        WindowStateError: They do not.
    """
    rows = len(_known_rows(entries, config))
    bars = sum(entry.bar is not None for entry in entries)
    if rows < min(head.row_count, config.network.time_steps) or rows > head.row_count or bars < head.bar_count:
        msg = f"a stored window has {bars} bars and {rows} rows, less or more than its head tells"
        raise WindowStateError(msg)
    if any(entry.row is None for entry in entries[len(entries) - rows :]):
        msg = "a stored window has rows that do not follow one upon the other"
        raise WindowStateError(msg)
    newest = entries[-1] if entries else None
    if newest is not None and (newest.sequence > head.sequence or newest.as_of_time != head.as_of_time):
        msg = "a stored window's entries are not those of its head"
        raise WindowStateError(msg)


def have_bars(row_count: int, bar_count: int, steps: int) -> int:
    """Returns the bars applied so far towards the first window, at most those that it needs.

    Args:
        row_count: Rows since the last reset.
        bar_count: Bars that the features' history holds.
        steps: Rows of a window.
    """
    warmup = FeatureExtractor.warmup_bars
    return warmup + min(steps, row_count) if row_count else bar_count


def incomplete(have: int, need: int) -> Refusal:
    """Returns the refusal to answer a window that is not full."""
    return Refusal(
        Reason.WINDOW_INCOMPLETE,
        f"The symbol has {have} of the {need} bars that a first window needs; send more, or history.",
        field="symbol",
        metadata={"have": str(have), "need": str(need)},
    )


def _known_rows(entries: Sequence[WindowEntry], config: ModelConfig) -> list[FloatArray]:
    """Returns the features of the entries that have them."""
    rows = [entry.row for entry in entries if entry.row is not None]
    if any(len(row) != config.network.feature_count for row in rows):
        msg = f"a stored window has rows of another width than {config.network.feature_count}"
        raise WindowStateError(msg)
    return rows
