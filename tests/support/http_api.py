"""The HTTP API in process: a replica behind the ASGI application, as Ray Serve has it, and requests to it."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from model.feature_schema import FEATURE_COUNT
from server.http.api import API_RIGHTS, api_routers
from server.http.http_app import build_http_app
from server.http.http_call import ApiSource
from server.http.original_stats import EngineTally
from server.observation.sampler import Sampler
from server.security.authorizer import Authorizer
from tests.support import messages as m
from tests.support.http_calls import NO_HEADERS, Reply, fetch
from tests.support.registry import real_windows

JSON = {"content-type": "application/json"}


def api_app(
    source: ApiSource | None,
    *,
    tally: EngineTally | None = None,
    sampler: Sampler | None = None,
    authorizer: Authorizer | None = None,
) -> FastAPI:
    """Returns the HTTP side with the API's routes."""
    routers = api_routers(lambda: source, sampler=sampler or Sampler(), tally=tally or EngineTally())
    return build_http_app(lambda: None, routers=routers, authorizer=authorizer, rights=API_RIGHTS)


async def post(app: FastAPI, path: str, body: object, headers: Mapping[str, str] = NO_HEADERS) -> Reply:
    """Returns what a body is answered, JSON unless it is bytes already."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await fetch(app, path, method="POST", headers={**JSON, **headers}, body=data)


def window(index: int = 0, **fields: Any) -> dict[str, Any]:
    """Returns a window of the real bars as the mapping has it, its numbers written out."""
    numbers = [float(value) for value in real_windows()[index].ravel()]
    given = {"featureCount": FEATURE_COUNT, "timeSteps": m.STEPS, "values": {"values": numbers}} | fields
    return {name: value for name, value in given.items() if value is not None}


def nested(index: int = 0) -> list[list[float]]:
    """Returns a window of the real bars as the original design's callers send it."""
    rows: list[list[float]] = real_windows()[index].tolist()
    return rows
