"""Laws of the HTTP door: probes pass, all else shows a key, and a browser may show it as a password."""

import base64
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from server.http.http_app import build_http_app
from server.http.key_middleware import OPEN_PATHS, KeyMiddleware
from server.security.authorizer import Authorizer
from server.security.http_key import basic_password
from tests.support.doors import EDGE_SECRET, made_key, open_to_all, opened
from tests.support.http_calls import Reply, fetch

CLOSED = ("/", "/console/events", "/console/app.js", "/metrics", "/health", "/nowhere", "/livez/", "//livez", "/LIVEZ")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Where the keys lie."""
    return tmp_path / "keys.json"


def app(authorizer: Authorizer) -> FastAPI:
    """Returns the application behind a door."""
    return build_http_app(lambda: None, metrics=lambda: lambda: (b"figures", "text/plain"), authorizer=authorizer)


def basic(user: str, password: str) -> str:
    """Returns the header that a browser sends."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def metrics(authorizer: Authorizer, **headers: str) -> Reply:
    """Returns what a scraper is answered."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await fetch(app(authorizer), "/metrics", headers=given)


@pytest.mark.parametrize("path", sorted(OPEN_PATHS))
async def test_probes_need_no_key(keys: Path, path: str) -> None:
    """Nor the edge's secret: the kubelet asks the pod itself."""
    door, _ = await opened(keys, edge_secret=EDGE_SECRET)
    reply = await fetch(app(door), path)
    assert reply.status in (200, 503)
    assert "reason" not in reply.json


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
async def test_all_else_is_closed_whether_it_exists_or_not(keys: Path, path: str, method: str) -> None:
    """A stranger does not even learn what there is, and a browser is asked for the password."""
    door, _ = await opened(keys)
    reply = await fetch(app(door), path, method=method)
    assert (reply.status, reply.json["reason"]) == (401, "API_KEY_MISSING")
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["www-authenticate"].startswith("Basic ")
    assert reply.headers["cache-control"] == "no-store"


async def test_a_key_is_shown_in_three_ways(keys: Path) -> None:
    """Two as in gRPC, and the password of HTTP Basic, whatever the user's name."""
    door, [token] = await opened(keys, made_key("prometheus", methods=("GetStatistics",)))
    for headers in ({"authorization": f"Bearer {token}"}, {"x_api_key": token}, {"authorization": basic("any", token)}):
        reply = await metrics(door, **headers)
        assert (reply.status, reply.body) == (200, b"figures")


@pytest.mark.parametrize("shown", ["x", "", "tsk_desk_x"])
async def test_a_wrong_key_opens_nothing(keys: Path, shown: str) -> None:
    """In none of the ways, nor in the address, which lands in logs and histories."""
    door, [token] = await opened(keys, made_key("desk"))
    bearer, password = {"authorization": f"Bearer {shown}"}, {"authorization": basic("desk", shown)}
    for headers in (bearer, password, {"x_api_key": shown}):
        reply = await metrics(door, **headers)
        assert (reply.status, reply.json["reason"]) == (401, "API_KEY_INVALID")
    reply = await fetch(app(door), f"/metrics?key={token}&x-api-key={token}")
    assert reply.status == 401


async def test_a_password_opens_only_what_changes_nothing(keys: Path) -> None:
    """A browser sends it along when another site has it post a form; a program that posts shows a bearer token."""
    door, [token] = await opened(keys, made_key("desk"))
    posted = [
        await fetch(app(door), "/metrics", method="POST", headers={"authorization": value})
        for value in (basic("desk", token), f"Bearer {token}")
    ]
    assert [reply.status for reply in posted] == [401, 405]


async def test_a_key_for_other_methods_is_forbidden(keys: Path) -> None:
    """Not asked for another password in an endless loop."""
    door, [token] = await opened(keys, made_key("desk", methods=("Predict",)))
    reply = await metrics(door, x_api_key=token)
    assert (reply.status, reply.json["reason"]) == (403, "METHOD_NOT_ALLOWED")
    assert "www-authenticate" not in reply.headers


async def test_behind_an_edge_its_secret_is_asked_for(keys: Path) -> None:
    """No password helps there, so none is asked for; a certificate's identity counts beside the secret alone."""
    door, [token] = await opened(keys, made_key("desk"), edge_secret=EDGE_SECRET)
    reply = await metrics(door, x_api_key=token)
    assert (reply.status, reply.json["reason"], "www-authenticate" in reply.headers) == (401, "EDGE_REQUIRED", False)
    certified = {"x_tickserve_client_identity": "desk"}
    assert (await metrics(door, **certified)).status == 401
    assert (await metrics(door, **certified, x_tickserve_edge_secret=EDGE_SECRET)).status == 200


async def test_without_keys_all_may_come() -> None:
    """As long as nobody is asked for one; and before anybody is told who may, nobody may."""
    assert (await metrics(open_to_all())).status == 200
    assert (await metrics(Authorizer())).status == 503


async def test_a_websocket_is_closed(keys: Path) -> None:
    """There is none; one that is added later must not be a way around the door."""
    sent: list[Any] = []

    async def beyond(*_: object) -> None:
        raise AssertionError("it went on")

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    await KeyMiddleware(beyond, authorizer=open_to_all())({"type": "websocket", "path": "/"}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("value", ["Basic", "Basic !", "Basic ////", "Basic 4", "Bearer dXNlcjpw", "", "Basic gA=="])
def test_what_is_no_password_is_none(value: str) -> None:
    """Damaged credentials are as good as none, and raise nothing."""
    assert basic_password(value) in (None, "")
