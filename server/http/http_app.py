"""The HTTP side of a replica: puts its routes together. Knows no replica; what it shows is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fastapi import APIRouter, FastAPI, Request, Response

from server.http.health_routes import HealthSource, health_router
from server.http.key_middleware import KeyMiddleware
from server.http.metrics_route import RenderMetrics, metrics_router
from server.http.problem import add_problem_handlers
from server.http.refusal_problem import problem_of
from server.refusal import Refusal
from server.security.authorizer import Authorizer

_NO_RIGHTS: Mapping[str, str] = {}


def build_http_app(
    health: Callable[[], HealthSource | None],
    *,
    metrics: Callable[[], RenderMetrics | None] = lambda: None,
    routers: Sequence[APIRouter] = (),
    authorizer: Authorizer | None = None,
    rights: Mapping[str, str] = _NO_RIGHTS,
) -> FastAPI:
    """Returns the ASGI application. Ray Serve asks for it before there is a replica, so everything is asked for late.

    Args:
        health: Returns who knows how the replica fares; None while there is none.
        metrics: Returns who writes the metrics; None where nobody does.
        routers: Further routes; each knows its own paths.
        authorizer: Lets requests in; None: all may come, which is for tests of the routes.
        rights: Method of the contract whose right opens a path, where it is not that of what is read.
    """
    # No redirect to the path without a slash: it reads the query as text, and a query may be any bytes.
    app = FastAPI(title="tickserve", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    add_problem_handlers(app)
    app.add_exception_handler(Refusal, _refused)
    if authorizer is not None:
        app.add_middleware(KeyMiddleware, authorizer=authorizer, rights=rights)
    for router in (health_router(health), metrics_router(metrics), *routers):
        app.include_router(router)
    return app


async def _refused(request: Request, refusal: Exception) -> Response:
    del request
    assert isinstance(refusal, Refusal)
    return problem_of(refusal).response()
