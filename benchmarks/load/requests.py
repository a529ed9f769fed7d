"""Distinct requests at little cost: serialised once, then one number patched and what differs put around it.

A generator that builds each message anew would spend a good part of the two cores that it shares with the server.
Protobuf takes a message's fields in any order, so a request is its prefix (id), its body (everything constant, with the
window last) and, in tickserve's protocol, its suffix (what is left of its time).
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt
from google.protobuf.duration_pb2 import Duration
from tritonclient.grpc import service_pb2

from benchmarks.load.plan import Priority
from tickserve.v1 import prediction_pb2, prediction_service_pb2, priority_pb2, window_pb2

# Field numbers of PredictRequest and StreamPredictRequest, which agree; a test holds them to the contract.
_REQUEST_ID_TAG = b"\x0a"
_TIMEOUT_TAG = b"\x32"
# And of ModelInferRequest.
_INFER_ID_TAG = b"\x1a"
_INFER_RAW_TAG = b"\x3a"

# How far two windows made of the same base lie apart in the patched value: above float32's step for |value| < 8, and
# small enough that a hundred thousand of them stay in the range of real features.
_STEP = 1e-5

_PRIORITIES: dict[Priority, priority_pb2.Priority.ValueType] = {
    "real_time": priority_pb2.PRIORITY_REAL_TIME,
    "standard": priority_pb2.PRIORITY_STANDARD,
    "background": priority_pb2.PRIORITY_BACKGROUND,
}

Windows = npt.NDArray[np.float32]


class Factory(Protocol):
    """What the loops need of a maker of requests."""

    def make(self, number: int, *, request_id: str, timeout: float) -> bytes:
        """Returns the serialised request with the window of that number, which no other number has.

        Args:
            number: At least 0.
            request_id: At most 127 bytes.
            timeout: Seconds allowed from receipt, > 0.
        """

    def window_sha256(self, number: int) -> str:
        """Returns the hash of a window's values, as tickserve computes it."""


class _Bodies:
    """Serialised parts that end in a window's values, whose first is patched."""

    def __init__(self, bodies: Iterable[bytes], windows: Windows) -> None:
        self._bodies = [bytearray(body) for body in bodies]
        self._first_values = [float(window.flat[0]) for window in windows]
        self._value_bytes = 4 * int(np.prod(windows.shape[1:]))

    def patched(self, number: int) -> bytearray:
        """Returns the body of that number; it is valid until the next call."""
        base = number % len(self._bodies)
        body = self._bodies[base]
        value = self._first_values[base] + number // len(self._bodies) * _STEP
        struct.pack_into("<f", body, len(body) - self._value_bytes, value)
        return body

    def sha256(self, number: int) -> str:
        """Returns the hash of that number's window."""
        return hashlib.sha256(memoryview(self.patched(number))[-self._value_bytes :]).hexdigest()


class RequestFactory:
    """Makes the requests of one kind of traffic in tickserve's protocol.

    Args:
        windows: float32 [n, features, steps]; distinct.
        priority: Class that the requests name.
        feature_schema: Named in every request.
        version: Of the default model, named in every request; 0: none.
    """

    def __init__(self, windows: Windows, *, priority: Priority, feature_schema: str, version: int = 0) -> None:
        request = prediction_service_pb2.PredictRequest(
            priority=_PRIORITIES[priority], options=prediction_pb2.PredictOptions(bypass_cache=True)
        )
        if version:
            request.model.version = version
        common = request.SerializeToString()
        self._bodies = _Bodies((common + _window_field(window, feature_schema) for window in windows), windows)

    def make(self, number: int, *, request_id: str, timeout: float) -> bytes:
        """See `Factory`."""
        identity = request_id.encode()
        limit = Duration(seconds=int(timeout), nanos=int(timeout % 1 * 1e9)).SerializeToString()
        return b"".join(
            (
                *(_REQUEST_ID_TAG, bytes((len(identity),)), identity),
                self._bodies.patched(number),
                *(_TIMEOUT_TAG, bytes((len(limit),)), limit),
            )
        )

    def window_sha256(self, number: int) -> str:
        """See `Factory`."""
        return self._bodies.sha256(number)


class InferRequestFactory:
    """Makes the requests of one kind of traffic in the Open Inference Protocol.

    Args:
        windows: float32 [n, features, steps]; distinct.
        priority: Triton's level of it: 1 the most urgent.
        model: Name that the server knows.
        outputs: Names of what is asked for, in this order.
    """

    def __init__(self, windows: Windows, *, priority: Priority, model: str, outputs: Iterable[str]) -> None:
        features, steps = windows.shape[1:]
        request = service_pb2.ModelInferRequest(model_name=model)
        request.parameters["priority"].uint64_param = int(_PRIORITIES[priority])
        request.inputs.add(name="window", datatype="FP32", shape=[1, features, steps])
        for name in outputs:
            request.outputs.add(name=name)
        self._common = request.SerializeToString()
        self._bodies = _Bodies(
            (_INFER_RAW_TAG + _varint(window.nbytes) + window.astype("<f4").tobytes() for window in windows), windows
        )

    def make(self, number: int, *, request_id: str, timeout: float) -> bytes:
        """See `Factory`."""
        identity = request_id.encode()
        limit = service_pb2.ModelInferRequest()
        limit.parameters["timeout"].int64_param = max(1, int(1e6 * timeout))
        return b"".join(
            (
                self._common,
                limit.SerializeToString(),
                *(_INFER_ID_TAG, bytes((len(identity),)), identity),
                self._bodies.patched(number),
            )
        )

    def window_sha256(self, number: int) -> str:
        """See `Factory`."""
        return self._bodies.sha256(number)


def _window_field(window: Windows, feature_schema: str) -> bytes:
    """Returns the field `window`, whose values come last: at a known distance from the end."""
    shaped = window_pb2.Window(
        feature_schema=feature_schema, feature_count=window.shape[0], time_steps=window.shape[1]
    ).SerializeToString()
    inner = shaped + window_pb2.Window(raw_float32=window.astype("<f4").tobytes()).SerializeToString()
    return b"\x1a" + _varint(len(inner)) + inner


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
