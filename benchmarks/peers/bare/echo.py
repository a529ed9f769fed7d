"""The floor under every server: one constant answer of the usual size with the request's id, bytes in and bytes out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np

from benchmarks.peers.answer import prediction_of
from tickserve.v1 import prediction_pb2
from tickserve.v1.prediction_service_pb2 import PredictResponse

SERVICE = "tickserve.v1.PredictionService"
"""What peers register their methods under."""

_ID_TAG = 0x0A


class Echo:
    """Serves `Predict` and `StreamPredict`, whose answers are alike on the wire.

    Args:
        model: Name, version and hash that answers carry.
    """

    def __init__(self, model: tuple[str, int, str]) -> None:
        name, version, sha256 = model
        probabilities, pair = np.full(3, 1 / 3, np.float32), np.full(2, 1e-4, np.float32)
        row = [probabilities, pair, pair, probabilities, pair, pair, np.full(5, 0.2, np.float32)]
        named = prediction_pb2.ModelVersion(name=name, version=version, sha256=sha256)
        self._answer = PredictResponse(prediction=prediction_of(row, named)).SerializeToString()

    def answer(self, request: bytes) -> bytes:
        """Returns a request's answer."""
        return _identity(request) + self._answer

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Returns the methods by name; they take bytes and give bytes."""
        return {
            "Predict": grpc.unary_unary_rpc_method_handler(self._unary),
            "StreamPredict": grpc.stream_stream_rpc_method_handler(self._streamed),
        }

    async def _unary(self, request: bytes, context: object) -> bytes:
        del context
        return self.answer(request)

    async def _streamed(self, requests: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        del context
        async for request in requests:
            yield self.answer(request)


def _identity(request: bytes) -> bytes:
    """Returns the request's id as a field, which is the same in question and answer; the generator writes it first."""
    if not request or request[0] != _ID_TAG:
        return b""
    return request[: 2 + request[1]]
