"""Laws of the HTTP seam: deadline, size, kind and arrival of a body, and what the call underneath is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from google.protobuf.message import Message

from batching import PriorityClass
from server.call import Call, current_call
from server.config.settings import Settings
from server.http.http_call import ApiSource, deadline_of
from server.http.refusal_problem import STATUSES, json_path, problem_of
from server.observation.rpc_record import RpcRecord
from server.observation.sampler import Sampler
from server.refusal import Reason, Refusal
from server.rpc.decode import Received
from server.rpc.dispatch import Dispatcher
from server.rpc.errors import CODES
from tests.support.doors import made_key, opened
from tests.support.fakes import settle
from tests.support.http_api import JSON, api_app, post
from tests.support.http_calls import Reply, fetch
from tests.support.observed import Recorder as Records
from tickserve.v1 import model_service_pb2
from tickserve.v1 import prediction_service_pb2 as pb

LIMIT = 64 * 1024
BEARER = "authorization"


class Recorder:
    """Methods that keep what they are given and answer nothing, or refuse."""

    def __init__(self) -> None:
        self.calls: list[tuple[Received, Call]] = []
        self.refusal: Refusal | None = None
        self.ended = Records()
        self.hold: asyncio.Event | None = None
        methods = {
            "Predict": self.serve(pb.PredictResponse()),
            "PredictBatch": self.serve(pb.PredictBatchResponse()),
            "ListModels": self.serve(model_service_pb2.ListModelsResponse()),
            "GetStatistics": self.serve(model_service_pb2.GetStatisticsResponse()),
        }
        self.dispatcher = Dispatcher(unary=methods, streamed={}, observer=self.ended)

    def serve(self, answer: Message) -> Any:
        """Returns a method."""

        async def method(data: Received, call: Call) -> Message:
            assert current_call.get() is call
            self.calls.append((data, call))
            if self.hold is not None:
                await self.hold.wait()
            if isinstance(data, Refusal):
                raise data
            if self.refusal is not None:
                raise self.refusal
            return answer

        return method

    @property
    def rpcs(self) -> list[RpcRecord]:
        """What the observer was told."""
        return self.ended.rpcs


@pytest.fixture
def methods() -> Recorder:
    """What answers."""
    return Recorder()


@pytest.fixture
def source(methods: Recorder, tmp_path: Path) -> ApiSource:
    """What answers, and its settings."""
    return ApiSource(dispatcher=methods.dispatcher, settings=Settings(registry=tmp_path, max_request_bytes=LIMIT))


@pytest.fixture
def app(source: ApiSource) -> FastAPI:
    """The application."""
    return api_app(source, sampler=Sampler(1.0))


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict:batch"])
async def test_a_call_is_its_methods(app: FastAPI, methods: Recorder, path: str) -> None:
    """Under its full name, with deadline, routing key and trace, and it is counted as such."""
    trace = "ab" * 16
    headers = {
        "X-Deadline-Ms": "250.5",
        "X-Tickserve-Routing-Key": "desk",
        "traceparent": f"00-{trace}-00f067aa0ba902b7-01",
    }
    assert (await post(app, path, {}, headers)).status == 200
    [(_, call)] = methods.calls
    assert call.method.startswith("/tickserve.v1.PredictionService/Predict")
    assert call.rpc_deadline is not None
    assert call.rpc_deadline - call.received_at == pytest.approx(0.2505)
    assert (call.route, call.routing_key, call.caller, call.trace_id) == (path, "desk", "desk", trace)
    assert call.trace is not None
    assert call.trace.is_sampled
    [record] = methods.rpcs
    assert (record.call, record.code) == (call, "OK")
    assert current_call.get() is None


@pytest.mark.parametrize("path", ["/v1/models?pageSize=5&pageToken=x", "/v1/stats?deepCheck=true&other=1"])
async def test_queries_are_messages(app: FastAPI, methods: Recorder, path: str) -> None:
    """What a query says is the message; what nobody knows is passed over."""
    assert (await fetch(app, path)).status == 200
    [(data, _)] = methods.calls
    assert isinstance(data, bytes)
    if "models" in path:
        read = model_service_pb2.ListModelsRequest.FromString(data)
        assert (read.page_size, read.page_token) == (5, "x")
    else:
        assert model_service_pb2.GetStatisticsRequest.FromString(data).deep_check


@pytest.mark.parametrize("path", ["/v1/models?pageSize=many", "/v1/stats?deepCheck=yes"])
async def test_a_query_that_cannot_be_read_is_refused(app: FastAPI, path: str) -> None:
    """As a message that cannot be."""
    reply = await fetch(app, path)
    assert (reply.status, reply.json["reason"]) == (400, "MALFORMED_MESSAGE")


@pytest.mark.parametrize("header", ["0", "-1", "nan", "inf", "1e999", "soon", "", "1,5"])
async def test_a_deadline_must_be_one(app: FastAPI, methods: Recorder, header: str) -> None:
    """What is none is told by the header's name, and counts as a refused call."""
    reply = await post(app, "/v1/predict", {}, {"X-Deadline-Ms": header})
    assert (reply.status, reply.json["reason"], reply.json["field"]) == (400, "INVALID_TIMEOUT", "X-Deadline-Ms")
    assert [record.code for record in methods.rpcs] == ["INVALID_ARGUMENT"]


