"""Laws of reading messages: what is valid is read exactly, what is not is refused with its path, reason and figures.

Each refusal of a window and a request is also told over a socket: `tests.support.bad_input`. For ticks see
`test_decode_ticks`.
"""

import struct
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from batching import PriorityClass
from server.refusal import Reason, Refusal
from server.rpc.decode import (
    parse,
    read_priority,
    read_request_id,
    read_span,
    read_time,
    read_window,
)
from tests.support import messages as m
from tests.support.registry import make_config, real_windows
from tickserve.v1 import tick_pb2
from tickserve.v1.prediction_service_pb2 import PredictRequest
from tickserve.v1.window_pb2 import FloatValues

SMALLEST = 1.401298464324817e-45  # the least denormal float32
LARGEST = 3.4028234663852886e38


@pytest.fixture(scope="module", autouse=True)
def _data() -> None:
    """Reads the bar file before any test."""
    real_windows()


def refusal_of(function: Any, *arguments: Any, **options: Any) -> Refusal:
    """Returns how a call is refused."""
    with pytest.raises(Refusal) as caught:
        function(*arguments, **options)
    return caught.value


@pytest.mark.parametrize("value", [-0.0, SMALLEST, -SMALLEST, LARGEST, -LARGEST, 1 / 3])
@pytest.mark.parametrize("form", ["raw_float32", "values"])
def test_a_windows_values_are_read_to_the_bit(value: float, form: str) -> None:
    """Negative zero, denormals and the largest numbers arrive as they were sent, in both forms, in their place."""
    raw = m.floats(at=61, value=value)
    window = m.spoilt_window(raw_float32=raw)
    if form == "values":
        window = m.spoilt_window(raw_float32=None, values=FloatValues(values=struct.unpack("<3000f", raw)))
    values = read_window(window, make_config())
    assert values.shape == (50, 60)
    assert values.dtype == np.float32
    assert values.tobytes() == raw
    assert values[1, 1] == np.float32(value)


def test_a_window_without_schema_is_not_checked() -> None:
    """An empty schema is taken at its word."""
    assert read_window(m.window(schema=""), make_config()).shape == (50, 60)


def test_a_hostile_schema_is_not_echoed_whole() -> None:
    """What a refusal repeats is bounded: it must fit in a trailer."""
    refusal = refusal_of(read_window, m.window(schema="x" * 100_000), make_config())
    assert refusal.reason is Reason.FEATURE_SCHEMA_MISMATCH
    assert len(str(refusal.metadata)) < 1000


@pytest.mark.parametrize(
    ("number", "priority"),
    [(0, PriorityClass.STANDARD), (1, PriorityClass.REAL_TIME), (2, PriorityClass.STANDARD),
     (3, PriorityClass.BACKGROUND)],
)  # fmt: skip
def test_priorities_are_the_contracts(number: int, priority: PriorityClass) -> None:
    """Zero is standard."""
    assert read_priority(number) is priority


@pytest.mark.parametrize("number", [-1, 4, 2**31 - 1, -(2**31)])
def test_a_foreign_priority_is_refused(number: int) -> None:
    """Protobuf lets any number through; we do not."""
    refusal = refusal_of(read_priority, number)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_PRIORITY, "priority")
    assert refusal.metadata == {"priority": str(number)}


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"),
    [(0, 1, 1e-9), (1, 500_000_000, 1.5), (0, 999_999_999, 0.999999999), (315_576_000_000, 0, 315_576_000_000.0)],
)
def test_valid_durations_are_read(seconds: int, nanos: int, expected: float) -> None:
    """From a nanosecond to ten thousand years."""
    assert read_span(PredictRequest(timeout=m.duration(seconds, nanos)), "timeout") == expected


@pytest.mark.parametrize(
    ("seconds", "nanos"),
    [(0, 0), (-1, 0), (0, -1), (1, -1), (-1, 1), (1, 10**9), (315_576_000_001, 0), (2**63 - 1, 0), (-(2**63), 0),
     (0, 2**31 - 1), (0, -(2**31))],
)  # fmt: skip
@pytest.mark.parametrize("field", ["timeout", "max_age"])
def test_other_durations_are_refused(seconds: int, nanos: int, field: str) -> None:
    """Zero, negative, of mixed sign, or out of the type's range: INVALID_TIMEOUT with what was sent."""
    request = PredictRequest()
    getattr(request, field).CopyFrom(m.duration(seconds, nanos))
    refusal = refusal_of(read_span, request, field)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TIMEOUT, field)
    assert refusal.metadata == {"seconds": str(seconds), "nanos": str(nanos)}


def test_what_is_not_set_is_none() -> None:
    """An absent duration or time differs from zero."""
    assert read_span(PredictRequest(), "timeout") is None
    assert read_time(tick_pb2.Tick(), "event_time", reason=Reason.INVALID_TICK) is None


@pytest.mark.parametrize(
    ("seconds", "nanos", "expected"),
    [(0, 0, 0.0), (-1, 500_000_000, -0.5), (1_600_000_000, 250_000_000, 1_600_000_000.25),
     (-62_135_596_800, 0, -62_135_596_800.0), (253_402_300_799, 0, 253_402_300_799.0)],
)  # fmt: skip
def test_valid_times_are_read(seconds: int, nanos: int, expected: float) -> None:
    """From the year 1 to the year 9999, before 1970 as after."""
    tick = tick_pb2.Tick(event_time=Timestamp(seconds=seconds, nanos=nanos))
    assert read_time(tick, "event_time", reason=Reason.INVALID_TICK) == expected


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(-62_135_596_801, 0), (253_402_300_800, 0), (0, -1), (0, 10**9), (2**63 - 1, 0)]
)
def test_other_times_are_refused(seconds: int, nanos: int) -> None:
    """Out of the type's range means a broken message, with the reason the caller chose."""
    tick = tick_pb2.Tick(event_time=Timestamp(seconds=seconds, nanos=nanos))
    refusal = refusal_of(read_time, tick, "event_time", reason=Reason.INVALID_TICK)
    assert (refusal.reason, refusal.field) == (Reason.INVALID_TICK, "event_time")


@pytest.mark.parametrize("length", [0, 1, 128])
def test_request_ids_up_to_128_characters_pass(length: int) -> None:
    """Characters are counted, not bytes."""
    assert read_request_id("\u00e9" * length) == "\u00e9" * length


def test_the_size_limit_is_inclusive() -> None:
    """A message of just the limit is read, one byte more is not, and both figures are told."""
    data = PredictRequest(request_id="x" * 100).SerializeToString()
    assert parse(PredictRequest, data, max_bytes=len(data)).request_id == "x" * 100
    refusal = refusal_of(parse, PredictRequest, data, max_bytes=len(data) - 1)
    assert (refusal.reason, refusal.metadata) == (Reason.LIMIT_EXCEEDED, {"limit": "101", "size": "102"})


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\xff", b"\x0a\x02\xff\xff", b"\x0b", b"\x1a\x05\x08"])
def test_garbage_is_malformed(data: bytes) -> None:
    """Broken tags, lengths and text alike."""
    assert refusal_of(parse, PredictRequest, data, max_bytes=100).reason is Reason.MALFORMED_MESSAGE


def test_unknown_fields_are_ignored() -> None:
    """A newer client's message is read by this server."""
    data = m.predict().SerializeToString() + b"\xfa\x3e\x03new"
    assert parse(PredictRequest, data, max_bytes=100_000).request_id == "r"
