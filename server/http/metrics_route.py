"""`/metrics` on the HTTP port: what Prometheus reads, for one node without a scrape port of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fastapi import APIRouter, Response

from server.http.problem import Problem

RenderMetrics = Callable[[], tuple[bytes, str]]
"""Returns the metrics as text and its content type; may take long, and is called in a thread."""


def metrics_router(render: Callable[[], RenderMetrics | None]) -> APIRouter:
    """Returns the route `/metrics`.

    Args:
        render: Returns who writes the metrics; None where nobody does.
    """
    router = APIRouter()

    @router.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        """All metrics of this node's replicas."""
        write = render()
        if write is None:
            raise Problem(404, "This replica writes no metrics; they are switched off, or it is starting.")
        # It reads files, and others wait for this loop.
        text, content_type = await asyncio.to_thread(write)
        return Response(text, headers={"Content-Type": content_type, "Cache-Control": "no-store"})

    return router
