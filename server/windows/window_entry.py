"""One kept step of a window, and its stored form: a closed bar, the features computed from it, or both.

Owns the bytes of an entry and their check. Knows no window and no store.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib
from struct import Struct
from typing import Final

import numpy as np
import numpy.typing as npt

from model.bar import Bar
from model.data_errors import InvalidBarError
from server.windows.closed_row import time_from_number, time_to_number

FloatArray = npt.NDArray[np.float32]

VERSION: Final = 1
_HAS_BAR: Final = 1
_HAS_ROW: Final = 2
_LIVE: Final = 4
_PREFIX: Final = Struct("<BBHqqd")  # version, flags, features, sequence, first sequence, as-of time or NaN
_BAR: Final = Struct("<6d")
_CHECKSUM: Final = Struct("<I")  # CRC-32 of all before it
_ROW_TYPE: Final = np.dtype("<f4")


class WindowStateError(ValueError):
    """Stored bytes of a window cannot be restored: damaged, or of another version; the symbol starts anew."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class WindowEntry:
    """One step of a window. Immutable; nobody may write to the row.

    Attributes:
        sequence: See `ClosedRow`.
        first_sequence: See `ClosedRow`.
        as_of_time: End of the bar, seconds since the epoch; None if its sender did not say.
        bar: The raw bar; None for ready rows of features.
        row: Features, float32 [feature_count]; None where they are not known: during warm-up, and for bars of a history
            that lie before its last window.
        live: The step came with a tick; not live are those of a history, which nobody is to be answered for.
    """

    sequence: int
    first_sequence: int
    as_of_time: float | None
    bar: Bar | None
    row: FloatArray | None
    live: bool

    def to_bytes(self) -> bytes:
        """Returns the stored form, little-endian: 280 bytes with a bar and 50 features."""
        flags = (self.bar is not None) * _HAS_BAR | (self.row is not None) * _HAS_ROW | self.live * _LIVE
        width = 0 if self.row is None else len(self.row)
        as_of_time = time_to_number(self.as_of_time)
        body = _PREFIX.pack(VERSION, flags, width, self.sequence, self.first_sequence, as_of_time)
        if (bar := self.bar) is not None:
            body += _BAR.pack(bar.open_time, bar.open, bar.high, bar.low, bar.close, bar.volume)
        if self.row is not None:
            body += self.row.astype(_ROW_TYPE).tobytes()
        return seal(body)

    @classmethod
    def from_bytes(cls, data: bytes) -> WindowEntry:
        """Restores an entry, bit for bit.

        Raises:
            WindowStateError: The bytes are damaged, or of another version.
        """
        body = unseal(data, VERSION)
        try:
            _, flags, width, sequence, first_sequence, as_of_time = _PREFIX.unpack_from(body)
            offset = _PREFIX.size
            bar = None
            if flags & _HAS_BAR:
                time, o, h, lo, c, v = _BAR.unpack_from(body, offset)
                bar = Bar(open_time=time, open=o, high=h, low=lo, close=c, volume=v)
                offset += _BAR.size
        except (struct.error, InvalidBarError) as error:
            msg = f"a window's entry is damaged ({error})"
            raise WindowStateError(msg) from error
        if len(body) != offset + width * _ROW_TYPE.itemsize or bool(flags & _HAS_ROW) != bool(width):
            msg = "a window's entry has a wrong length"
            raise WindowStateError(msg)
        # A view of the bytes, which cannot be written to.
        row = np.frombuffer(body, _ROW_TYPE, offset=offset) if flags & _HAS_ROW else None
        return cls(
            sequence=sequence,
            first_sequence=first_sequence,
            as_of_time=time_from_number(as_of_time),
            bar=bar,
            row=row,
            live=bool(flags & _LIVE),
        )


def seal(body: bytes) -> bytes:
    """Returns `body`, whose first byte is its version, with a checksum after it."""
    return body + _CHECKSUM.pack(zlib.crc32(body))


def unseal(data: bytes, version: int) -> bytes:
    """Returns what was sealed.

    Raises:
        WindowStateError: The bytes are damaged, or not of this version.
    """
    if data and data[0] != version:
        msg = f"stored bytes of a window have version {data[0]}, not {version}"
        raise WindowStateError(msg)
    body, checksum = data[: -_CHECKSUM.size], data[-_CHECKSUM.size :]
    if not body or _CHECKSUM.pack(zlib.crc32(body)) != checksum:
        msg = "stored bytes of a window fail their checksum"
        raise WindowStateError(msg)
    return body
