"""The original design's endpoints, for callers who migrate: its paths, bodies and answers over the same scheduler.

Each stands for a method of the contract, so keys, limits, deadlines and figures are the same; errors are problems, as
everywhere, whose `detail` is a text as the original's was.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from fastapi import APIRouter
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from server.http.http_call import HttpCalls, Reader
from server.http.json_body import decoded
from server.http.original_messages import (
    BatchPredictionRequest,
    PredictionRequest,
    SinglePredictionRequest,
    result_of,
)
from server.http.original_stats import EngineTally, deployment_stats, optimized_stats
from server.refusal import Refusal
from server.rpc.errors import refusal_of
from tickserve.v1 import model_service_pb2, prediction_pb2, prediction_service_pb2

PREDICT, STATS = "/ray-serve/predict", "/ray-serve/stats"
SINGLE, BATCH = "/batch-optimized/predict/single", "/batch-optimized/predict/batch"
OPTIMIZED_STATS = "/batch-optimized/stats"
RIGHTS = {
    PREDICT: "Predict",
    SINGLE: "Predict",
    BATCH: "PredictBatch",
    STATS: "GetStatistics",
    OPTIMIZED_STATS: "GetStatistics",
}
S = TypeVar("S", PredictionRequest, SinglePredictionRequest)


def original_router(calls: HttpCalls, tally: EngineTally) -> APIRouter:
    """Returns the routes.

    Args:
        calls: Has the contract's methods answer.
        tally: Counts what the engine does.
    """
    router = APIRouter()

    async def predict(request: Request) -> Response:
        """The first document's gateway."""
        prediction, asked, _ = await _one(calls, request, PredictionRequest)
        result = result_of(prediction, asked)
        uncertainty = result["regression_uncertainty"]
        return JSONResponse(
            {
                "predictions": result,
                "processing_time_ms": result["processing_time_ms"],
                "uncertainty": None if uncertainty is None else {"regression_uncertainty": uncertainty},
            }
        )

    async def single(request: Request) -> Response:
        """The second document's, for one window."""
        prediction, asked, elapsed = await _one(calls, request, SinglePredictionRequest)
        result = result_of(prediction, asked) | {"batch_size": prediction.execution.batch_size}
        return JSONResponse({"result": result, "processing_time_ms": elapsed, "priority": asked.priority})

    async def batch(request: Request) -> Response:
        """The second document's, for several: answered as a whole or not at all, as it was."""
        began = calls.now()
        asked: list[BatchPredictionRequest] = []

        async def read(body: bytes) -> bytes:
            asked.append(decoded(body, BatchPredictionRequest, strict=False))
            return await asked[0].message()

        response = prediction_service_pb2.PredictBatchResponse()
        try:
            answer = await _answer(calls, request, "PredictBatch", read)
            response = cast("prediction_service_pb2.PredictBatchResponse", answer)
        except Refusal:
            # None at all was answered with none.
            if not asked or asked[0].requests:
                raise
        results: list[dict[str, Any]] = []
        for index, each in enumerate(response.results):
            if each.WhichOneof("result") == "error":
                raise _renamed(refusal_of(each.error), index)
            execution = each.prediction.execution
            results.append(result_of(each.prediction, asked[0]) | {"batch_size": execution.batch_size})
        elapsed = (calls.now() - began) * 1e3
        return JSONResponse(
            {
                "results": results,
                "total_processing_time_ms": elapsed,
                "average_latency_ms": elapsed / len(results) if results else 0,
                "batch_size": len(results),
                "optimization_used": asked[0].batch_optimized,
            }
        )

    async def stats(request: Request) -> Response:
        """The first document's figures, of this replica."""
        return JSONResponse(deployment_stats(tally, await _engine(calls, request)))

    async def statistics(request: Request) -> Response:
        """The second document's figures, of this replica."""
        answer = await calls.answer(request, "GetStatistics", b"")
        replica = cast("model_service_pb2.GetStatisticsResponse", answer).replicas[0]
        return JSONResponse(optimized_stats(replica, await _engine(calls, request), calls.source().settings))

    for path, route in ((PREDICT, predict), (SINGLE, single), (BATCH, batch)):
        router.add_route(path, route, methods=["POST"])
    for path, route in ((STATS, stats), (OPTIMIZED_STATS, statistics)):
        router.add_route(path, route, methods=["GET"])
    return router


async def _one(calls: HttpCalls, request: Request, kind: type[S]) -> tuple[prediction_pb2.Prediction, S, float]:
    """Returns the prediction for a body with one window, the body, and the milliseconds that it took."""
    began = calls.now()
    asked: list[S] = []

    async def read(body: bytes) -> bytes:
        asked.append(decoded(body, kind, strict=False))
        return asked[0].message()

    response = cast("prediction_service_pb2.PredictResponse", await _answer(calls, request, "Predict", read))
    return response.prediction, asked[0], (calls.now() - began) * 1e3


async def _answer(calls: HttpCalls, request: Request, name: str, read: Reader) -> Message:
    """Returns a method's answer; a refusal names the member of the original's body."""
    try:
        return await calls.answer(request, name, read)
    except Refusal as refusal:
        if not refusal.field.startswith("window"):
            raise
        raise _copy(refusal, "data") from None


async def _engine(calls: HttpCalls, request: Request) -> model_service_pb2.Engine:
    answer = await calls.answer(request, "GetModel", b"")
    return cast("model_service_pb2.GetModelResponse", answer).model.engine


def _renamed(refusal: Refusal, index: int) -> Refusal:
    """Returns an item's refusal as that of the whole body."""
    return _copy(refusal, f"requests[{index}]")


def _copy(refusal: Refusal, field: str) -> Refusal:
    return Refusal(
        refusal.reason, refusal.message, field=field, retry_delay=refusal.retry_delay, metadata=refusal.metadata
    )
