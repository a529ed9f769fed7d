"""JSON schemas of the contract's messages, from their descriptors: what the proto3 JSON mapping writes and reads.

They cannot drift from the contract. What is read is told in its usual form only, though protobuf's reader takes more:
the fields' own names, a whole number as a text.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

Schema = dict[str, Any]

REFERENCE = "#/components/schemas/"
_INTEGERS_32 = {FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32}
_INTEGERS_64 = {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64}
_NUMBERS = {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Duration": {
        "type": "string",
        "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$",
        "description": "Seconds, as in `0.05s`.",
    },
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Any": {
        "type": "object",
        "properties": {"@type": {"type": "string"}},
        "required": ["@type"],
    },
}


class Schemas:
    """Collects the schemas of messages and of what they hold.

    Attributes:
        components: Schemas by name.
    """

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def reference(self, message: Descriptor, *, is_input: bool) -> Schema:
        """Returns a reference to a message's schema, which is made if it is not there.

        Args:
            message: The message.
            is_input: Whether it is read: then members may be missing. What is written has all but messages not set.
        """
        if message.full_name in _WELL_KNOWN:
            return _WELL_KNOWN[message.full_name]
        name = message.name
        if name not in self.components:
            self.components[name] = {}  # one that holds itself finds it here
            self.components[name] |= self._message(message, is_input=is_input)
        return {"$ref": REFERENCE + name}

    def _message(self, message: Descriptor, *, is_input: bool) -> Schema:
        properties = {field.json_name: self._field(field, is_input=is_input) for field in message.fields}
        schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
        written = [field.json_name for field in message.fields if not field.has_presence]
        if written and not is_input:
            schema["required"] = written
        return schema

    def _field(self, field: FieldDescriptor, *, is_input: bool) -> Schema:
        held = field.message_type
        if held is not None and held.GetOptions().map_entry:
            return {
                "type": "object",
                "additionalProperties": self._single(held.fields_by_name["value"], is_input=is_input),
            }
        single = self._single(field, is_input=is_input)
        return {"type": "array", "items": single} if field.is_repeated else single

    def _single(self, field: FieldDescriptor, *, is_input: bool) -> Schema:
        if field.message_type is not None:
            return self.reference(field.message_type, is_input=is_input)
        if field.enum_type is not None:
            return _enum(field.enum_type, is_input=is_input)
        if field.type in _INTEGERS_32:
            return {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
        if field.type in _INTEGERS_64:
            # 64 bits are more than JavaScript's numbers hold.
            text: Schema = {"type": "string", "pattern": "^-?[0-9]{1,19}$"}
            return {"anyOf": [{"type": "integer"}, text]} if is_input else text
        if field.type in _NUMBERS:
            odd: Schema = {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}
            return {"type": "number"} if is_input else {"anyOf": [{"type": "number"}, odd]}
        if field.type == FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "contentEncoding": "base64"}
        return {"type": "string"}


def _enum(enum: EnumDescriptor, *, is_input: bool) -> Schema:
    names: Schema = {"type": "string", "enum": [value.name for value in enum.values]}
    return names if is_input else {"anyOf": [names, {"type": "integer"}]}
