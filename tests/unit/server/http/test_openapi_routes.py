"""Laws of the page that describes the HTTP API: it needs nothing from elsewhere, and says what the service is."""

import re

import pytest

from server.http.api import API_RIGHTS
from server.http.http_app import build_http_app
from server.http.openapi import build_document
from server.http.openapi_routes import openapi_router
from server.refusal import Reason
from server.rpc.ingress import METHODS
from tests.support.http_calls import fetch

APP = build_http_app(lambda: None, routers=[openapi_router()])


async def test_the_page_is_whole_without_the_internet() -> None:
    """Each of its parts is served here, and the policy lets no other in."""
    page = await fetch(APP, "/docs")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    parts = re.findall(r'(?:src|href)="([^"]+)"', page.body.decode())
    assert len(parts) == 4
    for path in parts:
        part = await fetch(APP, path)
        assert (part.status, len(part.body) > 10) == (200, True)
        again = await fetch(APP, path, headers={"if-none-match": part.headers["etag"]})
        assert (again.status, again.body) == (304, b"")
        assert part.headers["content-type"].startswith(("text/javascript", "text/css", "image/svg+xml"))
    assert (await fetch(APP, "/docs/other.js")).status == 404


async def test_the_document_is_served() -> None:
    """As JSON, with the service's own version."""
    reply = await fetch(APP, "/openapi.json")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json == build_document(reply.json["info"]["version"])


def test_every_path_has_a_right_and_a_description() -> None:
    """Of a method that there is."""
    paths = build_document("x")["paths"]
    assert paths.keys() == API_RIGHTS.keys()
    assert set(API_RIGHTS.values()) <= METHODS.keys()


def references(part: object) -> set[str]:
    """Returns the names of the schemas that a part of the document refers to."""
    if isinstance(part, dict):
        own = {str(value).rpartition("/")[2] for name, value in part.items() if name == "$ref"}
        return own.union(*(references(value) for value in part.values()))
    return set().union(*(references(each) for each in part)) if isinstance(part, list) else set()


def test_every_schema_is_there_and_of_use() -> None:
    """None is missing, and none is left over."""
    document = build_document("x")
    assert references(document) == document["components"]["schemas"].keys()


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_told(reason: Reason) -> None:
    """A caller's program may know all of them beforehand."""
    problem = build_document("x")["components"]["schemas"]["Problem"]
    assert reason.name in problem["properties"]["reason"]["enum"]
