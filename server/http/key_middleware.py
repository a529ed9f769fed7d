"""The door of the HTTP side: whoever may not call is answered before any route is looked for.

Wraps the whole application, so that a route which nobody thought of is closed, too. Owns which paths are open; the
decision is the authorizer's, the same as for gRPC.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.problem import Problem
from server.refusal import Refusal
from server.security.authorizer import Authorizer
from server.security.http_key import READING, challenge_of, metadata_of, status_of

OPEN_PATHS = frozenset({"/livez", "/readyz", "/healthz"})
"""Probes have no keys. `/health` is not among them: it has the engine compute something."""

ADMISSION = "tickserve.admission"
"""Names who was let in, in the scope of his request."""

_NO_RIGHTS: Mapping[str, str] = {}


class KeyMiddleware:
    """Lets HTTP requests in.

    Args:
        app: The application behind it.
        authorizer: Decides.
        rights: Method of the contract whose right opens a path; for every other path it is that of what is read.
    """

    def __init__(self, app: ASGIApp, *, authorizer: Authorizer, rights: Mapping[str, str] = _NO_RIGHTS) -> None:
        self._app = app
        self._authorizer = authorizer
        self._rights = rights

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request, or says why not."""
        match scope["type"]:
            case "lifespan":
                await self._app(scope, receive, send)
            case "http":
                await self._serve(scope, receive, send)
            case "websocket":
                # There are none; were there one, it would have to be let in like a request.
                await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in OPEN_PATHS:
            headers = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
            try:
                right = self._rights.get(scope["path"], READING)
                scope[ADMISSION] = self._authorizer.admit(right, metadata_of(headers, method=scope["method"]))
            except Refusal as refusal:
                await _problem(refusal).response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _problem(refusal: Refusal) -> Problem:
    return Problem(
        status_of(refusal.reason),
        refusal.message,
        members={"reason": refusal.reason.name},
        headers=challenge_of(refusal.reason),
    )
