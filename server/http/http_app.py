"""The HTTP side of a replica: puts its routes together. Knows no replica; what it shows is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import APIRouter, FastAPI

from server.http.health_routes import HealthSource, health_router
from server.http.key_middleware import KeyMiddleware
from server.http.metrics_route import RenderMetrics, metrics_router
from server.http.problem import add_problem_handlers
from server.security.authorizer import Authorizer


def build_http_app(
    health: Callable[[], HealthSource | None],
    *,
    metrics: Callable[[], RenderMetrics | None] = lambda: None,
    routers: Sequence[APIRouter] = (),
    authorizer: Authorizer | None = None,
) -> FastAPI:
    """Returns the ASGI application. Ray Serve asks for it before there is a replica, so everything is asked for late.

    Args:
        health: Returns who knows how the replica fares; None while there is none.
        metrics: Returns who writes the metrics; None where nobody does.
        routers: Further routes; each knows its own paths.
        authorizer: Lets requests in; None: all may come, which is for tests of the routes.
    """
    app = FastAPI(title="tickserve", docs_url=None, redoc_url=None, openapi_url=None)
    add_problem_handlers(app)
    if authorizer is not None:
        app.add_middleware(KeyMiddleware, authorizer=authorizer)
    for router in (health_router(health), metrics_router(metrics), *routers):
        app.include_router(router)
    return app
