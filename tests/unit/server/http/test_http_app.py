"""Laws of the HTTP side, spoken to in plain ASGI: `/healthz` tells whether the replica answers, and that is all."""

import json
from typing import Any

import pytest

from server.http.http_app import build_http_app


async def get(path: str, *, serving: bool, method: str = "GET") -> tuple[int, bytes]:
    """Returns the status and body of one HTTP request."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"test")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    await build_http_app(lambda: serving)(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body


@pytest.mark.parametrize(("serving", "status", "word"), [(True, 200, "SERVING"), (False, 503, "NOT_SERVING")])
async def test_healthz_follows_the_replica(serving: bool, status: int, word: str) -> None:
    """200 while predictions are answered, 503 otherwise."""
    code, body = await get("/healthz", serving=serving)
    assert (code, json.loads(body)) == (status, {"status": word})


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/metrics", "/healthz/x"])
async def test_nothing_else_is_served(path: str) -> None:
    """No page invites to look around."""
    assert (await get(path, serving=True))[0] == 404


async def test_healthz_takes_no_posts() -> None:
    """It is read-only."""
    assert (await get("/healthz", serving=True, method="POST"))[0] == 405
