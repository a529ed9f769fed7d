"""An answer as bytes, small and with nothing around it: what the result cache keeps, in memory and in Redis.

Owns the form: a magic number with the form's version, the length of each output, a checksum of the numbers, and the
numbers themselves as little-endian float32. A row that an engine gave is a view into its whole batch; kept as it is, it
would keep all of the batch alive.
"""

from __future__ import annotations

import struct
import zlib
from operator import attrgetter

import numpy as np

from model.outputs import OUTPUT_NAMES, ModelOutputs, OutputRow

_MAGIC = b"tsr\x01"
_HEADER = struct.Struct(f"<4sI{len(OUTPUT_NAMES)}H")
_NUMBER = np.dtype("<f4")
_outputs = attrgetter(*OUTPUT_NAMES)


def pack(row: OutputRow) -> bytes:
    """Returns a row's bytes; about 1.1 KB for a model with 256 features."""
    outputs = _outputs(row)
    numbers = np.concatenate(outputs, dtype=_NUMBER).tobytes()
    return _HEADER.pack(_MAGIC, zlib.crc32(numbers), *map(len, outputs)) + numbers


def unpack(packed: bytes) -> OutputRow:
    """Returns the row of bytes that `pack` made in this process: read-only views of them, unchecked."""
    numbers = np.frombuffer(packed, _NUMBER, offset=_HEADER.size)
    outputs, begin = [], 0
    for length in _HEADER.unpack_from(packed)[2:]:
        outputs.append(numbers[begin : begin + length])
        begin += length
    return OutputRow(*outputs)


def read(packed: bytes, *, classes: int, regressions: int) -> OutputRow | None:
    """Returns the row of bytes from elsewhere; None unless they are an answer that could be given.

    Args:
        packed: Any bytes.
        classes: How many class probabilities the model gives.
        regressions: How many quantities it estimates.
    """
    if len(packed) < _HEADER.size:
        return None
    magic, checksum, *lengths = _HEADER.unpack_from(packed)
    numbers = memoryview(packed)[_HEADER.size :]
    expected = [classes, regressions, regressions] * 2
    fits = lengths[: len(expected)] == expected and len(numbers) == _NUMBER.itemsize * sum(lengths)
    if magic != _MAGIC or not fits or zlib.crc32(numbers) != checksum:
        return None
    row = unpack(packed)
    valid = ModelOutputs(*(output[np.newaxis] for output in _outputs(row))).valid_rows()
    return row if valid[0] else None
