"""The OpenAPI document against a replica, by schemathesis: what fits it, and what does not, is answered as it says.

The replica runs in an event loop of its own; schemathesis drives an application in others, which hands requests on.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi import checks
from starlette.types import ASGIApp, Receive, Scope, Send

from server.http.http_call import ApiSource
from server.http.openapi import build_document
from tests.support.http_api import api_app, nested, post, window
from tests.support.http_calls import Reply, fetch
from tests.support.local import LocalService, local_service
from tests.support.registry import make_registry
from tests.support.service import settings_for

DOCUMENT = build_document("test")
# What else schemathesis can look for supposes a service whose valid bodies can be guessed: a window is 3,000 numbers.
_CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


class Elsewhere:
    """An ASGI application that has another answer, in that one's own loop.

    Attributes:
        service: Whose loop it is.
        inner: The other.
    """

    def __init__(self) -> None:
        self.service: LocalService | None = None
        self.inner: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        path = f"{scope['path']}?{query}" if query else scope["path"]
        assert self.inner is not None
        assert self.service is not None
        asked = fetch(self.inner, path, method=scope["method"], headers=headers, body=body)
        reply: Reply = await asyncio.to_thread(self.service.runner.run, asked)
        pairs = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
        await send({"type": "http.response.body", "body": reply.body})


outside = Elsewhere()
schema = schemathesis.openapi.from_dict(DOCUMENT)
schema.app = outside


@pytest.fixture(scope="module", autouse=True)
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    """A replica whose engine answers at once."""
    registry: Path = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    with local_service(settings_for(registry)) as running:
        source = ApiSource(dispatcher=running.replica.dispatcher, settings=settings_for(registry))
        outside.service, outside.inner = running, api_app(source)
        yield running


@schema.parametrize()
@settings(max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
def test_answers_are_as_documented(case: Case[Any]) -> None:
    """Status, kind and form; and no failure of ours but that the service is busy."""
    response = case.call()
    assert response.status_code < 500 or response.status_code in (503, 504)
    case.validate_response(response, checks=_CHECKS)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/predict", {"window": window()}),
        ("/v1/predict", {"window": window(values=[0.0] * 3000)}),
        ("/v1/predict:batch", {"items": [{"window": window()}, {"symbol": "x"}]}),
        ("/ray-serve/predict", {"data": nested()}),
        ("/ray-serve/predict", {"data": [nested()], "return_uncertainty": False}),
        ("/batch-optimized/predict/single", {"data": nested()}),
        ("/batch-optimized/predict/single", {"data": nested(), "use_ensemble": False}),
        ("/batch-optimized/predict/batch", {"requests": [nested()]}),
        ("/batch-optimized/predict/batch", {"requests": []}),
    ],
)
def test_what_is_answered_fits_the_document(service: LocalService, path: str, body: Any) -> None:
    """Bodies that no generator finds, and their answers."""
    assert isinstance(outside.inner, FastAPI)
    operation = DOCUMENT["paths"][path]["post"]
    fits(body, operation["requestBody"])
    reply = service.runner.run(post(outside.inner, path, body))
    assert reply.status == 200
    fits(reply.json, operation["responses"]["200"])


@pytest.mark.parametrize("path", [path for path, item in DOCUMENT["paths"].items() if "get" in item])
def test_what_is_told_fits_the_document(service: LocalService, path: str) -> None:
    """All figures, with their names."""
    assert outside.inner is not None
    reply = service.runner.run(fetch(outside.inner, path))
    assert reply.status == 200
    fits(reply.json, DOCUMENT["paths"][path]["get"]["responses"]["200"])


def fits(document: Any, told: Any) -> None:
    """Fails unless a document is as is told."""
    schema = told["content"]["application/json"]["schema"]
    jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]}).validate(document)
