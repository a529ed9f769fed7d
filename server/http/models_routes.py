"""`GET /v1/models` and `GET /v1/stats`: `ListModels` and `GetStatistics` as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from server.http.http_call import HttpCalls
from server.http.json_messages import document_of, read_query
from server.http.predict_routes import json_response
from server.refusal import Reason, Refusal
from tickserve.v1.model_service_pb2 import GetStatisticsRequest, ListModelsRequest

MODELS, STATS = "/v1/models", "/v1/stats"
RIGHTS = {MODELS: "ListModels", STATS: "GetStatistics"}
_TRUTHS = {"true": True, "false": False}


def models_router(calls: HttpCalls) -> APIRouter:
    """Returns the routes.

    Args:
        calls: Has the methods answer.
    """
    router = APIRouter()

    async def models(request: Request) -> Response:
        """Lists the versions of all models."""
        query = _chosen(request, ("pageSize", "pageToken"))
        return json_response(document_of(await calls.answer(request, "ListModels", _read(ListModelsRequest(), query))))

    async def stats(request: Request) -> Response:
        """Tells how the replicas fare."""
        query: dict[str, Any] = _chosen(request, ("deepCheck",))
        if "deepCheck" in query:
            query["deepCheck"] = _TRUTHS.get(query["deepCheck"], query["deepCheck"])
        response = await calls.answer(request, "GetStatistics", _read(GetStatisticsRequest(), query))
        return json_response(document_of(response))

    router.add_route(MODELS, models, methods=["GET"])
    router.add_route(STATS, stats, methods=["GET"])
    return router


def _chosen(request: Request, names: tuple[str, ...]) -> dict[str, Any]:
    """Returns the known parameters of a query; a parameter that nobody knows is no reason to refuse one."""
    return {name: request.query_params[name] for name in names if name in request.query_params}


def _read(message: Message, query: Mapping[str, Any]) -> bytes | Refusal:
    try:
        return read_query(message, dict(query))
    except Refusal as refusal:
        return Refusal(Reason.MALFORMED_MESSAGE, f"The query cannot be read: {refusal.message}")
