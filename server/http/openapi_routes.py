"""`/openapi.json` and the page that shows it, `/docs`: Swagger UI out of a package, for there may be no internet.

Its files are read when this module is imported, for that happens outside of any event loop.
"""

from __future__ import annotations

import importlib.metadata
from importlib import resources

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from server.http.console_page import PARTS, Part
from server.http.openapi import build_document
from server.http.problem import Problem

DOCUMENT, PAGE = "/openapi.json", "/docs"
_HEADERS = {
    # Swagger UI sets styles in its elements and has its icons in its style sheet; scripts are ours or the package's.
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>tickserve: HTTP API</title>
<link rel="icon" href="/docs/icon.svg">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="page"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
# No validator badge: it would tell another site of this document.
_START = """SwaggerUIBundle({ url: "/openapi.json", dom_id: "#page", validatorUrl: null, deepLinking: true });
"""


def _read_parts() -> dict[str, Part]:
    folder = resources.files("fastapi_swagger").joinpath("resources")
    names = ("swagger-ui-bundle.js", "swagger-ui.css")
    parts = {name: Part(name, folder.joinpath(name).read_bytes()) for name in names}
    return parts | {"start.js": Part("start.js", _START.encode()), "icon.svg": PARTS["icon.svg"]}


_PARTS = _read_parts()
_DOCUMENT = msgspec.json.encode(build_document(importlib.metadata.version("tickserve-server")))


def openapi_router() -> APIRouter:
    """Returns the routes."""
    router = APIRouter()

    async def document(request: Request) -> Response:
        """The document."""
        del request
        return Response(_DOCUMENT, media_type="application/json", headers={"Cache-Control": "no-cache"})

    async def page(request: Request) -> Response:
        """The page."""
        del request
        return Response(_HTML, media_type="text/html", headers=_HEADERS)

    async def part(request: Request) -> Response:
        """A file of the page."""
        found = _PARTS.get(request.path_params["name"])
        if found is None:
            raise Problem(404)
        return found.answer(request)

    router.add_route(DOCUMENT, document, methods=["GET"])
    router.add_route(PAGE, page, methods=["GET"])
    router.add_route(f"{PAGE}/{{name}}", part, methods=["GET"])
    return router
