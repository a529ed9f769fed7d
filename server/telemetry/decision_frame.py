"""The bytes of one record of a decision log: framed, so that whatever happened to a file its other records are found.

    "tsDL"  4 bytes    where a record may begin
    version 1 byte     1; three zero bytes follow
    length  4 bytes    of the payload, little-endian
    crc     4 bytes    CRC-32 of the length's bytes and the payload, little-endian
    payload            length of the header (4 bytes, little-endian), header (JSON, UTF-8), window, answer

No pickle, no code: a header is JSON, the rest are float32 numbers (docs/adr/0012-decision-log.md).
"""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

from server.telemetry.decision import Decision

MAGIC: Final = b"tsDL"
VERSION: Final = 1
_HEAD: Final = struct.Struct("<4sB3xII")
_LENGTH: Final = struct.Struct("<I")
_FLOAT_BYTES: Final = 4
MAX_PAYLOAD: Final = 64 * 1024**2
"""Above what the transport lets through: a greater length is damage."""


class UnreadableDecisionError(ValueError):
    """A record is intact and yet not one of this format."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """Bytes of a file that are no record.

    Attributes:
        offset: Where they begin.
        length: How many they are.
        is_tail: Whether they are the beginning of a record whose end was never written: what a killed process leaves.
    """

    offset: int
    length: int
    is_tail: bool


def encode(decision: Decision) -> bytes:
    """Returns a decision's frame."""
    header = dict(decision.fields)
    if decision.window:
        header["shape"] = decision.shape
    if decision.answer:
        header["answer"] = decision.answer_sizes
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    payload = b"".join((_LENGTH.pack(len(text)), text, decision.window, decision.answer))
    return _HEAD.pack(MAGIC, VERSION, len(payload), _checksum(payload)) + payload


def decode(payload: bytes) -> Decision:
    """Returns the decision of a frame's payload.

    Raises:
        UnreadableDecisionError: It is of another format.
    """
    try:
        (length,) = _LENGTH.unpack_from(payload)
        header: dict[str, Any] = json.loads(payload[_LENGTH.size : _LENGTH.size + length])
        shape = tuple(header.pop("shape", ()))
        sizes: dict[str, int] = header.pop("answer", {})
        begin = _LENGTH.size + length
        middle = begin + _FLOAT_BYTES * (shape[0] * shape[1] if shape else 0)
        end = middle + _FLOAT_BYTES * sum(sizes.values())
    except (struct.error, ValueError, TypeError, AttributeError, IndexError) as error:
        raise UnreadableDecisionError(f"its header cannot be read: {error}") from None
    if end != len(payload):
        raise UnreadableDecisionError(f"its header tells of {end} bytes, but it has {len(payload)}")
    return Decision(
        fields=header, window=payload[begin:middle], shape=shape, answer=payload[middle:end], answer_sizes=sizes
    )


def split(data: Any) -> Iterator[tuple[int, bytes] | Damage]:
    """Yields the payloads in a file with their offsets, and what lies between them that is none.

    After damage it goes on at the next record that is intact.

    Args:
        data: A file's bytes, or a memory map of it.
    """
    position, size = 0, len(data)
    while position < size:
        payload = _payload(data, position)
        if payload is not None:
            yield position, payload
            position += _HEAD.size + len(payload)
            continue
        following = position
        while (following := data.find(MAGIC, following + 1)) >= 0:
            if _payload(data, following) is not None:
                break
        end = following if following >= 0 else size
        is_tail = following < 0 and _is_beginning(data[position : position + _HEAD.size], size - position)
        yield Damage(offset=position, length=end - position, is_tail=is_tail)
        position = end


def _payload(data: Any, position: int) -> bytes | None:
    """Returns the payload of the record that begins at a position; None if none that is intact does."""
    head = data[position : position + _HEAD.size]
    if len(head) < _HEAD.size:
        return None
    magic, version, length, crc = _HEAD.unpack(head)
    if magic != MAGIC or version != VERSION or length > MAX_PAYLOAD:
        return None
    payload: bytes = data[position + _HEAD.size : position + _HEAD.size + length]
    return payload if len(payload) == length and _checksum(payload) == crc else None


def _is_beginning(head: bytes, available: int) -> bool:
    """Tells whether a record begins here and ends behind the file's end."""
    if not head.startswith(MAGIC[: len(head)]):
        return False
    return len(head) < _HEAD.size or available < _HEAD.size + int(_HEAD.unpack(head)[2])


def _checksum(payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_LENGTH.pack(len(payload))))
