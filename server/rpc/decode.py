"""Protobuf messages to domain values, with every check that a field's meaning needs.

Owns the reading of windows, timeouts and priorities; ticks are `decode_ticks`'s. A bad field is refused with its path
and the remedy. Knows nothing of RPCs or queues; `encode` is its counterpart. A path begins at the message that is read:
who reads it as a part of another puts the rest in front (`Refusal.within`).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from batching import PriorityClass
from model.model_config import ModelConfig
from server.refusal import Reason, Refusal
from tickserve.v1 import window_pb2

FloatArray = npt.NDArray[np.float32]
Received = bytes | Refusal
"""A call's message: its bytes, or why there are none where a transport of another form could not read them."""

M = TypeVar("M", bound=Message)

_MAX_REQUEST_ID = 128
_PRIORITIES = {
    0: PriorityClass.STANDARD,
    1: PriorityClass.REAL_TIME,
    2: PriorityClass.STANDARD,
    3: PriorityClass.BACKGROUND,
}
# Bounds of the well-known types; a value outside them is a broken message, not a long time.
_MAX_DURATION = 315_576_000_000
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799


def parse(kind: type[M], data: Received, *, max_bytes: int) -> M:
    """Reads a message.

    Raises:
        Refusal: The one received; LIMIT_EXCEEDED above `max_bytes`; MALFORMED_MESSAGE if the bytes are no such message.
    """
    if isinstance(data, Refusal):
        raise data
    if len(data) > max_bytes:
        raise Refusal(
            Reason.LIMIT_EXCEEDED,
            f"The message has {len(data)} bytes; at most {max_bytes} are taken. Send fewer or smaller windows.",
            metadata={"limit": str(max_bytes), "size": str(len(data))},
        )
    try:
        return kind.FromString(data)
    except DecodeError:
        raise Refusal(
            Reason.MALFORMED_MESSAGE,
            f"The bytes are no {kind.DESCRIPTOR.full_name}; generate the client from this server's contract.",
        ) from None


def read_request_id(request_id: str) -> str:
    """Checks a request id's length.

    Raises:
        Refusal: LIMIT_EXCEEDED.
    """
    if len(request_id) > _MAX_REQUEST_ID:
        raise Refusal(
            Reason.LIMIT_EXCEEDED, f"request_id is limited to {_MAX_REQUEST_ID} characters.", field="request_id"
        )
    return request_id


def read_priority(number: int) -> PriorityClass:
    """Returns the class of a priority's number.

    Raises:
        Refusal: INVALID_PRIORITY.
    """
    priority = _PRIORITIES.get(number)
    if priority is None:
        raise Refusal(
            Reason.INVALID_PRIORITY,
            "priority must be 0 (standard), 1 (real-time), 2 (standard) or 3 (background).",
            field="priority",
            metadata={"priority": str(number)},
        )
    return priority


def read_span(message: Message, field: str) -> float | None:
    """Returns a Duration field in seconds, or None where it is not set.

    Raises:
        Refusal: INVALID_TIMEOUT if it is set and not greater than zero, or out of the type's range.
    """
    if not message.HasField(field):
        return None
    value: Duration = getattr(message, field)
    in_range = abs(value.seconds) <= _MAX_DURATION and abs(value.nanos) < 1_000_000_000
    seconds = value.seconds + value.nanos / 1e9
    if not in_range or value.seconds * value.nanos < 0 or seconds <= 0:
        raise Refusal(
            Reason.INVALID_TIMEOUT,
            f"{field} must be a valid duration greater than zero; leave it out for the default.",
            field=field,
            metadata={"seconds": str(value.seconds), "nanos": str(value.nanos)},
        )
    return seconds


def read_time(message: Message, field: str, *, reason: Reason) -> float | None:
    """Returns a Timestamp field in seconds since the epoch, or None where it is not set.

    Raises:
        Refusal: `reason` if it is out of the type's range.
    """
    if not message.HasField(field):
        return None
    value: Timestamp = getattr(message, field)
    if not _MIN_SECONDS <= value.seconds <= _MAX_SECONDS or not 0 <= value.nanos < 1_000_000_000:
        raise Refusal(reason, f"{field} must lie between the years 1 and 9999, with nanos from 0.", field=field)
    return value.seconds + value.nanos / 1e9


def read_window(window: window_pb2.Window, config: ModelConfig) -> FloatArray:
    """Returns a window's values, `[feature_count, time_steps]` float32; a view of the message's bytes where raw.

    Raises:
        Refusal: FEATURE_SCHEMA_MISMATCH, INVALID_SHAPE, MISSING_INPUT or NON_FINITE_VALUE, with the field.
    """
    features, steps = config.network.feature_count, config.network.time_steps
    check_schema(window.feature_schema, config, field="feature_schema")
    for field, got, need in (
        ("feature_count", window.feature_count, features),
        ("time_steps", window.time_steps, steps),
    ):
        if got != need:
            raise Refusal(
                Reason.INVALID_SHAPE,
                f"{field} must be {need} for this model.",
                field=field,
                metadata={"have": str(got), "need": str(need)},
            )
    kind = window.WhichOneof("data")
    if kind is None:
        raise Refusal(Reason.MISSING_INPUT, "Set raw_float32 or values.")
    if kind == "raw_float32":
        raw = window.raw_float32  # once: each access makes another copy
        check_length("raw_float32", "bytes", len(raw), 4 * features * steps)
        values = np.frombuffer(raw, dtype="<f4")
    else:
        check_length("values", "numbers", len(window.values.values), features * steps)
        values = np.fromiter(window.values.values, dtype=np.float32, count=features * steps)
    check_finite(values, field=kind)
    return values.reshape(features, steps)


def check_schema(schema: str, config: ModelConfig, *, field: str) -> None:
    """Refuses another feature schema than the model's; an empty one is not checked.

    Raises:
        Refusal: FEATURE_SCHEMA_MISMATCH.
    """
    if schema and schema != config.feature_schema:
        raise Refusal(
            Reason.FEATURE_SCHEMA_MISMATCH,
            f"This model reads features of schema {config.feature_schema}; recompute them, or name another model.",
            field=field,
            metadata={"have": schema[:128], "need": config.feature_schema},
        )


def check_finite(values: FloatArray, *, field: str) -> None:
    """Refuses NaN and infinity.

    Raises:
        Refusal: NON_FINITE_VALUE, with the first offending index.
    """
    finite = np.isfinite(values)
    if not finite.all():
        raise Refusal(
            Reason.NON_FINITE_VALUE,
            f"{field} must hold finite numbers only.",
            field=field,
            metadata={"index": str(int(np.argmin(finite)))},
        )


def check_length(field: str, unit: str, have: int, need: int) -> None:
    """Refuses another number of values than the model reads.

    Raises:
        Refusal: INVALID_SHAPE.
    """
    if have != need:
        raise Refusal(
            Reason.INVALID_SHAPE,
            f"{field} must hold exactly {need} {unit} for this model.",
            field=field,
            metadata={"have": str(have), "need": str(need)},
        )
