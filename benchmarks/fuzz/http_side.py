"""The HTTP side as an ASGI server would call it, with requests that no client library would send; and its law.

Whatever is asked, the application raises nothing and answers: below 500, or 503 where the replica says how it fares;
errors are `application/problem+json`. What is behind the door is only seen by who shows the key.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp

from benchmarks.fuzz.laws import LawBrokenError
from server.http.console_routes import console_router
from server.http.http_app import build_http_app
from server.http.key_middleware import OPEN_PATHS
from server.http.problem import PROBLEM_JSON
from server.security.authorizer import Authorizer

Headers = Sequence[tuple[bytes, bytes]]
PATHS = (
    "/livez",
    "/readyz",
    "/healthz",
    "/health",
    "/metrics",
    "/",
    "/console/events",
    "/console/console.js",
    "/nowhere",
)


def http_app(authorizer: Authorizer) -> ASGIApp:
    """Returns the HTTP side of a replica that has not come up; so no event stream runs for ever."""
    return build_http_app(lambda: None, routers=[console_router(lambda: None)], authorizer=authorizer)


async def check_request(
    app: ASGIApp, *, method: str, path: str, query: bytes, headers: Headers, body: bytes, token: str
) -> int:
    """Makes one request and returns its status.

    Args:
        app: The application.
        method: Of HTTP, any text.
        path: As a server hands it over, unquoted.
        query: Behind the question mark.
        headers: Lower-case names.
        body: Of the request.
        token: The only key; who does not show it must not come in.

    Raises:
        LawBrokenError: See above.
    """
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(errors="surrogatepass"),
        "query_string": query,
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await asyncio.create_task(app(scope, receive, send))  # type: ignore[arg-type]  # any awaitable, says Starlette
    status, given = int(sent[0]["status"]), dict(sent[0]["headers"])
    if status >= 500 and status != 503:
        raise LawBrokenError(f"{status} for {method} {path!r}")
    if status >= 400 and status != 503 and method != "HEAD":
        said = json.loads(b"".join(part.get("body", b"") for part in sent))
        if given[b"content-type"] != PROBLEM_JSON.encode() or said["status"] != status:
            raise LawBrokenError(f"{status} for {method} {path!r} is no problem: {said}")
    if status < 400 and path not in OPEN_PATHS and not shows(headers, token):
        raise LawBrokenError(f"{status} for {method} {path!r} without a key")
    return status


def shows(headers: Headers, token: str) -> bool:
    """Tells whether a request shows the key, in whichever of the ways there are; generous in what it takes for one."""
    values = [value for _, value in headers]
    for value in list(values):
        try:
            values.append(base64.b64decode(value.partition(b" ")[2]))
        except ValueError:
            continue
    return any(token.encode() in value for value in values)
