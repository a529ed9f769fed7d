"""Distinct requests at little cost: serialised once, then one number patched and one duration appended.

A generator that builds each message anew would spend a good part of the two cores that it shares with the server.
Protobuf takes a message's fields in any order, so a request is its prefix (id), its body (everything constant, with the
window) and its suffix (what is left of its time).
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import numpy.typing as npt
from google.protobuf.duration_pb2 import Duration

from benchmarks.load.plan import Priority
from tickserve.v1 import prediction_pb2, prediction_service_pb2, priority_pb2, window_pb2

# Field numbers of PredictRequest and StreamPredictRequest, which agree; a test holds them to the contract.
_REQUEST_ID_TAG = b"\x0a"
_TIMEOUT_TAG = b"\x32"

# How far two windows made of the same base lie apart in the patched value: above float32's step for |value| < 8, and
# small enough that a hundred thousand of them stay in the range of real features.
_STEP = 1e-5

_PRIORITIES: dict[Priority, priority_pb2.Priority.ValueType] = {
    "real_time": priority_pb2.PRIORITY_REAL_TIME,
    "standard": priority_pb2.PRIORITY_STANDARD,
    "background": priority_pb2.PRIORITY_BACKGROUND,
}


class RequestFactory:
    """Makes the requests of one kind of traffic.

    Args:
        windows: float32 [n, features, steps]; distinct.
        priority: Class that the requests name.
        feature_schema: Named in every request.
    """

    def __init__(self, windows: npt.NDArray[np.float32], *, priority: Priority, feature_schema: str) -> None:
        self._bodies: list[bytearray] = []
        self._first_values: list[float] = [float(window.flat[0]) for window in windows]
        for window in windows:
            message = prediction_service_pb2.PredictRequest(
                priority=_PRIORITIES[priority],
                options=prediction_pb2.PredictOptions(bypass_cache=True),
            ).SerializeToString()
            # The window goes last, and its values last within it: at a known distance from the end.
            shaped = window_pb2.Window(
                feature_schema=feature_schema, feature_count=window.shape[0], time_steps=window.shape[1]
            ).SerializeToString()
            values = window_pb2.Window(raw_float32=window.astype("<f4").tobytes()).SerializeToString()
            inner = shaped + values
            self._bodies.append(bytearray(message + b"\x1a" + _varint(len(inner)) + inner))
        self._value_bytes = 4 * int(np.prod(windows.shape[1:]))

    def make(self, number: int, *, request_id: str, timeout: float) -> bytes:
        """Returns the serialised request with the window of that number, which no other number has.

        Args:
            number: At least 0.
            request_id: At most 127 bytes.
            timeout: Seconds allowed from receipt, > 0.
        """
        body = self._patched(number)
        identity = request_id.encode()
        limit = Duration(seconds=int(timeout), nanos=int(timeout % 1 * 1e9)).SerializeToString()
        return b"".join(
            (_REQUEST_ID_TAG, bytes((len(identity),)), identity, body, _TIMEOUT_TAG, bytes((len(limit),)), limit)
        )

    def window_sha256(self, number: int) -> str:
        """Returns the hash of a window's values, as the server computes it."""
        return hashlib.sha256(memoryview(self._patched(number))[-self._value_bytes :]).hexdigest()

    def _patched(self, number: int) -> bytearray:
        base = number % len(self._bodies)
        body = self._bodies[base]
        value = self._first_values[base] + number // len(self._bodies) * _STEP
        struct.pack_into("<f", body, len(body) - self._value_bytes, value)
        return body


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
