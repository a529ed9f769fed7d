"""The engine called where the request is handled: no queue, no batch, no thread; the least that serves at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc

from benchmarks.peers.scripted_model import ScriptedModel, window_of
from tickserve.v1.prediction_service_pb2 import (
    PredictRequest,
    PredictResponse,
    StreamPredictRequest,
    StreamPredictResponse,
)


class InlinePredictor:
    """Answers one window after the other.

    Args:
        script: TorchScript file.
        model: Name, version and hash that answers carry.
        threads: Of one engine call.
        shape: Features and steps of a window.
    """

    def __init__(self, script: str, *, model: tuple[str, int, str], threads: int, shape: tuple[int, int]) -> None:
        self._model = ScriptedModel(script, model=model, threads=threads, shape=shape)

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Returns the methods by name."""
        return {
            "Predict": grpc.unary_unary_rpc_method_handler(
                self._unary, PredictRequest.FromString, PredictResponse.SerializeToString
            ),
            "StreamPredict": grpc.stream_stream_rpc_method_handler(
                self._streamed, StreamPredictRequest.FromString, StreamPredictResponse.SerializeToString
            ),
        }

    async def _unary(self, request: PredictRequest, context: object) -> PredictResponse:
        del context
        [prediction] = self._model.predict([window_of(request.window)])
        return PredictResponse(request_id=request.request_id, prediction=prediction)

    async def _streamed(
        self, requests: AsyncIterator[StreamPredictRequest], context: object
    ) -> AsyncIterator[StreamPredictResponse]:
        del context
        async for request in requests:
            [prediction] = self._model.predict([window_of(request.window)])
            yield StreamPredictResponse(request_id=request.request_id, prediction=prediction)
