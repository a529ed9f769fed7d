"""The HTTP API before a real replica: the numbers of gRPC, its reasons, its limits, its records."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from fastapi import FastAPI
from google.protobuf import json_format

from server.config.settings import Settings
from server.http.http_call import ApiSource
from server.http.original_stats import EngineTally
from server.observation.request_record import Outcome, RequestKind
from tests.support import messages as m
from tests.support.http_api import api_app, nested, post, window
from tests.support.http_calls import fetch
from tests.support.observed import Recorder
from tests.support.raw_client import call
from tests.support.registry import make_registry, real_windows
from tests.support.service import Service, serving, settings_for
from tickserve.v1 import prediction_service_pb2 as pb
from tickserve.v1.prediction_pb2 import PredictOptions

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALONE = {"bypassCache": True}
METHOD = "Predict"
TOLERANCE = 1e-4
"""An engine's last digits depend on the size of the batch."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A small replica that takes four windows at once."""
    real_windows()
    registry = make_registry(tmp_path_factory.mktemp("registry"), versions=1)
    return settings_for(registry, max_windows_per_request=4)


@pytest.fixture(scope="module")
def records() -> Recorder:
    """What observers are told."""
    return Recorder()


@pytest.fixture(scope="module")
def tally() -> EngineTally:
    """What the engine did."""
    return EngineTally()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(settings: Settings, records: Recorder, tally: EngineTally) -> AsyncIterator[Service]:
    """A replica on a socket."""
    async with serving(settings, observers=[records, tally]) as running:
        yield running


@pytest.fixture(scope="module")
def app(service: Service, tally: EngineTally) -> FastAPI:
    """The HTTP side of the same replica."""
    return api_app(ApiSource(dispatcher=service.replica.dispatcher, settings=service.settings), tally=tally)


def probabilities(prediction: dict[str, Any]) -> list[float]:
    """Returns those of the classes."""
    return [each["probability"] for each in prediction["classes"]]


@pytest.mark.parametrize("form", ["values", "raw"])
async def test_it_answers_as_grpc_does_bit_for_bit(app: FastAPI, service: Service, form: str) -> None:
    """Whichever way the window was written."""
    given = window()
    if form == "raw":
        given = window(values=None, rawFloat32=base64.b64encode(real_windows()[0].tobytes()).decode())
    options = {"returnFeatures": True, **ALONE}
    reply = await post(app, "/v1/predict", {"requestId": "h", "window": given, "options": options})
    assert (reply.status, reply.json["requestId"]) == (200, "h")
    async with grpc.aio.insecure_channel(service.target) as channel:
        request = m.predict(options=PredictOptions(return_features=True, bypass_cache=True))
        data = await call(channel, METHOD, request.SerializeToString())
    assert isinstance(data, bytes)
    over_grpc = pb.PredictResponse.FromString(data)
    over_http = json_format.ParseDict(reply.json, pb.PredictResponse())
    for part in ("classes", "regressions", "ensemble", "features", "model"):
        assert getattr(over_http.prediction, part) == getattr(over_grpc.prediction, part)
    assert over_http.prediction.input.sha256 == over_grpc.prediction.input.sha256


async def test_a_batch_has_a_result_for_each(app: FastAPI) -> None:
    """An item at fault spoils no other; its error is the status that gRPC has."""
    items = [{"requestId": str(n), "window": window(n)} for n in range(2)] + [{"window": window(timeSteps=59)}]
    reply = await post(app, "/v1/predict:batch", {"items": items, "options": ALONE, "priority": "PRIORITY_BACKGROUND"})
    assert reply.status == 200
    first, second, third = reply.json["results"]
    single = await post(app, "/v1/predict", {"window": window(1), "options": ALONE})
    assert probabilities(second["prediction"]) == pytest.approx(probabilities(single.json["prediction"]), abs=TOLERANCE)
    assert (first["requestId"], second["requestId"]) == ("0", "1")
    assert first["prediction"]["execution"]["effectivePriority"] == "PRIORITY_BACKGROUND"
    info = next(detail for detail in third["error"]["details"] if detail["@type"].endswith("ErrorInfo"))
    assert (info["reason"], info["domain"]) == ("INVALID_SHAPE", "tickserve")


