"""The HTTP API put together: its routes, and the method of the contract whose right opens each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from fastapi import APIRouter

from server.http import models_routes, original_routes, predict_routes
from server.http.http_call import ApiSource, HttpCalls
from server.http.models_routes import models_router
from server.http.openapi_routes import openapi_router
from server.http.original_routes import original_router
from server.http.original_stats import EngineTally
from server.http.predict_routes import predict_router
from server.observation.sampler import Sampler

API_RIGHTS: Mapping[str, str] = predict_routes.RIGHTS | models_routes.RIGHTS | original_routes.RIGHTS
"""Short name of the method by path; what is not here tells what `GetStatistics` tells, or less."""


def api_routers(source: Callable[[], ApiSource | None], *, sampler: Sampler, tally: EngineTally) -> list[APIRouter]:
    """Returns the routes.

    Args:
        source: Returns what answers; None while the replica has not come up.
        sampler: Places calls in traces.
        tally: Counts what the engine does, for the original design's figures.
    """
    calls = HttpCalls(source, sampler=sampler)
    return [predict_router(calls), models_router(calls), original_router(calls, tally), openapi_router()]
