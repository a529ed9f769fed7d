"""The deployment that a user of stock Ray Serve would write after its documentation: `@serve.batch` around the model.

It reads and writes tickserve's messages, so that all servers parse and write the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from ray import serve

from benchmarks.peers.answer import Windows
from benchmarks.peers.scripted_model import ScriptedModel, window_of
from tickserve.v1 import prediction_pb2
from tickserve.v1.prediction_service_pb2 import (
    PredictRequest,
    PredictResponse,
    StreamPredictRequest,
    StreamPredictResponse,
)

if TYPE_CHECKING:
    from ray.serve.grpc_util import gRPCInputStream

_MAX_BATCH_SIZE = 64
_BATCH_WAIT = 0.01


class StockPredictor:
    """One replica.

    Args:
        script: TorchScript file.
        model: Name, version and hash that answers carry.
        threads: Of one engine call.
        shape: Features and steps of a window.
    """

    def __init__(self, *, script: str, model: tuple[str, int, str], threads: int, shape: tuple[int, int]) -> None:
        self._model = ScriptedModel(script, model=model, threads=threads, shape=shape)

    async def Predict(self, request: PredictRequest) -> PredictResponse:  # noqa: N802 - the contract's name
        """Serves `PredictionService/Predict`."""
        prediction: prediction_pb2.Prediction = await self._predict(window_of(request.window))
        return PredictResponse(request_id=request.request_id, prediction=prediction)

    async def StreamPredict(  # noqa: N802 - the contract's name
        self, requests: gRPCInputStream
    ) -> AsyncGenerator[StreamPredictResponse, None]:
        """Serves `PredictionService/StreamPredict`: each message as soon as it is answered."""
        answers: asyncio.Queue[StreamPredictResponse | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(requests, answers))
        try:
            while (answer := await answers.get()) is not None:
                yield answer
        finally:
            reading.cancel()

    async def _read(self, requests: gRPCInputStream, answers: asyncio.Queue[StreamPredictResponse | None]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                async for request in requests:
                    group.create_task(self._answer(request, answers))
        finally:
            answers.put_nowait(None)

    async def _answer(
        self, request: StreamPredictRequest, answers: asyncio.Queue[StreamPredictResponse | None]
    ) -> None:
        prediction: prediction_pb2.Prediction = await self._predict(window_of(request.window))
        answers.put_nowait(StreamPredictResponse(request_id=request.request_id, prediction=prediction))

    @serve.batch(max_batch_size=_MAX_BATCH_SIZE, batch_wait_timeout_s=_BATCH_WAIT)  # type: ignore[untyped-decorator]  # ray's
    async def _predict(self, windows: list[Windows]) -> list[prediction_pb2.Prediction]:
        return self._model.predict(windows)