@pytest.mark.parametrize(
    ("body", "status", "reason", "field"),
    [
        ({}, 400, "MISSING_INPUT", "input"),
        ({"window": window(timeSteps=59)}, 400, "INVALID_SHAPE", "window.timeSteps"),
        ({"window": window(values=[0.0])}, 400, "INVALID_SHAPE", "window.values"),
        ({"window": window(values=[1e39] * m.SIZE)}, 400, "NON_FINITE_VALUE", "window.values"),
        ({"window": window(featureSchema="x")}, 400, "FEATURE_SCHEMA_MISMATCH", "window.featureSchema"),
        ({"window": window(), "priority": 9}, 400, "INVALID_PRIORITY", "priority"),
        ({"window": window(), "timeout": "-1s"}, 400, "INVALID_TIMEOUT", "timeout"),
        ({"window": window(), "model": {"name": "none"}}, 404, "MODEL_NOT_FOUND", "model"),
        ({"symbol": "EURUSD"}, 404, "SYMBOL_NOT_FOUND", "symbol"),
        ({"window": window(), "requestId": "x" * 129}, 400, "LIMIT_EXCEEDED", "requestId"),
        (b'{"window": {"values": [NaN]}}', 400, "NON_FINITE_VALUE", None),
    ],
)
async def test_refusals_are_grpcs(
    app: FastAPI, records: Recorder, body: object, status: int, reason: str, field: str | None
) -> None:
    """Reason and field, with HTTP's status; and each is a request that was refused, in the records."""
    records.requests.clear()
    reply = await post(app, "/v1/predict", body)
    assert (reply.status, reply.json["reason"], reply.json.get("field")) == (status, reason, field)
    [record] = records.requests
    assert record.reason is not None
    assert (record.outcome, record.reason.name, record.kind) == (Outcome.REFUSED, reason, RequestKind.UNARY)


@pytest.mark.parametrize("count", [0, 5])
async def test_a_batch_has_its_limits(app: FastAPI, count: int) -> None:
    """None at all, and more than the settings allow."""
    reply = await post(app, "/v1/predict:batch", {"items": [{"symbol": "x"}] * count})
    assert (reply.status, reply.json["field"]) == (400, "items")


async def test_a_deadline_holds(app: FastAPI) -> None:
    """By header as by the body's `timeout`: an answer that cannot come in time is not waited for."""
    body = {"window": window(7), "options": ALONE}
    for headers, timeout in (({"X-Deadline-Ms": "0.001"}, {}), ({}, {"timeout": "0.000000001s"})):
        reply = await post(app, "/v1/predict", body | timeout, headers)
        assert reply.status in (408, 429, 504)
        if reply.status != 408:
            assert reply.json["reason"] in ("PREDICTED_DEADLINE_MISS", "EXPIRED_IN_QUEUE")


async def test_the_original_endpoints_give_the_same_numbers(app: FastAPI) -> None:
    """Under the original's names."""
    expected = (await post(app, "/v1/predict", {"window": window(2), "options": ALONE})).json["prediction"]
    [single, first, batch] = [
        await post(app, "/batch-optimized/predict/single", {"data": nested(2), "priority": "high"}),
        await post(app, "/ray-serve/predict", {"data": [nested(2)]}),
        await post(app, "/batch-optimized/predict/batch", {"requests": [nested(2), nested(3)]}),
    ]
    assert (single.status, first.status, batch.status) == (200, 200, 200)
    for result in (single.json["result"], first.json["predictions"], batch.json["results"][0]):
        assert result["classification_probs"] == pytest.approx(probabilities(expected), abs=TOLERANCE)
        assert len(result["regression_pred"]) == len(result["regression_uncertainty"]) == 2
        assert result["ensemble_weights"] == pytest.approx(expected["ensemble"]["weights"], abs=TOLERANCE)


async def test_an_original_batch_fails_as_a_whole(app: FastAPI) -> None:
    """One window too narrow, and the member is named."""
    reply = await post(app, "/batch-optimized/predict/batch", {"requests": [nested(), [[1.0, 2.0]]]})
    assert (reply.status, reply.json["reason"], reply.json["field"]) == (400, "INVALID_SHAPE", "requests[1]")


async def test_figures_are_told(app: FastAPI) -> None:
    """Of models, of the replica, and as the original told them."""
    models = (await fetch(app, "/v1/models")).json["models"]
    assert [(each["version"]["name"], each["state"]) for each in models] == [("cnn_lstm", "MODEL_STATE_SERVING")]
    [replica] = (await fetch(app, "/v1/stats")).json["replicas"]
    assert int(replica["outcomeCounts"]["completed"]) > 0
    stats = (await fetch(app, "/ray-serve/stats")).json
    assert stats["request_count"] > 0
    assert stats["avg_processing_time_ms"] > 0
    optimized = (await fetch(app, "/batch-optimized/stats")).json
    assert (optimized["model_loaded"], optimized["config"]["max_batch_size"]) == (True, 8)
    assert optimized["batch_scheduler_stats"]["completed"] == int(replica["outcomeCounts"]["completed"])
