"""The HTTP side of a replica: puts its routes together. Knows no replica; what it shows is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import APIRouter, FastAPI

from server.http.health_routes import HealthSource, health_router
from server.http.metrics_route import RenderMetrics, metrics_router
from server.http.problem import add_problem_handlers


def build_http_app(
    health: Callable[[], HealthSource | None],
    *,
    metrics: Callable[[], RenderMetrics | None] = lambda: None,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """Returns the ASGI application. Ray Serve asks for it before there is a replica, so everything is asked for late.

    Args:
        health: Returns who knows how the replica fares; None while there is none.
        metrics: Returns who writes the metrics; None where nobody does.
        routers: Further routes; each knows its own paths.
    """
    app = FastAPI(title="tickserve", docs_url=None, redoc_url=None, openapi_url=None)
    add_problem_handlers(app)
    for router in (health_router(health), metrics_router(metrics), *routers):
        app.include_router(router)
    return app
