"""The contract's messages as JSON and back: the proto3 JSON mapping, windows read by a shorter way.

protobuf's own reader takes two milliseconds for a window of numbers. So the numbers are taken out, the rest is left to
it, and they are put into the message by themselves. A batch is read and written window by window, with the event loop's
other work between. https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message

from server.http.json_body import decoded, decoded_object
from server.refusal import Reason, Refusal
from server.time_slice import TimeSlice
from tickserve.v1 import prediction_service_pb2 as pb

_VALUES = "values"
_NUMBERS = frozenset({int, float})
_MAX_WORDS = 200
# protobuf's reader has one of its own, but lets others out.
_FAULTS = (json_format.Error, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
# Finds a batch's items in one pass, and reads none of them yet.
_Batch: Any = msgspec.defstruct(
    "PredictBatchRequest",
    [
        ("items", list[msgspec.Raw] | None, None),
        *(
            (name, Any, msgspec.UNSET)
            for field in pb.PredictBatchRequest.DESCRIPTOR.fields
            for name in sorted({field.name, field.json_name} - {"items"})
        ),
    ],
    forbid_unknown_fields=True,
)


async def read_predict(body: bytes) -> bytes:
    """Returns the `PredictRequest` of a JSON document, serialized.

    Raises:
        Refusal: MALFORMED_MESSAGE or NON_FINITE_VALUE.
    """
    request = pb.PredictRequest()
    _fill(request, decoded_object(body))
    return request.SerializeToString()


async def read_batch(body: bytes) -> bytes:
    """Returns the `PredictBatchRequest` of a JSON document, serialized.

    Raises:
        Refusal: As `read_predict`; its field names the item.
    """
    request, time_slice = pb.PredictBatchRequest(), TimeSlice()
    document = msgspec.structs.asdict(decoded(body, _Batch))
    items = document.pop("items") or ()
    _fill(request, {name: value for name, value in document.items() if value is not msgspec.UNSET})
    for index, item in enumerate(items):
        await time_slice.give_way()
        try:
            _fill(request.items.add(), decoded_object(item))
        except Refusal as refusal:
            raise refusal.within(f"items[{index}]") from None
    return request.SerializeToString()


def read_query(message: Message, query: dict[str, Any]) -> bytes:
    """Returns a message of query parameters, serialized; raises as `read_predict` does."""
    _fill(message, query)
    return message.SerializeToString()


def document_of(message: Message) -> dict[str, Any]:
    """Returns a message as JSON: every member is there but those that are messages and not set."""
    document: dict[str, Any] = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return document


async def batch_document(response: pb.PredictBatchResponse) -> dict[str, Any]:
    """Returns the answer to a batch as JSON, with the event loop's other work between its results."""
    results, time_slice = [], TimeSlice()
    for result in response.results:
        results.append(document_of(result))
        await time_slice.give_way()
    return {"results": results}


def _fill(message: Message, document: object) -> None:
    if not isinstance(document, dict):
        raise Refusal(Reason.MALFORMED_MESSAGE, "A JSON object is needed here.")
    values, document = _without_values(document)
    try:
        json_format.ParseDict(document, message)
    except _FAULTS as error:
        # What it says is about the document alone.
        words = str(error).partition("\n")[0][:_MAX_WORDS]
        raise Refusal(
            Reason.MALFORMED_MESSAGE,
            f"This is no {message.DESCRIPTOR.full_name} in JSON: {words}",
            field=_fault_in(document, type(message))[:_MAX_WORDS],
        ) from None
    if values is not None:
        _put(values, message)


def _fault_in(document: dict[str, Any], kind: type[Message]) -> str:
    """Returns the path of the first member that cannot be read by itself; empty where all of them can."""
    fields = {name: field for field in kind.DESCRIPTOR.fields for name in (field.json_name, field.name)}
    for name, value in document.items():
        message = kind()
        try:
            json_format.ParseDict({name: value}, message)
        except _FAULTS:
            inner = ""
            if isinstance(value, dict) and name in fields and fields[name].message_type is not None:
                inner = _fault_in(value, type(getattr(message, fields[name].name)))
            return f"{name}.{inner}" if inner else name
    return ""


def _without_values(document: dict[str, Any]) -> tuple[list[Any] | None, dict[str, Any]]:
    """Returns the numbers of a document's window and the document without them; it is not changed itself."""
    window = document.get("window")
    given = window.get(_VALUES) if isinstance(window, dict) else None
    # Written by hand, a list by itself is easier to get right than an object around it.
    values = given.get(_VALUES) if isinstance(given, dict) else given
    if not isinstance(window, dict) or not isinstance(values, list):
        return None, document
    # What remains says that there are some: the reader still sees a window that has both forms.
    rest = {name: value for name, value in given.items() if name != _VALUES} if isinstance(given, dict) else {}
    return values, {**document, "window": {**window, _VALUES: rest}}


def _put(values: list[Any], message: Any) -> None:
    if not _NUMBERS.issuperset(map(type, values)):
        raise Refusal(Reason.MALFORMED_MESSAGE, "values must hold numbers only.", field="window.values")
    try:
        message.window.values.values.extend(values)
    except (OverflowError, ValueError, TypeError):
        raise Refusal(
            Reason.NON_FINITE_VALUE, "A number in values is too large for one.", field="window.values"
        ) from None
