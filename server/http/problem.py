"""Errors over HTTP as `application/problem+json` (RFC 9457): one form for all routes, whoever raised them.

Owns the form and the handlers that put exceptions into it; not which reasons there are. What an unexpected exception
says stays in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

PROBLEM_JSON = "application/problem+json"


class Problem(Exception):  # noqa: N818 - the RFC's word
    """Ends a request with a problem.

    Args:
        status: HTTP status code.
        detail: What is wrong this time, for whoever called.
        title: What is wrong in general; the status' own phrase where it is empty.
        members: Members of the body beside the standard ones, JSON values by name.
        headers: Headers of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        title: str = "",
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or title)
        self.status = status
        self.detail = detail
        self.title = title
        self.members = members or {}
        self.headers = headers

    def response(self) -> Response:
        """Returns it as an answer."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.title or HTTPStatus(self.status).phrase,
            "status": self.status,
        }
        if self.detail:
            body["detail"] = self.detail
        headers = {"Cache-Control": "no-store"} | dict(self.headers or {})
        return JSONResponse(body | dict(self.members), self.status, headers=headers, media_type=PROBLEM_JSON)


def add_problem_handlers(app: FastAPI) -> None:
    """Lets every error of an application leave as a problem: ours, the framework's own, and what nobody foresaw."""

    @app.exception_handler(Problem)
    async def ours(request: Request, problem: Problem) -> Response:
        del request
        return problem.response()

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        del request
        own_words = error.detail != HTTPStatus(error.status_code).phrase
        return Problem(error.status_code, error.detail if own_words else "", headers=error.headers).response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        del request
        # Where and what, but not the value: it may be large, or secret.
        fields = [{"field": ".".join(map(str, item["loc"])), "detail": item["msg"]} for item in error.errors()]
        return Problem(400, "The request is not as documented.", members={"fields": fields}).response()

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        del request, error  # the server logs it, with its traceback
        return Problem(500, "The request failed; the server's log says why.").response()
