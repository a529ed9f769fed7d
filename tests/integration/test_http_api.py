"""HTTP/JSON through HAProxy and Ray Serve: the numbers of gRPC to the bit, its deadlines and its reasons."""

import base64
import http.client
import itertools
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
from google.protobuf import json_format

from model.dataset import load_windows
from tests.integration.conftest import Service
from tests.support.http_api import JSON
from tests.support.waiting import wait_for
from tickserve.v1 import prediction_pb2, prediction_service_pb2, window_pb2

DATA = Path(__file__).parents[2] / "data/eurusd_1h.csv"


def request_of(index: int) -> prediction_service_pb2.PredictRequest:
    """Returns a request for a prediction of its own, of a window of the real bars."""
    values = np.ascontiguousarray(load_windows(DATA, index + 1)[index])
    window = window_pb2.Window(feature_count=50, time_steps=60)
    window.values.values.extend(values.ravel().tolist())
    options = prediction_pb2.PredictOptions(return_features=True, bypass_cache=True)
    return prediction_service_pb2.PredictRequest(window=window, options=options)


def ask(service: Service, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
    """Returns status and body of an answer: to a POST where there is a body, else to a GET."""
    connection = http.client.HTTPConnection(urlsplit(service.http).netloc, timeout=30)
    try:
        data = None if body is None else json.dumps(body)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, data, {**JSON, **names})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_it_answers_as_grpc_does_bit_for_bit(service: Service) -> None:
    """A window written as numbers in JSON is the same window, and its answer the same answer."""
    request = request_of(3)
    with grpc.insecure_channel(service.target) as channel:
        predict: Any = channel.unary_unary("/tickserve.v1.PredictionService/Predict")
        data = predict(request.SerializeToString(), timeout=30)
    expected = prediction_service_pb2.PredictResponse.FromString(data).prediction
    status, document = ask(service, "/v1/predict", json_format.MessageToDict(request), x_deadline_ms="30000")
    assert status == 200
    answer = json_format.ParseDict(document, prediction_service_pb2.PredictResponse()).prediction
    assert answer.input == expected.input
    assert answer.model == expected.model
    for part in ("classes", "regressions", "ensemble", "features"):
        assert getattr(answer, part) == getattr(expected, part)


def test_a_deadline_is_the_schedulers(service: Service) -> None:
    """One that cannot be met is refused with the same reason as over gRPC, and the status that HTTP has for it."""
    body = json_format.MessageToDict(request_of(4)) | {"timeout": "0.000001s"}
    status, problem = ask(service, "/v1/predict", body)
    assert (status, problem["reason"]) in {(429, "PREDICTED_DEADLINE_MISS"), (504, "EXPIRED_IN_QUEUE")}
    status, problem = ask(service, "/v1/predict", body, x_deadline_ms="never")
    assert (status, problem["reason"], problem["field"]) == (400, "INVALID_TIMEOUT", "X-Deadline-Ms")


def test_a_caller_who_leaves_is_not_computed_for(service: Service) -> None:
    """Proxy and Ray Serve pass it on: what waits in the queue for him is given up."""
    raw = [base64.b64encode(np.float32(window).tobytes()).decode() for window in load_windows(DATA, 60)]
    items = [{"window": {"featureCount": 50, "timeSteps": 60, "rawFloat32": each}} for each in raw]
    body = json.dumps({"items": items, "options": {"bypassCache": True}})
    before = cancelled(service)
    pauses = itertools.cycle((0.02, 0.05, 0.1, 0.2))

    def leaves_in_time() -> bool:
        """Sends more than is computed at once, and leaves; sooner or later he does while it waits."""
        connections = [http.client.HTTPConnection(urlsplit(service.http).netloc, timeout=30) for _ in range(4)]
        for connection in connections:
            connection.request("POST", "/v1/predict:batch", body, {**JSON, "X-Deadline-Ms": "9000"})
        time.sleep(next(pauses))
        for connection in connections:
            connection.close()
        return cancelled(service) > before

    wait_for(leaves_in_time)


def cancelled(service: Service) -> int:
    """Returns how many requests were given up by their callers."""
    [replica] = ask(service, "/v1/stats")[1]["replicas"]
    return int(replica["outcomeCounts"]["cancelled"])


def test_the_rest_is_there(service: Service) -> None:
    """Models, figures, the original's endpoints, and the page that describes them."""
    assert ask(service, "/v1/models")[1]["models"][0]["version"]["name"] == "cnn_lstm"
    assert ask(service, "/v1/stats")[1]["replicas"]
    data = load_windows(DATA, 1)[0].tolist()
    body = {"data": data, "priority": "high"}
    status, answer = ask(service, "/batch-optimized/predict/single", body, x_deadline_ms="30000")
    assert (status, answer["priority"], len(answer["result"]["classification_probs"])) == (200, "high", 3)
    assert ask(service, "/ray-serve/stats")[1]["request_count"] > 0
    assert "/v1/predict" in ask(service, "/openapi.json")[1]["paths"]
