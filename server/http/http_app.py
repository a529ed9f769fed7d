"""The HTTP side of a replica: health for load balancers and people without gRPC at hand."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Response


def build_http_app(is_serving: Callable[[], bool]) -> FastAPI:
    """Returns the ASGI application.

    Args:
        is_serving: Tells whether the replica answers predictions.
    """
    app = FastAPI(title="tickserve", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz(response: Response) -> dict[str, str]:
        """200 while the replica answers predictions, 503 otherwise."""
        serving = is_serving()
        response.status_code = 200 if serving else 503
        return {"status": "SERVING" if serving else "NOT_SERVING"}

    return app
