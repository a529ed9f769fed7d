"""Damage: valid messages and texts to ones that are nearly valid, or not at all. Pure but for its source of chance.

Knows protobuf's encoding and the contract's descriptors, so that most damage is found only behind the parser: a huge
duration in a window of a batch's third item, not just garbage.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from benchmarks.fuzz.wire import (
    END_GROUP,
    FIXED32,
    FIXED64,
    LENGTH,
    MAX_NUMBER,
    START_GROUP,
    VARINT,
    Field,
    fields_of,
    joined,
    tag,
    varint,
)

_INF, _NAN = float("inf"), float("nan")
_DOUBLES = (0.0, -0.0, 1.0, -1.0, _INF, -_INF, _NAN, 5e-324, -5e-324, 2.3e-308, 1.8e308, -1.8e308, 1e16, 1e-300, 3.5e38)
_FLOATS = (0.0, -0.0, 1.0, _INF, -_INF, _NAN, 1e-45, 1.2e-38, 3.4e38, -3.4e38)
_INTEGERS = (
    *(0, 1, 2, 3, 4, 7, 50, 59, 60, 61, 64, 127, 128, 255, 1000, 1001, 3600, 86_400, 999_999_999, 10**9, 12_000),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**62, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 1, -1, -2, -60, -(10**9)),
    *(-(2**31), 315_576_000_000, 315_576_000_001, -315_576_000_001, 253_402_300_799, 253_402_300_800, -62_135_596_801),
    *(1_600_000_000, 1_699_999_200, -(2**63)),
)
_TEXTS = (
    *(b"", b"A", b"EURUSD", b"cnn_lstm", b"CNN_LSTM", b"../../etc/passwd", b"/", b"..", b".", b"*", b"%s%n", b"{}"),
    *(b"a\x00b", b"\xff\xfe", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xe2\x80\xae", b"a\r\nb", b" ", b"\xc2\xa0"),
    *(b"x" * 64, b"x" * 65, b"x" * 128, b"x" * 129, b"\xc3\xa9" * 128, b"x" * 5000, b"999999999", b"-1", b"1e9"),
)
_RAW_SHARE = 0.06
_FLOAT_TYPES = {FieldDescriptor.TYPE_FLOAT: ("<f", _FLOATS), FieldDescriptor.TYPE_DOUBLE: ("<d", _DOUBLES)}


class Mutator:
    """Damages what it is given.

    Args:
        chance: Decides; the same seed does the same damage.
        max_bytes: Messages are sometimes made just larger than this.
    """

    def __init__(self, chance: random.Random, *, max_bytes: int) -> None:
        self._chance = chance
        self._max_bytes = max_bytes

    def message(self, data: bytes, kind: type[Message], others: Sequence[bytes]) -> bytes:
        """Returns a damaged message.

        Args:
            data: A valid one of this kind.
            kind: What it is.
            others: Valid messages, of this kind or not, to splice it with.
        """
        chance, descriptor = self._chance, cast("Descriptor", kind.DESCRIPTOR)
        if chance.random() < 0.02:
            data = self._spliced(data, chance.choice(others))
        for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 6))):
            data = self._raw(data) if chance.random() < _RAW_SHARE else self._structured(data, descriptor)
        if chance.random() < 0.0005:
            # An unknown field of that size: valid, and too large.
            data += joined(
                [Field(MAX_NUMBER, LENGTH, bytes(max(0, self._max_bytes - len(data) - chance.randrange(20))))]
            )
        return data

    def text(self, value: str) -> str:
        """Returns a damaged header value or path: any characters, lone surrogates and controls among them."""
        chance = self._chance
        for _ in range(chance.choice((1, 1, 2, 3))):
            at = chance.randrange(len(value) + 1)
            match chance.randrange(7):
                case 0:
                    value = value[:at]
                case 1:
                    value = value[:at] + value[at + chance.randrange(1, 4) :]
                case 2:
                    value = (
                        value[:at]
                        + chance.choice(("\0", "\ud800", "\u00e9", "\n", " ", "-", "\U0001f600", "\x7f"))
                        + value[at:]
                    )
                case 3:
                    value = value.swapcase()
                case 4:
                    value = value[:at] + chr(chance.randrange(256)) + value[at + 1 :]
                case 5:
                    value = value * chance.choice((0, 2, 3, 40))
                case 6:
                    value = chance.choice(_TEXTS).decode("latin-1")
        return value

    def _raw(self, data: bytes) -> bytes:
        """Damages bytes regardless of what they mean; near the ends, where the structure of a window's message lies."""
        chance, out = self._chance, bytearray(data)
        edge = min(60, len(out))
        at = chance.randrange(edge + 1) if chance.random() < 0.5 else len(out) - chance.randrange(edge + 1)
        match chance.randrange(6):
            case 0:
                for _ in range(chance.choice((1, 2, 8))):
                    if out:
                        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
            case 1:
                del out[at:]
            case 2:
                del out[at : at + chance.randrange(1, 9)]
            case 3:
                out[at:at] = chance.randbytes(chance.randrange(1, 9))
            case 4:
                out[at : at + 1] = bytes([chance.randrange(256)])
            case 5:
                return chance.randbytes(chance.choice((0, 1, 2, 7, 40, 300)))
        return bytes(out)

    def _structured(self, data: bytes, kind: Descriptor | None) -> bytes:
        """Damages one field of a message, at any depth."""
        chance = self._chance
        fields = fields_of(data)
        if fields is None:
            return self._raw(data)
        if not fields or chance.random() < 0.15:
            return data + self._added(kind)
        index = chance.randrange(len(fields))
        field = fields[index]
        known = None if kind is None else kind.fields_by_number.get(field.number)
        inner = None if known is None else known.message_type
        if field.wire == LENGTH and inner is not None and chance.random() < 0.7:
            changed = [field._replace(payload=self._structured(field.payload, inner))]
        elif chance.random() < 0.6:
            changed = [field._replace(payload=self._payload(field, known))]
        else:
            operations: tuple[Callable[[Field], list[Field] | bytes], ...] = (
                # The first ones go deeper; most of what the last ones do ends in the parser.
                *(self._dropped, self._repeated, self._dropped, self._repeated, self._dropped, self._repeated),
                *(self._retyped, self._renumbered, self._misstated, self._nested),
            )
            outcome = chance.choice(operations)(field)
            if isinstance(outcome, bytes):
                return joined(fields[:index]) + outcome + joined(fields[index + 1 :])
            changed = outcome
        return joined([*fields[:index], *changed, *fields[index + 1 :]])

    def _dropped(self, field: Field) -> list[Field]:
        del field
        return []

    def _repeated(self, field: Field) -> bytes:
        counts = (2, 2, 3, 65, 1000) if len(field.payload) < 50 else (2, 3)
        return joined([field]) * self._chance.choice(counts)

    def _retyped(self, field: Field) -> list[Field]:
        wire = self._chance.choice((VARINT, FIXED64, LENGTH, FIXED32, START_GROUP, END_GROUP, 6, 7))
        return [field._replace(wire=wire)]

    def _renumbered(self, field: Field) -> list[Field]:
        number = self._chance.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 18_999, 19_000, MAX_NUMBER, 2**60))
        return [field._replace(number=number)]

    def _misstated(self, field: Field) -> bytes:
        """Returns a field whose length is a lie, or is longer than it needs to be."""
        length = self._chance.choice((0, 1, len(field.payload) + 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**64 - 1))
        if self._chance.random() < 0.3:
            return tag(field.number, LENGTH) + varint(len(field.payload), padding=3) + field.payload
        return tag(field.number, LENGTH) + varint(length, padding=self._chance.choice((0, 0, 1, 4, 12))) + field.payload

    def _nested(self, field: Field) -> bytes:
        """Returns a field in itself, or in unknown groups, many times."""
        depth = self._chance.choice((1, 2, 60, 99, 100, 101, 3000))
        if self._chance.random() < 0.6:
            end = self._chance.choice((depth, depth, depth - 1, 0))
            return tag(field.number, START_GROUP) * depth + tag(field.number, END_GROUP) * end
        data = field.payload[:100]
        for _ in range(min(depth, 101)):
            data = joined([Field(field.number, LENGTH, data)])
        return data

    def _payload(self, field: Field, known: FieldDescriptor | None) -> bytes:
        """Returns other bytes of the same encoding."""
        chance = self._chance
        match field.wire:
            case 0:
                return varint(chance.choice(_INTEGERS), padding=chance.choice((0, 0, 0, 0, 1, 9)))
            case 1:
                return struct.pack("<d", chance.choice(_DOUBLES))
            case 5:
                return struct.pack("<f", chance.choice(_FLOATS))
        payload = bytearray(field.payload)
        if known is not None and known.type == FieldDescriptor.TYPE_STRING:
            return chance.choice(_TEXTS)
        if len(payload) >= 4 and chance.random() < 0.6:
            # A window's values: raw bytes or packed numbers.
            for _ in range(chance.choice((1, 1, 5))):
                at = chance.randrange(len(payload) // 4) * 4
                payload[at : at + 4] = struct.pack("<f", chance.choice(_FLOATS))
            return bytes(payload)
        return self._raw(field.payload)

    def _added(self, kind: Descriptor | None) -> bytes:
        """Returns a field to put behind the others: one that the schema has, or junk that it does not know."""
        chance = self._chance
        if kind is not None and kind.fields and chance.random() < 0.7:
            return self._invented(chance.choice(kind.fields), depth=0)
        wire = chance.choice((VARINT, FIXED64, LENGTH, FIXED32))
        size = {VARINT: 1, FIXED64: 8, FIXED32: 4}.get(wire, chance.choice((0, 5, 2000)))
        payload = bytes(1) if wire == VARINT else chance.randbytes(size)
        return joined([Field(chance.choice((100, 1000, 19_500, MAX_NUMBER)), wire, payload)])

    def _invented(self, field: FieldDescriptor, *, depth: int) -> bytes:
        """Returns a field of the schema with a value of the right type, sensible or not."""
        chance, number = self._chance, field.number
        if field.message_type is not None:
            parts = [] if depth > 3 else [inner for inner in field.message_type.fields if chance.random() < 0.6]
            content = b"".join(self._invented(inner, depth=depth + 1) for inner in parts)
            return joined([Field(number, LENGTH, content)])
        if field.type in _FLOAT_TYPES:
            form, values = _FLOAT_TYPES[field.type]
            if field.is_repeated:
                count = chance.choice((0, 1, 50, 50, 51))
                return joined(
                    [Field(number, LENGTH, struct.pack(f"<{count}{form[1]}", *chance.choices(values, k=count)))]
                )
            return joined(
                [Field(number, FIXED32 if form == "<f" else FIXED64, struct.pack(form, chance.choice(values)))]
            )
        if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            return joined([Field(number, LENGTH, chance.choice(_TEXTS))])
        return joined([Field(number, VARINT, varint(chance.choice(_INTEGERS)))])

    def _spliced(self, data: bytes, other: bytes) -> bytes:
        """Returns a message of which the first part is one's and the rest another's; or one behind the other."""
        chance = self._chance
        if chance.random() < 0.3:
            return data + other
        return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]
