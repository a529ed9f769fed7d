"""A protobuf message as the list of its fields, read without its schema, and back. Pure.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import NamedTuple

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
MAX_NUMBER = 2**29 - 1


class Field(NamedTuple):
    """One field on the wire.

    Attributes:
        number: Of the field.
        wire: How it is encoded, 0 to 5; 6 and 7 do not exist.
        payload: Its bytes, without tag and without length.
    """

    number: int
    wire: int
    payload: bytes


def varint(value: int, *, padding: int = 0) -> bytes:
    """Returns a number, of which the lower 64 bits count, with `padding` superfluous bytes behind it."""
    if 0 <= value < 0x80 and not padding:
        return bytes((value,))
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    for _ in range(padding):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


@cache
def tag(number: int, wire: int) -> bytes:
    """Returns what stands before a field's payload."""
    return varint(number << 3 | wire)


def joined(fields: Iterable[Field]) -> bytes:
    """Returns the message of these fields; lengths are right, whatever the payloads are."""
    parts = []
    for number, wire, payload in fields:
        parts.append(tag(number, wire))
        if wire == LENGTH:
            parts.append(varint(len(payload)))
        parts.append(payload)
    return b"".join(parts)


# The valid messages are taken apart again and again.
@lru_cache(maxsize=512)
def fields_of(data: bytes) -> tuple[Field, ...] | None:
    """Returns the fields of a message, outermost level only; None where the bytes are none, or it holds groups."""
    found, at = [], 0
    try:
        while at < len(data):
            key, at = _varint(data, at)
            number, wire = key >> 3, key & 7
            begin = at
            match wire:
                case 0:
                    _, at = _varint(data, at)
                case 1:
                    at += 8
                case 2:
                    size, begin = _varint(data, at)
                    at = begin + size
                case 5:
                    at += 4
                case _:
                    return None
            if at > len(data) or not number:
                return None
            found.append(Field(number, wire, data[begin:at]))
    except IndexError:
        return None
    return tuple(found)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
