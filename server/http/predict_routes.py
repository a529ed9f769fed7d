"""`POST /v1/predict` and `POST /v1/predict:batch`: `Predict` and `PredictBatch` as JSON."""

from __future__ import annotations

from typing import cast

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from server.http.http_call import HttpCalls
from server.http.json_messages import batch_document, document_of, read_batch, read_predict
from tickserve.v1.prediction_service_pb2 import PredictBatchResponse

PREDICT, BATCH = "/v1/predict", "/v1/predict:batch"
RIGHTS = {PREDICT: "Predict", BATCH: "PredictBatch"}


def predict_router(calls: HttpCalls) -> APIRouter:
    """Returns the routes.

    Args:
        calls: Has the methods answer.
    """
    router = APIRouter()

    # Plain routes: FastAPI's own reading of a body would come before its size and kind are looked at.
    async def predict(request: Request) -> Response:
        """Answers one window."""
        return json_response(document_of(await calls.answer(request, "Predict", read_predict)))

    async def predict_batch(request: Request) -> Response:
        """Answers several windows, each with its own result."""
        response = cast("PredictBatchResponse", await calls.answer(request, "PredictBatch", read_batch))
        return json_response(await batch_document(response))

    router.add_route(PREDICT, predict, methods=["POST"])
    router.add_route(BATCH, predict_batch, methods=["POST"])
    return router


def json_response(document: object) -> Response:
    """Returns an answer that nobody keeps."""
    return Response(msgspec.json.encode(document), media_type="application/json", headers={"Cache-Control": "no-store"})
