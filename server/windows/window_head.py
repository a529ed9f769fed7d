"""What a window is besides its entries, and its stored form.

Owns the kinds of feed, the counts, and the bytes of all that. Knows no window and no store.
"""

from __future__ import annotations

import dataclasses
import enum
import struct
from struct import Struct
from typing import Final

from server.windows.closed_row import ClosedRow, time_from_number, time_to_number
from server.windows.window_entry import WindowStateError, seal, unseal

VERSION: Final = 1
# Version, feed, whether rows were lost, bars, revision, sequence, rows, resets, as-of time or NaN; the lost row's
# sequence, first sequence, number and as-of time. The state of the open bars follows.
_FIXED: Final = Struct("<BB?BqqqqdqqqdI")
_NO_ROW: Final = ClosedRow(sequence=0, first_sequence=0, as_of_time=None, row_number=0)


class FeedKind(enum.IntEnum):
    """What a window has been filled from since its last reset."""

    NOTHING = 0
    HISTORY = 1  # closed bars, and none of them a tick: bars or trades may follow
    BARS = 2
    TRADES = 3
    ROWS = 4


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowHead:
    """A window without its entries.

    Attributes:
        revision: Of the window, > 0.
        sequence: Of the last tick applied; 0 before the first.
        feed: What the window is filled from.
        row_count: Rows since the last reset.
        bar_count: Bars that the features' history holds, 0 to 61.
        reset_count: Resets so far.
        as_of_time: End of the newest bar, seconds since the epoch; None before the first, or if its sender did not say.
        lost: The newest row that a prediction may have been due for and whose window is gone; None if there is none.
        open_bars: The bars in the making, in the form of `BarAggregator`.
    """

    revision: int
    sequence: int
    feed: FeedKind
    row_count: int
    bar_count: int
    reset_count: int
    as_of_time: float | None
    lost: ClosedRow | None
    open_bars: bytes

    def to_bytes(self) -> bytes:
        """Returns the stored form, little-endian: 109 bytes and 64 for each bar in the making."""
        lost = self.lost or _NO_ROW
        fixed = _FIXED.pack(
            VERSION,
            self.feed,
            self.lost is not None,
            self.bar_count,
            self.revision,
            self.sequence,
            self.row_count,
            self.reset_count,
            time_to_number(self.as_of_time),
            lost.sequence,
            lost.first_sequence,
            lost.row_number,
            time_to_number(lost.as_of_time),
            len(self.open_bars),
        )
        return seal(fixed + self.open_bars)

    @classmethod
    def from_bytes(cls, data: bytes) -> WindowHead:
        """Restores a head.

        Raises:
            WindowStateError: The bytes are damaged, or of another version.
        """
        body = unseal(data, VERSION)
        try:
            _, feed, any_lost, *counts, as_of_time, sequence, first, number, time, size = _FIXED.unpack_from(body)
            kind = FeedKind(feed)
        except (struct.error, ValueError) as error:
            msg = f"a window's head is damaged ({error})"
            raise WindowStateError(msg) from error
        if len(body) != _FIXED.size + size:
            msg = "a window's head has a wrong length"
            raise WindowStateError(msg)
        lost = ClosedRow(sequence=sequence, first_sequence=first, as_of_time=time_from_number(time), row_number=number)
        bar_count, revision, last_sequence, row_count, reset_count = counts
        return cls(
            revision=revision,
            sequence=last_sequence,
            feed=kind,
            row_count=row_count,
            bar_count=bar_count,
            reset_count=reset_count,
            as_of_time=time_from_number(as_of_time),
            lost=lost if any_lost else None,
            open_bars=body[_FIXED.size :],
        )