def test_no_deadline_is_none() -> None:
    """It follows from the class then."""
    assert deadline_of(None, received_at=5.0) is None
    assert deadline_of("1000", received_at=5.0) == 6.0


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp", "+json"])
async def test_only_json_is_read(app: FastAPI, methods: Recorder, kind: str) -> None:
    """A page of another site can have a browser send forms and plain text here, but not JSON."""
    reply = await post(app, "/v1/predict", b"{}", {"content-type": kind})
    assert (reply.status, reply.json["reason"]) == (415, "MALFORMED_MESSAGE")
    assert [record.code for record in methods.rpcs] == ["INVALID_ARGUMENT"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"])
async def test_json_by_any_name_is_read(app: FastAPI, kind: str) -> None:
    """With parameters, and whatever ends in +json."""
    assert (await post(app, "/v1/predict", b"{}", {"content-type": kind})).status == 200


async def test_a_packed_body_is_refused(app: FastAPI) -> None:
    """It could be a thousand times as large as it looks."""
    assert (await post(app, "/v1/predict", b"{}", {"content-encoding": "gzip"})).status == 415


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_has_a_limit(app: FastAPI, methods: Recorder, told: bool) -> None:
    """At it all is well; one byte more is refused, before it is read where its length is told."""
    for size, status in ((LIMIT, 200), (LIMIT + 1, 413)):
        body = b"{}" + b" " * (size - 2)
        headers = {"content-length": str(size)} if told else {}
        reply = await post(app, "/v1/predict", body, headers)
        assert reply.status == status
    assert (reply.json["reason"], reply.json["metadata"]) == ("LIMIT_EXCEEDED", {"limit": str(LIMIT)})


async def test_headers_have_a_limit(app: FastAPI) -> None:
    """The same as gRPC's metadata, with HTTP's own word for it."""
    reply = await post(app, "/v1/predict", {}, {"x-much": "a" * 8000})
    assert (reply.status, reply.json["reason"]) == (431, "LIMIT_EXCEEDED")
    reply = await post(app, "/v1/predict", {}, {"x-tickserve-routing-key": "a" * 257})
    assert (reply.status, reply.json["metadata"]) == (431, {"have": "257", "limit": "256"})


async def test_a_body_that_does_not_come_is_not_waited_for(app: FastAPI) -> None:
    """No longer than the caller would wait itself."""
    reply = await slow_post(app, {"X-Deadline-Ms": "1"})
    assert reply["status"] == 408


async def slow_post(app: FastAPI, headers: dict[str, str]) -> dict[str, Any]:
    """Returns how a request is answered whose body never comes."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in {**JSON, **headers}.items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/predict", "query_string": b"", "headers": raw}
    await app(scope, receive, send)
    return dict(sent[0])


async def test_a_caller_who_leaves_is_told_apart(app: FastAPI, methods: Recorder) -> None:
    """Ray Serve cancels the task of a client that is gone: the call ends as cancelled, and waits for nothing."""
    methods.hold = asyncio.Event()
    task = asyncio.ensure_future(post(app, "/v1/predict", {}))
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [record.code for record in methods.rpcs] == ["CANCELLED"]


async def test_before_there_is_a_replica_it_is_loading() -> None:
    """Whoever comes early is told when to come again."""
    for reply in (await post(api_app(None), "/v1/predict", {}), await fetch(api_app(None), "/v1/models")):
        assert (reply.status, reply.json["reason"], reply.headers["retry-after"]) == (503, "MODEL_LOADING", "1")


@pytest.mark.parametrize("reason", list(Reason))
async def test_every_reason_has_a_status(app: FastAPI, methods: Recorder, reason: Reason) -> None:
    """That of its gRPC code, and the reason itself in the body."""
    methods.refusal = Refusal(reason, "No.", field="window.time_steps", retry_delay=1.2, metadata={"a": "b"})
    reply = await post(app, "/v1/predict", {})
    assert reply.status == STATUSES[CODES[reason]]
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.headers["retry-after"], reply.headers["cache-control"]) == ("2", "no-store")
    assert reply.json == {
        "type": "about:blank",
        "title": reply.json["title"],
        "status": reply.status,
        "detail": "No.",
        "reason": reason.name,
        "code": CODES[reason].name,
        "field": "window.timeSteps",
        "metadata": {"a": "b"},
        "retryDelay": "1.200s",
    }


async def test_an_unforeseen_failure_tells_nothing(app: FastAPI, methods: Recorder) -> None:
    """But the id under which the log has it."""
    methods.refusal = RuntimeError("password=hunter2")  # type: ignore[assignment]
    reply = await post(app, "/v1/predict", {})
    assert (reply.status, reply.json["reason"]) == (500, "INFERENCE_FAILED")
    assert b"hunter2" not in reply.body
    assert reply.json["metadata"]["trace_id"]


def test_paths_are_told_as_json_has_them() -> None:
    """And what is no field stays as it is."""
    assert json_path("items[3].window.raw_float32") == "items[3].window.rawFloat32"
    assert json_path("X-Deadline-Ms") == "X-Deadline-Ms"
    assert problem_of(Refusal(Reason.DRAINING, "x")).headers == {}


@pytest_asyncio.fixture
async def keyed(source: ApiSource, tmp_path: Path) -> AsyncIterator[tuple[FastAPI, list[str]]]:
    """The application behind a door, and the tokens of a key for predictions and of one for figures."""
    door, tokens = await opened(
        tmp_path / "keys.json",
        made_key("desk", methods=("Predict",), max_priority=PriorityClass.STANDARD, owner="house"),
        made_key("monitor", methods=("GetStatistics",)),
    )
    yield api_app(source, authorizer=door), tokens


async def test_a_key_opens_its_methods_alone(keyed: tuple[FastAPI, list[str]], methods: Recorder) -> None:
    """Whatever the path is called; the call knows whose it is."""
    app, [desk, monitor] = keyed
    headers = {BEARER: f"Bearer {desk}", "x-tickserve-routing-key": "another"}
    for path in ("/v1/predict", "/ray-serve/predict", "/batch-optimized/predict/single"):
        reply = await post(app, path, {"data": [[1.0]]} if path != "/v1/predict" else {}, headers)
        assert reply.status == 200
    grants = {(call.caller, call.owner, call.grant.key_id if call.grant else "") for _, call in methods.calls}
    assert grants == {("desk", "house", "desk")}
    refused: list[Reply] = [
        await post(app, "/v1/predict:batch", {}, headers),
        await post(app, "/batch-optimized/predict/batch", {"requests": []}, headers),
        await fetch(app, "/v1/models", headers=headers),
        await fetch(app, "/v1/stats", headers=headers),
        await fetch(app, "/docs", headers=headers),
        await post(app, "/v1/predict", {}, {BEARER: f"Bearer {monitor}"}),
    ]
    assert [(reply.status, reply.json["reason"]) for reply in refused] == [(403, "METHOD_NOT_ALLOWED")] * 6
    assert (await fetch(app, "/openapi.json", headers={"x-api-key": monitor})).status == 200


async def test_no_key_is_told_before_anything_is_read(keyed: tuple[FastAPI, list[str]], methods: Recorder) -> None:
    """Nothing underneath hears of it."""
    app, _ = keyed
    reply = await post(app, "/v1/predict", b"not json")
    assert (reply.status, json.loads(reply.body)["reason"]) == (401, "API_KEY_MISSING")
    assert not methods.calls
    assert not methods.rpcs
