"""Laws of the HTTP side as a whole: nothing is served that nobody put there, and every error has one form."""

import pytest
from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from server.http.http_app import build_http_app
from server.http.problem import PROBLEM_JSON, Problem
from tests.support.http_calls import fetch


def failing_routes() -> APIRouter:
    """Routes that fail in every way."""
    router = APIRouter()

    @router.get("/ours")
    async def ours() -> None:
        raise Problem(429, "Later.", title="Too much", members={"reason": "QUEUE_FULL"}, headers={"Retry-After": "1"})

    @router.get("/unforeseen")
    async def unforeseen() -> None:
        raise RuntimeError("password=hunter2")

    @router.get("/typed")
    async def typed(count: int) -> int:
        return count

    @router.get("/plain")
    async def plain() -> PlainTextResponse:
        return PlainTextResponse("plain")

    return router


APP = build_http_app(lambda: None, routers=[failing_routes()])


@pytest.mark.parametrize("path", ["/", "/docs", "/redoc", "/openapi.json", "/healthz/x"])
async def test_nothing_else_is_served(path: str) -> None:
    """No page invites to look around; what is not there is a problem like any other."""
    reply = await fetch(APP, path)
    assert (reply.status, reply.headers["content-type"]) == (404, PROBLEM_JSON)
    assert reply.json == {"type": "about:blank", "title": "Not Found", "status": 404}


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/health", "/metrics"])
async def test_what_is_read_takes_no_posts(path: str) -> None:
    """And says what it takes."""
    reply = await fetch(APP, path, method="POST")
    assert (reply.status, reply.headers["content-type"]) == (405, PROBLEM_JSON)
    assert "GET" in reply.headers["allow"]


async def test_our_problems_keep_their_members_and_headers() -> None:
    """What a route raises arrives whole."""
    reply = await fetch(APP, "/ours")
    assert (reply.status, reply.headers["retry-after"], reply.headers["cache-control"]) == (429, "1", "no-store")
    assert reply.json == {
        "type": "about:blank",
        "title": "Too much",
        "status": 429,
        "detail": "Later.",
        "reason": "QUEUE_FULL",
    }


async def test_an_unforeseen_failure_keeps_its_words_to_itself() -> None:
    """Callers learn that it failed, and where to look."""
    reply = await fetch(APP, "/unforeseen")
    assert (reply.status, reply.headers["content-type"]) == (500, PROBLEM_JSON)
    assert b"hunter2" not in reply.body
    assert "log" in reply.json["detail"]


async def test_a_malformed_request_is_told_where() -> None:
    """The field is named, its value is not repeated."""
    reply = await fetch(APP, "/typed?count=hunter2")
    assert (reply.status, reply.json["fields"][0]["field"]) == (400, "query.count")
    assert b"hunter2" not in reply.body


async def test_given_routes_are_served() -> None:
    """Further routers are put beside our own."""
    assert (await fetch(APP, "/plain")).body == b"plain"
